"""Rows of a table whose shape no contract can keep: kept aside as they came. Pure.

A parked row holds the cells that its contract would have read, in the database's own text, so that
it can be mapped once a new version is there. It never holds more: a column that the contract drops,
or that nobody has decided about yet, is named and left out, because the log is kept for ever.
Where the contract names persons, their columns are sealed, and so is every column that it does not
know.
"""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from bridge.contracts.contract_fit import ContractFit, RowMapper
from bridge.contracts.names import data_schema_urn, source_urn
from bridge.contracts.subjects import Taking
from bridge.model.change import UNSENT, Cell, Relation, Row, RowChange
from bridge.model.event import Breach, ChangeOrigin, Event
from bridge.model.sealing import Sealed

_SUBJECT = "bridge.parked-row"
_VERSION = "1.0"


class ParkedTable:
    """Stands where a table's mapper would: every change breaks the contract, for one reason."""

    def __init__(
        self,
        relation: Relation,
        fit: ContractFit | None,
        *,
        reason: str,
        kept: frozenset[str],
        type_prefix: str,
    ) -> None:
        """Keep the cells of the columns in `kept`; `fit` names the contract that it is not."""
        self._taking: Taking | None = None
        self._sealer = fit.sealer if fit else None
        if fit is not None and fit.subjects:
            first, *others = fit.subjects
            unknown = kept & {*fit.unmapped}
            if self._sealer is None:
                kept -= unknown.union(*(rule.fields for rule in fit.subjects))
            first = replace(first, fields=(*first.fields, *sorted(unknown)))
            self._taking = Taking((first, *others))
        self._reason = reason
        self._type_prefix = type_prefix
        self._subject = fit.subject if fit else _SUBJECT
        self._version = fit.version if fit else _VERSION
        self._keying: RowMapper | None = fit.mapper if fit else None
        self._columns = [
            (column.name, index)
            for index, column in enumerate(relation.columns)
            if column.name in kept
        ]
        self._withheld = [column.name for column in relation.columns if column.name not in kept]

    def map(self, change: RowChange, origin: ChangeOrigin) -> Breach:
        """Return the change as it came."""
        payload, sealed = self._payload(change, origin)
        return Breach(
            origin.event_id,
            self._subject,
            self._version,
            self._key(change, origin),
            self._reason,
            payload,
            sealed=sealed.marks,
        )

    def _key(self, change: RowChange, origin: ChangeOrigin) -> str | None:
        """Return the key that the row's events would have, so that its history finds it."""
        if self._keying is None:
            return None
        result = self._keying.map(change, origin)
        if isinstance(result, Event | Breach):
            return result.key
        return result[0].key if result else None

    def _payload(self, change: RowChange, origin: ChangeOrigin) -> tuple[bytes, Sealed]:
        data: dict[str, Any] = {
            "table": change.relation.name,
            "kind": change.kind.value,
            "image": change.before_image.value,
            "withheld": self._withheld,
        }
        if change.before is not None:
            data["before"], _ = self._cells(change.before)
        if change.after is not None:
            data["after"], unsent = self._cells(change.after)
            if unsent:
                data["unavailable"] = unsent
        sealed = Sealed(b"", ())
        if self._taking is not None and self._sealer is not None:
            data, portions = self._taking.take(data, origin.event_id)
            if portions:
                sealed = self._sealer.seal(origin.event_id, origin.time, portions)
        tree = {
            "specversion": "1.0",
            "id": origin.event_id,
            "source": source_urn(origin.source),
            "type": f"{self._type_prefix}.bridge.{origin.source}.parked-row.v1",
            "time": origin.time.isoformat().replace("+00:00", "Z"),
            "recordedtime": origin.recorded_time,
            "datacontenttype": "application/json",
            "dataschema": data_schema_urn(_SUBJECT, _VERSION),
            "sequence": origin.sequence,
            "data": data,
        }
        return b"%b%b}" % (orjson.dumps(tree)[:-1], sealed.attributes), sealed

    def _cells(self, row: Row) -> tuple[dict[str, Any], list[str]]:
        sent = {
            name: _shown(row[index]) for name, index in self._columns if row[index] is not UNSENT
        }
        return sent, [name for name, index in self._columns if row[index] is UNSENT]


def kept_columns(
    relation: Relation, fit: ContractFit | None, renamed: Sequence[tuple[str, str]] = ()
) -> frozenset[str]:
    """Return the columns whose cells a parked row may hold: those that the contract reads as they
    are, so none that it protects.

    A column that seems to be a mapped one under a new name counts as that one.
    """
    if fit is None:
        return frozenset()
    missing = {*fit.missing} - fit.protected
    mapped = {column.name for column in relation.columns} - {*fit.unmapped} - fit.dropped
    mapped -= fit.protected
    return frozenset(mapped | {new for old, new in renamed if old in missing})


def _shown(cell: Cell) -> Any:
    if isinstance(cell, bytes):
        return {"base64": base64.b64encode(cell).decode()}
    return cell
