"""What a captured table holds, in place of the legacy application's answer.

The log tells a row's fields as of now; modern's answer is cut down to the members that the route
pairs with fields. So the walk asks the legacy system about nothing but what differs: capture may be
behind its database, so that a table alone proves no difference.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

import orjson

from bridge.gateway.reconciliation.rules import EntityRule
from bridge.gateway.reconciliation.sides import Look, Readers
from bridge.model.http import HttpResponse
from bridge.model.stage import Side

_JSON: Final = ((b"Content-Type", b"application/json"),)
_UNREADABLE: Final = Look(answer=None, digest=None, readable=False)
_NOTHING: Final = Look(answer=None, digest=None)


class TableRow(NamedTuple):
    """A row as the log tells it."""

    certain: bool
    """False when the log does not say what it holds, or the index is behind the log."""
    fields: Mapping[str, Any] | None
    """JSON values by the contract's names; None when there is no such row."""


class TableReader(Protocol):
    """Reads rows out of the event log; blocking."""

    def row(self, subject: str, key: str) -> TableRow:
        """Return the row whose key a client calls `key`.

        Raises:
            StorageUnavailable: the log or its index cannot be read now.
        """


class TableSides:
    """As `Sides`, with the captured table for the legacy side."""

    def __init__(self, sides: Readers, table: TableReader) -> None:
        self._sides = sides
        self._table = table

    def lane(self, rule: EntityRule, key: str) -> str:
        """Return the lane of an entity's writes."""
        return self._sides.lane(rule, key)

    def other_ids(self, rule: EntityRule, towards: Side) -> Callable[[str, str], str | None]:
        """Return what finds the id on `towards` for one of the other side's."""
        return self._sides.other_ids(rule, towards)

    async def read(self, rule: EntityRule, key: str, side: Side, *, authority: bool) -> Look:
        """Read the row, or modern's answer cut down to what the row can be compared with."""
        rules = rule.route.reconcile
        assert rules.subject is not None, "only such rules are walked by their table"
        if side is Side.LEGACY:
            row = await asyncio.to_thread(self._table.row, rules.subject, key)
            if not row.certain:
                return _UNREADABLE
            if row.fields is None:
                return _NOTHING
            held = row.fields
            found = {at: held[name] for at, name in rules.fields.items() if name in held}
        else:
            look = await self._sides.read(rule, key, side, authority=authority)
            if look.answer is None:
                return look
            try:
                tree = orjson.loads(look.answer.body)
            except ValueError:
                return _UNREADABLE
            found = {at: value for at in rules.fields if (value := _value(tree, at)) is not _ABSENT}
        answer = HttpResponse(
            status=200, reason=b"OK", headers=_JSON, body=orjson.dumps(_tree(found))
        )
        ids = self.other_ids(rule, side.other) if authority else None
        return Look(answer=answer, digest=rule.comparer.digest(answer, ids=ids))


_ABSENT: Final = object()


def _tokens(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def _value(tree: Any, pointer: str) -> Any:
    for token in _tokens(pointer):
        if not isinstance(tree, dict) or token not in tree:
            return _ABSENT
        tree = tree[token]
    return tree


def _tree(found: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for pointer, value in found.items():
        *way, last = _tokens(pointer)
        place = made
        for token in way:
            place = place.setdefault(token, {})
        place[last] = value
    return made
