"""What a leaf says about a change beside its place in the log. Pure.

A leaf is shown to anybody and never erased: it names places, tables, contracts and pseudonymous
ids, never a value of a row.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from bridge.capture.mapping.context import NOBODY_SAID, Context
from bridge.contracts.contract_fit import RowMapper
from bridge.contracts.names import data_schema_urn
from bridge.model.change import ChangeKind, Relation, RowChange
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.event import Breach, Event


class Moment(NamedTuple):
    """What the events of one transaction, or of one chunk of a snapshot, have in common."""

    lsn: str
    xid: int
    time: datetime
    time_text: str
    recorded_time: str
    origin: str | None = None
    total: int | None = None
    context: Context | None = None
    run: str | None = None
    """Why rows were read that the log had before: `reread:REQUEST` or `repair:REQUEST`."""


class MappedTable:
    """A table in its current shape, its mapper, and the leaf fields of its latest change."""

    def __init__(self, source: str, relation: Relation, mapper: RowMapper) -> None:
        self.relation = relation
        self.map = mapper.map
        self._source = source
        self._name = relation.name
        self._moment: Moment | None = None
        self._kind = ChangeKind.READ
        self._fields: dict[str, Any] = {}

    def fields(self, kind: ChangeKind, moment: Moment, event: Event | Breach) -> dict[str, Any]:
        """Return the leaf's fields, the same object for all like changes of a transaction."""
        if moment is self._moment and kind is self._kind:
            return self._fields
        self._moment, self._kind = moment, kind
        self._fields = {
            "source": self._source,
            "dataschema": data_schema_urn(event.subject, event.version),
            "time": moment.time_text,
            "recordedtime": moment.recorded_time,
            "legacy": {**place(moment), "table": self._name, "op": kind.value},
        }
        said = NOBODY_SAID if moment.context is None else moment.context
        self._fields.update(said.fields)
        return self._fields


def place(moment: Moment) -> dict[str, Any]:
    """Return where in the source a transaction is, as leaves say it."""
    place: dict[str, Any] = {"system": "postgresql", "lsn": moment.lsn, "xid": moment.xid}
    if moment.origin is not None:
        place["origin"] = moment.origin
    if moment.total is not None:
        place["total"] = moment.total
    if moment.run is not None:
        place["run"] = moment.run
    return place


def with_said(
    fields: dict[str, Any], payload: bytes, change: RowChange, moment: Moment
) -> tuple[dict[str, Any], bytes]:
    """Return fields and payload with what is said about a change beside its row."""
    attributes = b"" if moment.context is None else moment.context.attributes
    if change.truncation is not None:
        cascade, restart = change.truncation
        fields = {
            **fields,
            "legacy": {**fields["legacy"], "cascade": cascade, "restart_identity": restart},
        }
        attributes += b',"truncatecascade":%b,"truncateidentity":%b' % (
            b"true" if cascade else b"false",
            b"true" if restart else b"false",
        )
    return fields, b"%b%b}" % (payload[:-1], attributes) if attributes else payload


def with_sealed(fields: Mapping[str, Any], event: Event | Breach) -> dict[str, Any]:
    """Return fields with the commitments to what the payload holds sealed."""
    return {**fields, "sealed": [mark.as_json() for mark in event.sealed]}


def parked_draft(breach: Breach, fields: Mapping[str, Any]) -> EntryDraft:
    told = {name: value for name, value in fields.items() if name != "type"}
    told["reason"] = breach.reason
    if breach.sealed:
        told = with_sealed(told, breach)
    return EntryDraft(
        EntryKind.PARKED, breach.event_id, told, breach.payload, None, breach.key, breach.entity
    )
