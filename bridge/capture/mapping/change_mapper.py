"""From changes to entry drafts, by the contract of each table."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.capture.drift.desk import DriftDesk, LogLookup
from bridge.capture.drift.policy import DriftPolicy
from bridge.capture.drift.shapes import ShapeBook
from bridge.capture.mapping.context import Context
from bridge.capture.mapping.leaf_fields import (
    MappedTable,
    Moment,
    parked_draft,
    with_said,
    with_sealed,
)
from bridge.capture.mapping.message_drafts import Boundaries, MessageDrafts
from bridge.capture.mapping.messages import MessageRules
from bridge.capture.mapping.own_events import Envelope, OwnEvents
from bridge.capture.ports import TableContracts
from bridge.contracts.names import source_urn
from bridge.model.change import (
    BeforeImage,
    ChangeKind,
    LogicalMessage,
    Relation,
    Row,
    RowChange,
    TransactionPart,
)
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.event import Breach, ChangeOrigin, Event
from bridge.model.lsn import format_lsn
from bridge.model.observer import Observer, SilentObserver


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingOptions:
    """What a deployment decides about the entries of a source."""

    type_prefix: str = "com.example"
    messages: MessageRules = field(default_factory=MessageRules)
    drift: DriftPolicy = field(default_factory=DriftPolicy)
    transactions: bool = False
    """Whether the begin and the end of each transaction become events too."""


class ChangeMapper:
    """Maps the changes of one source; remembers the mapper of each table's current shape."""

    def __init__(
        self,
        source: str,
        contracts: TableContracts,
        options: MappingOptions | None = None,
        observer: Observer | None = None,
    ) -> None:
        options = options or MappingOptions()
        self._source = source
        self._source_urn = source_urn(source)
        self._observer = observer or SilentObserver()
        self._events = OwnEvents(source, options.type_prefix)
        self._messages = MessageDrafts(source, options.messages, self._events, self._observer)
        self._boundaries = Boundaries(self._events) if options.transactions else None
        self._desk = DriftDesk(
            source, contracts, options.drift, self._events, type_prefix=options.type_prefix
        )
        self._tables: dict[int, MappedTable] = {}
        self._read_tables: dict[int, MappedTable] = {}
        self._undecoded = 0
        # What was said last about who changes rows, in the transaction whose part came last.
        self._context: Context | None = None

    @property
    def shapes(self) -> ShapeBook:
        """The shape of each table as of the last part that was mapped."""
        return self._desk.book

    def know(self, shapes: ShapeBook, log: LogLookup) -> None:
        """Take over the durable shapes; called once, before anything is mapped."""
        self._desk.know(shapes, log)

    def check(self, relation: Relation) -> None:
        """Raise `ConfigInvalid` unless the table, new to the log, has a fitting contract."""
        self._desk.check(relation)

    def accept(self) -> None:
        """Let tables flow again that a person accepted since; cheap while none waits."""
        if not self._desk.is_waiting:
            return
        unfit = self._desk.accept()
        for table in unfit:
            self._observer.note("drift_accepted_in_vain", source=self._source, table=table)
        if self.shapes.is_changed:
            # Their mappers are looked up again.
            self._tables.clear()
            self._read_tables.clear()

    def part_drafts(
        self,
        part: TransactionPart,
        recorded_time: str,
        *,
        skip_before: int = 0,
        skip_tables: frozenset[str] = frozenset(),
    ) -> list[EntryDraft]:
        """Return the drafts of `part`, in order.

        Left out, but counted: ordinals below `skip_before` (the log has them), and changes of
        `skip_tables` (a snapshot will have them).

        Raises:
            TableDrifted: a table left its contract and its policy is to stop.
        """
        if part.first_ordinal == 0:
            self._context = None
        moment = Moment(
            format_lsn(part.commit_lsn),
            part.xid,
            part.commit_time,
            rfc3339(part.commit_time),
            recorded_time,
            part.origin,
            part.change_count,
            self._context,
        )
        prefix = f"{part.commit_lsn:016X}:"
        drafts: list[EntryDraft] = []
        # With a first change in the log, the begin is there too: they were one commit.
        if self._boundaries is not None and skip_before == 0:
            drafts += self._boundaries.begin(
                part, self._envelope(f"{prefix}{0:08X}", moment), moment
            )
        tables = self._tables
        for ordinal, change in enumerate(part.changes, part.first_ordinal):
            if type(change) is RowChange:
                relation = change.relation
                if ordinal < skip_before or (skip_tables and relation.name in skip_tables):
                    continue
                sequence = f"{prefix}{ordinal:08X}"
                table = tables.get(relation.oid)
                if table is None or table.relation is not relation:
                    table = self._meet(drafts, relation, sequence, moment)
                self._map(drafts, table, change, sequence, moment)
            else:
                assert isinstance(change, LogicalMessage), "a change is a row's or a message"
                envelope = self._envelope(f"{prefix}{ordinal:08X}", moment)
                draft, moment = self._messages.take(change, envelope, moment)
                if draft is not None and ordinal >= skip_before:
                    drafts.append(draft)
        self._context = None if part.final else moment.context
        if self._boundaries is not None:
            last = max(part.first_ordinal + len(part.changes) - 1, 0)
            drafts += self._boundaries.end(
                part, self._envelope(f"{prefix}{last:08X}", moment), moment
            )
        self._tell_undecoded()
        return drafts

    def read_drafts(
        self,
        relation: Relation,
        rows: Iterable[Row],
        *,
        position: int,
        first_ordinal: int,
        taken_at: datetime,
        recorded_time: str,
        gone: Iterable[Row] = (),
        run: str | None = None,
    ) -> list[EntryDraft]:
        """Return a draft per row of a snapshot of everything that committed before `position`.

        Rows of `gone`, of which only the key is sent, are told as deleted. `run` says in the leaf
        why they were read.
        """
        moment = Moment(
            format_lsn(position), 0, taken_at, rfc3339(taken_at), recorded_time, run=run
        )
        # One below the position: these ids then sort behind every commit that is in the
        # snapshot, and before the first that is not, whose LSN may equal the position.
        prefix = f"{position - 1:016X}:R"
        table = self._read_tables.get(relation.oid)
        if table is None or table.relation is not relation:
            mapper = self._desk.as_read(relation)
            table = self._read_tables[relation.oid] = MappedTable(
                self._source_urn, relation, mapper
            )
        drafts: list[EntryDraft] = []
        changes = [
            RowChange(ChangeKind.READ, relation, None, BeforeImage.NONE, row) for row in rows
        ]
        changes += [
            RowChange(ChangeKind.DELETED, relation, row, BeforeImage.KEY, None) for row in gone
        ]
        for ordinal, change in enumerate(changes, first_ordinal):
            self._map(drafts, table, change, f"{prefix}{ordinal:08X}", moment)
        self._tell_undecoded()
        return drafts

    def _tell_undecoded(self) -> None:
        """Raise an alarm over events with a column that could not be read."""
        if self._undecoded:
            self._observer.note("undecoded", source=self._source, entries=self._undecoded)
            self._undecoded = 0

    def _map(
        self,
        drafts: list[EntryDraft],
        table: MappedTable,
        change: RowChange,
        sequence: str,
        moment: Moment,
    ) -> None:
        event_id = f"{self._source}:{sequence}"
        result = table.map(
            change,
            ChangeOrigin(
                self._source, event_id, sequence, moment.xid, moment.time, moment.recorded_time
            ),
        )
        if type(result) is Event:
            fields = table.fields(change.kind, moment, result)
            # Set again for each change of a kind, to the same value.
            fields["type"] = result.type
            payload = result.payload
            if moment.context is not None or change.truncation is not None:
                fields, payload = with_said(fields, payload, change, moment)
            if result.undecoded:
                fields = {**fields, "decode_error": list(result.undecoded)}
                self._undecoded += 1
            if result.sealed:
                fields = with_sealed(fields, result)
            drafts.append(
                EntryDraft(
                    EntryKind.EVENT,
                    event_id,
                    fields,
                    payload,
                    result.routing_key,
                    result.key,
                    result.entity,
                )
            )
        elif type(result) is Breach:
            drafts.append(parked_draft(result, table.fields(change.kind, moment, result)))
        else:
            for one in result:
                assert isinstance(one, Event | Breach), "a mapper returns events and breaches"
                # A copy: these events differ in their type.
                fields = {**table.fields(change.kind, moment, one)}
                drafts.append(_one_of_several(one, fields, change, moment))

    def _meet(
        self, drafts: list[EntryDraft], relation: Relation, sequence: str, moment: Moment
    ) -> MappedTable:
        """Look at a table's shape for the first time in this session, or since it changed."""
        met = self._desk.meet(relation, self._envelope(sequence, moment))
        if met.draft is not None:
            drafts.append(met.draft)
            told = {name: str(met.draft.fields[name]) for name in ("table", "verdict", "state")}
            self._observer.note("schema_drift", source=self._source, **told)
        table = self._tables[relation.oid] = MappedTable(self._source_urn, relation, met.mapper)
        return table

    def _envelope(self, sequence: str, moment: Moment) -> Envelope:
        return Envelope(
            f"{self._source}:{sequence}", sequence, moment.time_text, moment.recorded_time
        )


def rfc3339(time: datetime) -> str:
    """Return an aware UTC time as events write it, with a `Z`."""
    return time.isoformat().replace("+00:00", "Z")


def _one_of_several(
    one: Event | Breach, fields: dict[str, Any], change: RowChange, moment: Moment
) -> EntryDraft:
    if isinstance(one, Breach):
        return parked_draft(one, fields)
    fields["type"] = one.type
    if one.sealed:
        fields = with_sealed(fields, one)
    fields, payload = with_said(fields, one.payload, change, moment)
    return EntryDraft(
        EntryKind.EVENT, one.event_id, fields, payload, one.routing_key, one.key, one.entity
    )
