"""From row changes to entry drafts, by the contract of each table."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from bridge.capture.ports import TableContracts, TableMapper
from bridge.contracts.names import data_schema_urn, source_urn
from bridge.model.change import BeforeImage, ChangeKind, Relation, Row, RowChange, TransactionPart
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.model.event import Breach, ChangeOrigin, Event
from bridge.model.lsn import format_lsn


class _Moment(NamedTuple):
    """What the events of one transaction, or of one chunk of a snapshot, have in common."""

    lsn: str
    xid: int
    time: datetime
    time_text: str
    recorded_time: str


class _Table:
    """A table in its current shape, its mapper, and the leaf fields of its latest change."""

    def __init__(self, source: str, relation: Relation, mapper: TableMapper) -> None:
        self.relation = relation
        self.map = mapper.map
        self._source = source
        self._name = relation.name
        self._moment: _Moment | None = None
        self._kind = ChangeKind.READ
        self._fields: dict[str, Any] = {}

    def fields(self, kind: ChangeKind, moment: _Moment, event: Event | Breach) -> dict[str, Any]:
        """Return the leaf's fields, the same object for all like changes of a transaction."""
        if moment is self._moment and kind is self._kind:
            return self._fields
        self._moment, self._kind = moment, kind
        self._fields = {
            "source": self._source,
            "dataschema": data_schema_urn(event.subject, event.version),
            "time": moment.time_text,
            "recordedtime": moment.recorded_time,
            "legacy": {
                "system": "postgresql",
                "lsn": moment.lsn,
                "xid": moment.xid,
                "table": self._name,
                "op": kind.value,
            },
        }
        return self._fields


class ChangeMapper:
    """Maps the changes of one source; remembers the mapper of each table's current shape."""

    def __init__(self, source: str, contracts: TableContracts) -> None:
        self._source = source
        self._contracts = contracts
        self._tables: dict[int, _Table] = {}

    def check(self, relation: Relation) -> None:
        """Raise `ConfigInvalid` unless the table in this shape has a fitting contract."""
        self._learn(relation)

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
        """
        moment = _Moment(
            format_lsn(part.commit_lsn),
            part.xid,
            part.commit_time,
            rfc3339(part.commit_time),
            recorded_time,
        )
        prefix = f"{part.commit_lsn:016X}:"
        return [
            self._draft(change, f"{prefix}{ordinal:08X}", moment)
            for ordinal, change in enumerate(part.changes, part.first_ordinal)
            if isinstance(change, RowChange)
            and ordinal >= skip_before
            and not (skip_tables and change.relation.name in skip_tables)
        ]

    def read_drafts(
        self,
        relation: Relation,
        rows: Iterable[Row],
        *,
        position: int,
        first_ordinal: int,
        taken_at: datetime,
        recorded_time: str,
    ) -> list[EntryDraft]:
        """Return a draft per row of a snapshot of everything that committed before `position`."""
        moment = _Moment(format_lsn(position), 0, taken_at, rfc3339(taken_at), recorded_time)
        # One below the position: these ids then sort behind every commit that is in the
        # snapshot, and before the first that is not, whose LSN may equal the position.
        prefix = f"{position - 1:016X}:R"
        return [
            self._draft(
                RowChange(ChangeKind.READ, relation, None, BeforeImage.NONE, row),
                f"{prefix}{ordinal:08X}",
                moment,
            )
            for ordinal, row in enumerate(rows, first_ordinal)
        ]

    def _draft(self, change: RowChange, sequence: str, moment: _Moment) -> EntryDraft:
        relation = change.relation
        table = self._tables.get(relation.oid)
        if table is None or table.relation is not relation:
            table = self._learn(relation)
        event_id = f"{self._source}:{sequence}"
        result = table.map(
            change,
            ChangeOrigin(
                self._source, event_id, sequence, moment.xid, moment.time, moment.recorded_time
            ),
        )
        fields = table.fields(change.kind, moment, result)
        if type(result) is Event:
            # Set again for each change of a kind, to the same value.
            fields["type"] = result.type
            return EntryDraft(
                EntryKind.EVENT, event_id, fields, result.payload, result.routing_key, result.key
            )
        assert isinstance(result, Breach), "a mapper returns an event or a breach"
        fields = {name: value for name, value in fields.items() if name != "type"}
        fields["reason"] = result.reason
        return EntryDraft(EntryKind.PARKED, event_id, fields, result.payload, None, result.key)

    def _learn(self, relation: Relation) -> _Table:
        mapper = self._contracts.mapper(self._source, relation)
        if mapper is None:
            raise ConfigInvalid(
                f"cannot capture table {relation.name!r} of source {self._source!r}: no contract "
                "maps it; add one, or take the table out of the publication"
            )
        table = self._tables[relation.oid] = _Table(source_urn(self._source), relation, mapper)
        return table


def rfc3339(time: datetime) -> str:
    """Return an aware UTC time as events write it, with a `Z`."""
    return time.isoformat().replace("+00:00", "Z")
