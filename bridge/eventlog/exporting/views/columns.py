"""Columns of views: what a contract's schema declares, and values brought to a column's type. Pure.

A column's type comes from the schema where that is simple; everything else is JSON text. Decimals
are text in contracts and stay text here, digit for digit.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from bridge.eventlog.exporting.leaf_filter import six_digits
from bridge.eventlog.exporting.views.numbers import Number, json_text


class ColumnType(Enum):
    """What a column holds."""

    INTEGER = "integer"  # 64 bits, signed.
    FLOAT = "float"
    BOOLEAN = "boolean"
    TEXT = "text"
    DATE = "date"
    MOMENT = "moment"  # A moment, in UTC.
    LOCAL = "local"  # A local time of an unnamed zone.
    JSON = "json"


class Column(NamedTuple):
    """One column."""

    name: str
    type: ColumnType


# As deep as contracts nest; what lies deeper is JSON text in its column.
_DEPTH_MAX: Final = 6

# A row's own members; others stand under `data.`, as they might be called like a leaf's fact.
_ROW_MEMBERS: Final = ("key", "after", "before")

_SIMPLE: Final = {
    "integer": ColumnType.INTEGER,
    "number": ColumnType.FLOAT,
    "boolean": ColumnType.BOOLEAN,
    "string": ColumnType.TEXT,
}
_FORMATS: Final = {
    "date": ColumnType.DATE,
    "date-time": ColumnType.MOMENT,
    "local-date-time": ColumnType.LOCAL,
}


@lru_cache(
    maxsize=4_096
)  # Contracts have some dozens of paths each; a row asks for all of its own.
def data_name(path: str) -> str:
    """Return the name of the column for `path` in an event's data."""
    member, _, _ = path.partition(".")
    return path if member in _ROW_MEMBERS else f"data.{path}"


def declared_columns(schema: Mapping[str, Any]) -> tuple[Column, ...]:
    """Return the columns of a contract's data, in the schema's order; none for an odd schema."""
    return tuple(
        Column(data_name(path), kind) for path, kind in _leaves(schema, schema, "", _DEPTH_MAX)
    )


def _leaves(
    root: Mapping[str, Any], found: Any, path: str, depth: int
) -> Iterator[tuple[str, ColumnType]]:
    node = _resolved(root, found)
    members = node.get("properties")
    if isinstance(members, Mapping) and members and depth:
        for name, below in members.items():
            yield from _leaves(root, below, f"{path}.{name}" if path else name, depth - 1)
    elif path:
        yield path, _column_type(node)


def _resolved(root: Mapping[str, Any], node: Any) -> Mapping[str, Any]:
    """Follow references within the schema; more than a few in a row are a circle."""
    for _ in range(_DEPTH_MAX):
        if not isinstance(node, Mapping) or not isinstance(node.get("$ref"), str):
            break
        target: Any = root
        for part in node["$ref"].removeprefix("#").split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            target = target.get(part) if isinstance(target, Mapping) else None
        node = target
    return node if isinstance(node, Mapping) else {}


def _column_type(node: Mapping[str, Any]) -> ColumnType:
    named = node.get("type")
    names = [named] if isinstance(named, str) else list(named or ())
    names = [name for name in names if name != "null"]
    choices = node.get("enum")
    if not names and isinstance(choices, list):
        texts = all(isinstance(choice, str) or choice is None for choice in choices)
        return ColumnType.TEXT if texts else ColumnType.JSON
    if len(names) != 1 or names[0] not in _SIMPLE:
        return ColumnType.JSON
    kind = _SIMPLE[names[0]]
    if kind is ColumnType.TEXT:
        return _FORMATS.get(str(node.get("format")), kind)
    return kind


def converted(kind: ColumnType, value: Any) -> Any:
    """Return `value` as a column of type `kind` keeps it.

    Raises:
        ValueError: it does not fit, or not without loss.
    """
    if value is None:
        return None
    if kind is ColumnType.JSON:
        return json_text(value)
    if kind is ColumnType.BOOLEAN:
        return _only(value, isinstance(value, bool))
    if kind in (ColumnType.INTEGER, ColumnType.FLOAT):
        return _number(kind, value)
    if not isinstance(value, str) or isinstance(value, Number):
        raise ValueError("not a text")
    if kind is ColumnType.TEXT:
        return value
    if kind is ColumnType.DATE:
        return date.fromisoformat(_only(value, len(value) == len("2026-11-21")))
    return _time(kind, value)


def _only(value: Any, is_fit: bool) -> Any:
    if not is_fit:
        raise ValueError("does not fit")
    return value


def _number(kind: ColumnType, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | Number):
        raise ValueError("not a number")
    if kind is ColumnType.INTEGER:
        whole = int(value)
        return int(_only(whole, -(2**63) <= whole < 2**63))
    near = float(value)
    exact = near == value if isinstance(value, int) else Decimal(repr(near)) == Decimal(value)
    return float(_only(near, exact))


def _time(kind: ColumnType, text: str) -> datetime:
    """Return a time of at most six digits of a second; more would be lost."""
    _, _, fraction = text.rstrip("Z").partition(".")
    if len(fraction.partition("+")[0]) > 6:
        raise ValueError("more than microseconds")
    moment = datetime.fromisoformat(text)
    if kind is ColumnType.LOCAL:
        return _aware(moment, False)
    return _aware(moment, True).astimezone(UTC)


def _aware(moment: datetime, wanted: bool) -> datetime:
    if (moment.tzinfo is not None) is not wanted:
        raise ValueError("a zone is missing or too much")
    return moment


def utc_moment(text: Any) -> datetime | None:
    """Return the moment of a leaf's time, or None when it is of another form."""
    exact = six_digits(text) if isinstance(text, str) else None
    if exact is None:
        return None
    try:
        return datetime.fromisoformat(exact)
    except ValueError:
        return None
