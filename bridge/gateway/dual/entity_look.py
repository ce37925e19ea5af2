"""Compare an entity that was read back with the write that should be in it."""

from enum import Enum
from typing import Final

import orjson

from bridge.gateway.routes.sections.dual import ReadRules
from bridge.gateway.translation.json_text import find_value
from bridge.model.http import HttpRequest, HttpResponse

_GONE: Final = frozenset({404, 410})
_ABSENT: Final = object()


class Look(Enum):
    """What an entity shows of one write."""

    THERE = "there"  # It is as the write wants it, or gone when the write deletes it.
    NOT_THERE = "not there"  # It differs from what the write wants.
    UNCLEAR = "unclear"  # The answer does not tell.


def look_at(rules: ReadRules, request: HttpRequest, seen: HttpResponse) -> Look:
    """Return whether the entity in `seen` holds what `request` asked for.

    Values are compared as JSON: `1` and `1.0` are equal, `"1"` and `1` are not. An entity that
    cannot be found is no sign that a create or a change failed only where it would be found by what
    the write says: it counts as NOT_THERE, and the caller says when that may be believed.
    """
    if seen.status in _GONE:
        return Look.THERE if request.method == b"DELETE" else Look.NOT_THERE
    if not 200 <= seen.status < 300:
        return Look.UNCLEAR
    if request.method == b"DELETE":
        return Look.NOT_THERE
    if not rules.compare:
        return Look.UNCLEAR
    for theirs, ours in rules.compare.items():
        wanted = _value(request.body, ours)
        if wanted is _ABSENT:
            return Look.UNCLEAR
        if _value(seen.body, theirs) != wanted:
            return Look.NOT_THERE
    return Look.THERE


def version_of(pointer: str | None, body: bytes) -> int | None:
    """Return the version at `pointer`, or None."""
    if pointer is None:
        return None
    value = _value(body, pointer)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _value(body: bytes, pointer: str) -> object:
    span = find_value(body, pointer)
    if span is None:
        return _ABSENT
    try:
        found: object = orjson.loads(body[span[0] : span[1]])
    except orjson.JSONDecodeError:
        return _ABSENT
    return found
