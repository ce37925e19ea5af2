"""Readers of structured values: arrays, ranges, composites, hstore, and named texts.

They are put together once per table. A plain column never comes here: its expression stands in the
generated row function. What a JSON value cannot say itself, an array's shifted subscripts, goes
into `Bounds`.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import orjson

from bridge.contracts.conversions import NAMESPACE, expression
from bridge.contracts.field_types import FieldType
from bridge.contracts.pgtext.arrays import parse_array
from bridge.contracts.pgtext.composites import parse_composite
from bridge.contracts.pgtext.hstores import parse_hstore
from bridge.contracts.pgtext.ranges import ParsedRange, parse_multirange, parse_range
from bridge.contracts.pgtext.type_names import type_name

Bounds: TypeAlias = dict[str, list[int]]
"""Path of an array → where its subscripts begin, by dimension; only when that is not 1."""

Reader: TypeAlias = Callable[[str, str, Bounds], Any]
"""From a text, its path in the event, and where to note bounds, to a JSON value."""

_UNKNOWN_OID: Final = 0  # Inside a structure nothing says the type: read strictly.
_BOX_ARRAY: Final = 1020


class BoundsShifted(ValueError):
    """A value has bounds that a reader without a place for them would lose."""


class _NoBounds(dict[str, list[int]]):
    def __setitem__(self, path: str, bounds: list[int]) -> None:
        raise BoundsShifted


NO_BOUNDS: Final[Bounds] = _NoBounds()
"""For the quick path: any bounds send the row to the careful one."""


def reader(shape: FieldType, type_oid: int = _UNKNOWN_OID, *, exact: bool = False) -> Reader:
    """Return what reads texts of `shape`.

    With `exact`, JSON and numbers stay the very text, and what is read was read once without it.
    """
    if shape.is_plain:
        return _plain(shape.conversion, type_oid, exact)
    if shape.name == "text":
        return _text(shape.of or type_name(type_oid))
    if shape.name == "hstore":
        return lambda text, _path, _bounds: parse_hstore(text)
    if shape.name == "object":
        return _object(shape, exact)
    assert shape.items is not None, "these structures have items"
    item = reader(shape.items, exact=exact)
    if shape.name == "range":
        return _range(item)
    if shape.name == "multirange":
        return _multirange(item)
    return _array(item, shape.delimiter or (";" if type_oid == _BOX_ARRAY else ","))


def _plain(conversion: str, type_oid: int, exact: bool) -> Reader:
    source = f"lambda v: {expression(conversion, type_oid, 'v')}"
    convert: Callable[[str], Any] = eval(source, dict(NAMESPACE))  # noqa: S307 - our own text
    if exact and conversion == "json":
        return lambda text, _path, _bounds: orjson.Fragment(text)
    if exact and conversion == "decimal_number":
        return lambda text, _path, _bounds: orjson.Fragment(text) if text[-1].isdigit() else text
    return lambda text, _path, _bounds: convert(text)


def _text(name: str) -> Reader:
    return lambda text, _path, _bounds: {"type": name, "text": text}


def _object(shape: FieldType, exact: bool) -> Reader:
    fields = [(name, reader(below, exact=exact)) for name, below in shape.fields]

    def read(text: str, path: str, bounds: Bounds) -> Any:
        parts = parse_composite(text)
        if len(parts) != len(fields):
            raise ValueError  # The type was altered since the mapping was written.
        return {
            name: None if part is None else read_field(part, f"{path}/{name}", bounds)
            for (name, read_field), part in zip(fields, parts, strict=True)
        }

    return read


def _array(item: Reader, delimiter: str) -> Reader:
    def nested(value: Any, path: str, bounds: Bounds) -> Any:
        if isinstance(value, list):
            return [nested(below, f"{path}/{place}", bounds) for place, below in enumerate(value)]
        return None if value is None else item(value, path, bounds)

    def read(text: str, path: str, bounds: Bounds) -> Any:
        items, lower_bounds = parse_array(text, delimiter)
        if lower_bounds is not None:
            bounds[path] = list(lower_bounds)
        return nested(items, path, bounds)

    return read


def _range_value(item: Reader, parsed: ParsedRange, path: str, bounds: Bounds) -> Any:
    lower, upper = parsed.lower, parsed.upper
    return {
        "lower": None if lower is None else item(lower, f"{path}/lower", bounds),
        "upper": None if upper is None else item(upper, f"{path}/upper", bounds),
        "lower_inclusive": parsed.lower_inclusive,
        "upper_inclusive": parsed.upper_inclusive,
    }


def _range(item: Reader) -> Reader:
    def read(text: str, path: str, bounds: Bounds) -> Any:
        parsed = parse_range(text)
        return {"empty": True} if parsed is None else _range_value(item, parsed, path, bounds)

    return read


def _multirange(item: Reader) -> Reader:
    def read(text: str, path: str, bounds: Bounds) -> Any:
        return [
            _range_value(item, parsed, f"{path}/{place}", bounds)
            for place, parsed in enumerate(parse_multirange(text))
        ]

    return read
