"""SQLAlchemy's types → the types that a mapping gives to fields.

Only what reflection says is used; a type that SQLAlchemy does not know becomes `text`, which passes
the database's own text on together with the type's name.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import types as generic
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeEngine

TypeTree = dict[str, Any]
Limits = dict[str, Any]

_TEXT: Final[TypeTree] = {"type": "text"}

_INT_BITS: Final = ((generic.SmallInteger, 16), (generic.BigInteger, 64), (generic.Integer, 32))

# A float shows 2^53 exactly; readers that keep numbers as floats lose digits beyond.
_SAFE_BITS: Final = 53

_RANGES: Final[Mapping[type[TypeEngine[Any]], TypeTree]] = {
    postgresql.INT4RANGE: {"type": "integer"},
    postgresql.INT8RANGE: {"type": "integer"},
    postgresql.NUMRANGE: {"type": "decimal"},
    postgresql.DATERANGE: {"type": "date"},
    postgresql.TSRANGE: {"type": "timestamp"},
    postgresql.TSTZRANGE: {"type": "timestamptz"},
}
_MULTIRANGES: Final[Mapping[type[TypeEngine[Any]], TypeTree]] = {
    postgresql.INT4MULTIRANGE: {"type": "integer"},
    postgresql.INT8MULTIRANGE: {"type": "integer"},
    postgresql.NUMMULTIRANGE: {"type": "decimal"},
    postgresql.DATEMULTIRANGE: {"type": "date"},
    postgresql.TSMULTIRANGE: {"type": "timestamp"},
    postgresql.TSTZMULTIRANGE: {"type": "timestamptz"},
}


def field_type(column: TypeEngine[Any]) -> tuple[TypeTree, Limits]:
    """Return the mapping's type for a reflected column type, and what limits the catalog gives."""
    if isinstance(column, postgresql.DOMAIN):
        return field_type(column.data_type)
    for types, name in ((_RANGES, "range"), (_MULTIRANGES, "multirange")):
        for known, items in types.items():
            if isinstance(column, known):
                return {"type": name, "items": items}, {}
    if isinstance(column, generic.ARRAY):
        items, _ = field_type(column.item_type)
        # Inside an array the text of an unknown type has no name to go with it.
        return ({"type": "text"}, {}) if items == _TEXT else ({"type": "array", "items": items}, {})
    return _scalar(column)


def _scalar(column: TypeEngine[Any]) -> tuple[TypeTree, Limits]:
    if isinstance(column, postgresql.MONEY):
        return {"type": "decimal", "of": "money"}, {}
    if isinstance(column, postgresql.HSTORE):
        return {"type": "hstore"}, {}
    if isinstance(column, mysql.BIT | mysql.SET | mysql.YEAR):
        return {"type": "string" if isinstance(column, mysql.SET) else "integer"}, {}
    if isinstance(column, generic.Enum):
        return {"type": "string"}, {"enum": list(column.enums)} if column.enums else {}
    if isinstance(column, generic.Boolean):
        return {"type": "boolean"}, {}
    if isinstance(column, generic.Integer):
        return _integer(column)
    if isinstance(column, generic.Float):
        return {"type": "float"}, {}
    if isinstance(column, generic.Numeric):
        return {"type": "decimal"}, {}
    return _other(column)


def _integer(column: generic.Integer) -> tuple[TypeTree, Limits]:
    bits = next(bits for kind, bits in _INT_BITS if isinstance(column, kind))
    if isinstance(column, mysql.TINYINT):
        bits = 8
    elif isinstance(column, mysql.MEDIUMINT):
        bits = 24
    unsigned = bool(getattr(column, "unsigned", False))
    if bits > _SAFE_BITS:
        return {"type": "integer", "as": "string"}, {}
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return {"type": "integer"}, {"minimum": low, "maximum": high}


def _other(column: TypeEngine[Any]) -> tuple[TypeTree, Limits]:
    if isinstance(column, generic.DateTime):
        # MySQL's TIMESTAMP is a moment, kept in UTC; its DATETIME is what somebody's wall showed.
        moment = column.timezone or isinstance(column, mysql.TIMESTAMP)
        return {"type": "timestamptz" if moment else "timestamp"}, {}
    plain: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
        (generic.Date, "date"),
        (generic.Time, "time"),
        (generic.Interval, "interval"),
        (postgresql.INTERVAL, "interval"),
        (generic.Uuid, "uuid"),
        (generic.JSON, "json"),
        (generic.LargeBinary, "bytes"),
        (generic.BINARY, "bytes"),
        (generic.VARBINARY, "bytes"),
    )
    for known, name in plain:
        if isinstance(column, known):
            return {"type": name}, {}
    if isinstance(column, generic.String):
        longest = column.length
        return {"type": "string"}, {} if longest is None else {"maxLength": longest}
    return dict(_TEXT), {}
