"""From polled changes to entry drafts: mapped by contract, and saying that they were polled. Pure.

What polling cannot know is said in every event: when the change was made is between two looks, and
what a row was in between nobody saw.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from bridge.capture.mapping.context import NOBODY_SAID
from bridge.capture.mapping.leaf_fields import with_sealed
from bridge.capture.polling.ports import PolledTable
from bridge.capture.ports import TableContracts, TableMapper
from bridge.contracts.names import data_schema_urn, source_urn
from bridge.model.change import Relation, RowChange
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.model.event import Breach, ChangeOrigin, Event


class PollDrafts:
    """Maps the changes of one polled source; remembers the mapper of each table's shape."""

    def __init__(self, source: str, system: str, contracts: TableContracts) -> None:
        self._source = source
        self._system = system
        self._contracts = contracts
        self._mappers: dict[str, tuple[Relation, TableMapper]] = {}

    def check(self, table: PolledTable) -> TableMapper:
        """Return the table's mapper; raises `ConfigInvalid` unless a contract fits the table."""
        known = self._mappers.get(table.name)
        if known is not None and known[0] is table.relation:
            return known[1]
        mapper = self._contracts.mapper(self._source, table.relation)
        if mapper is None:
            raise ConfigInvalid(
                f"cannot poll table {table.name!r} of source {self._source!r}: no contract maps "
                "it; add one, or take the table out of the source's 'tables'"
            )
        self._mappers[table.name] = (table.relation, mapper)
        return mapper

    def drafts(
        self,
        table: PolledTable,
        changes: Sequence[RowChange],
        *,
        version: int,
        after: datetime | None,
        before: datetime,
        recorded_time: str,
    ) -> list[EntryDraft]:
        """Return a draft per change.

        The changes became visible between the clocks `after` (None: no look before) and `before`.
        `version` is that of the cursor that they are appended with: it grows with every append, so
        ids made of it are unique and sort in the order of the log.
        """
        mapper = self.check(table)
        extensions = {
            "capture": "poll",
            "pollbefore": rfc3339(before),
            "intermediate": "may be missing",
        }
        if after is not None:
            extensions["pollafter"] = rfc3339(after)
        told = b"," + orjson.dumps(extensions)[1:]
        drafts = []
        for ordinal, change in enumerate(changes):
            sequence = f"{version:016X}:{ordinal:08X}"
            origin = ChangeOrigin(
                source=self._source,
                event_id=f"{self._source}:{sequence}",
                sequence=sequence,
                xid=0,
                time=before,
                recorded_time=recorded_time,
            )
            result = mapper.map(change, origin)
            results = [result] if isinstance(result, Event | Breach) else result
            drafts += [
                self._draft(table, change, event, origin, told)
                for event in results
                if isinstance(event, Event | Breach)
            ]
        return drafts

    def _draft(
        self,
        table: PolledTable,
        change: RowChange,
        event: Event | Breach,
        origin: ChangeOrigin,
        told: bytes,
    ) -> EntryDraft:
        fields: dict[str, Any] = {
            "source": source_urn(self._source),
            "dataschema": data_schema_urn(event.subject, event.version),
            "time": rfc3339(origin.time),
            "recordedtime": origin.recorded_time,
            **NOBODY_SAID.fields,
            "legacy": {
                "system": self._system,
                "capture": "poll",
                "table": table.name,
                "op": change.kind.value,
            },
        }
        if event.sealed:
            fields = with_sealed(fields, event)
        payload = _with_attributes(event.payload, told)
        if isinstance(event, Event):
            fields["type"] = event.type
            return EntryDraft(
                EntryKind.EVENT,
                event.event_id,
                fields,
                payload,
                event.routing_key,
                event.key,
                event.entity,
            )
        fields["reason"] = event.reason
        return EntryDraft(
            EntryKind.PARKED, event.event_id, fields, payload, None, event.key, event.entity
        )


def rfc3339(time: datetime) -> str:
    """Return an aware UTC time as events write it, with a `Z`."""
    return time.isoformat().replace("+00:00", "Z")


def _with_attributes(payload: bytes, told: bytes) -> bytes:
    """Return a CloudEvent with more attributes; `told` begins with a comma and ends the object."""
    assert payload[-1:] == b"}", "an event is a JSON object"
    return payload[:-1] + told
