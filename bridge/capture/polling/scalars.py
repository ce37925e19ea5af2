"""Values of key and order columns, kept in JSON so that they come back as what they were. Pure."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

Scalar: TypeAlias = str | int | float | Decimal | datetime | date | time | timedelta | bytes | UUID
"""What a driver returns for a column that rows can be ordered by."""

# A datetime is a date, so it is asked first; text stands for itself.
_WRITE: Final[list[tuple[type, str, Any]]] = [
    (bool, "i", lambda value: str(int(value))),
    (int, "i", str),
    (float, "f", repr),
    (Decimal, "n", str),
    (datetime, "m", datetime.isoformat),
    (date, "d", date.isoformat),
    (time, "t", time.isoformat),
    (timedelta, "s", lambda value: str(value // timedelta(microseconds=1))),
    (bytes, "b", bytes.hex),
    (UUID, "u", str),
]
_READ: Final[dict[str, Any]] = {
    "i": int,
    "f": float,
    "n": Decimal,
    "m": datetime.fromisoformat,
    "d": date.fromisoformat,
    "t": time.fromisoformat,
    "s": lambda text: timedelta(microseconds=int(text)),
    "b": bytes.fromhex,
    "u": UUID,
}


def format_scalar(value: Scalar) -> Any:
    """Return the JSON form of `value`: a text as it is, all else as `{letter: text}`."""
    if isinstance(value, str):
        return value
    for kind, letter, write in _WRITE:
        if isinstance(value, kind):
            return {letter: write(value)}
    raise TypeError(f"cannot keep a value of type {type(value).__name__} as a position")


def parse_scalar(form: Any) -> Scalar:
    """Return the value in its JSON form; raises `ValueError` when it is none."""
    if isinstance(form, str):
        return form
    if not isinstance(form, dict) or len(form) != 1:
        raise ValueError("expected a text or one letter with a text")
    ((letter, text),) = form.items()
    if letter not in _READ or not isinstance(text, str):
        raise ValueError(f"unknown kind of value {letter!r}")
    value: Scalar = _READ[letter](text)
    return value
