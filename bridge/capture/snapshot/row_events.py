"""Spell rows of a source as events that nobody publishes, to compare them with those of the log."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from bridge.capture.ports import TableShape
from bridge.capture.snapshot.logged_rows import payload_told
from bridge.capture.snapshot.window import Key, key_row
from bridge.contracts.contract_fit import RowMapper
from bridge.model.change import BeforeImage, ChangeKind, Row, RowChange
from bridge.model.event import Breach, ChangeOrigin, Event
from bridge.model.payloads import members

_NOWHERE: Final = datetime(2000, 1, 1, tzinfo=UTC)
_WORDS: Final = {"true": "t", "false": "f"}


class ContractRowEvents:
    """Implements `RowEvents` by the contract of one table."""

    def __init__(
        self, source: str, shape: TableShape, mapper: RowMapper, fields: Mapping[str, str]
    ) -> None:
        """`fields` are the contract's field names by column."""
        self._shape = shape
        self._mapper = mapper
        self._fields = fields
        self._origin = ChangeOrigin(source, "compared", "compared", 0, _NOWHERE, "")

    def payload(self, kind: ChangeKind, row: Row) -> bytes | None:
        """Return the event of a row; a row that breaks its contract is kept in the log too."""
        relation = self._shape.relation
        if kind is ChangeKind.DELETED:
            change = RowChange(kind, relation, row, BeforeImage.KEY, None)
        else:
            change = RowChange(kind, relation, None, BeforeImage.NONE, row)
        result = self._mapper.map(change, self._origin)
        if isinstance(result, Event | Breach):
            return result.payload
        return result[-1].payload if result else None

    def source_key(self, key: str) -> Key | None:
        """Return the source's text of a key: one that this contract spells as `key` again."""
        told = members(key)
        cells = []
        for column in self._shape.key:
            value = told.get(self._fields.get(column, ""))
            if value is None:
                return None
            cells.append(_text(value))
        # The source prints moments with a space and an offset.
        spaced = [cell.replace("T", " ", 1).replace("Z", "+00") for cell in cells]
        for guess in (tuple(cells), tuple(spaced)):
            row = key_row(self._shape.relation, self._shape.key, guess)
            if self._spells(row, key):
                return guess
        return None

    def _spells(self, row: Row, key: str) -> bool:
        payload = self.payload(ChangeKind.DELETED, row)
        try:
            return payload is not None and payload_told(payload)[0][-1].key == key
        except (ValueError, KeyError, IndexError):
            return False


def _text(value: str) -> str:
    """Return a JSON value as a column's text; numbers as they are written."""
    if value.startswith('"'):
        text: str = json.loads(value)
        return text
    return _WORDS.get(value, value)
