"""One spelling for every JSON value."""

from decimal import Decimal

import orjson


def equal_exactly(authority: object, other: object) -> bool:
    """Return whether two values are one JSON value; False also when they are too deep to tell."""
    try:
        return canonical(authority) == canonical(other)
    except (RecursionError, orjson.JSONEncodeError):
        return False


def canonical(value: object) -> bytes:
    """Return bytes that are equal for equal JSON values (members sorted, 12.0 apart from 12)."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return {"decimal": str(value.normalize())}
    if isinstance(value, int):
        return {"decimal": str(value)}  # Beyond 64 bits.
    raise TypeError
