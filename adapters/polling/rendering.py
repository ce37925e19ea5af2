"""Drivers' values → texts in PostgreSQL's forms, so that one codec reads every database. Exact.

A value that has no such form (MySQL's zero dates, times beyond a day) keeps its own text: the
contract then decides, and what it does not take is parked.
"""

import json
import struct
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.model.change import Cell


def cell(value: Any) -> Cell:
    """Return the text of a driver's value by its Python type; NULL stays NULL."""
    if value is None:
        return None
    for kind, render in _RENDERERS:
        if isinstance(value, kind):
            text: str = render(value)
            return text
    return str(value)


def utc_cell(value: Any) -> Cell:
    """Return the text of an instant that the driver gives in UTC, without saying so."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return _datetime(value.replace(tzinfo=UTC))
    return cell(value)


def bit_cell(value: Any, width: int) -> Cell:
    """Return a bit string, as PostgreSQL writes `bit(n)`, from the bytes that hold it."""
    if isinstance(value, bytes | bytearray):
        return format(int.from_bytes(value, "big"), f"0{width}b")
    return cell(value)


def single_cell(value: Any) -> Cell:
    """Return the shortest text of a single-precision number that the driver gives as a double."""
    if not isinstance(value, float) or value != value or value in (float("inf"), float("-inf")):
        return cell(value)
    for digits in range(6, 9):
        text = f"{value:.{digits}g}"
        if struct.pack("f", float(text)) == struct.pack("f", value):
            return cell(float(text))
    return cell(float(f"{value:.9g}"))


def _float(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    text = repr(value)
    return text.removesuffix(".0")


def _decimal(value: Decimal) -> str:
    return format(value, "f") if value.is_finite() else str(value)


def _datetime(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat(" ")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ") + "+00"


def _span(value: timedelta) -> str:
    sign, value = ("-", -value) if value < timedelta() else ("", value)
    seconds, fraction = divmod(value // timedelta(microseconds=1), 1_000_000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    rest = f".{fraction:06d}" if fraction else ""
    return f"{sign}{hours:02d}:{minute:02d}:{second:02d}{rest}"


# A bool is an int and a datetime is a date: the narrower type is asked first.
_RENDERERS: tuple[tuple[type | tuple[type, ...], Any], ...] = (
    (str, str),
    (bool, lambda value: "t" if value else "f"),
    (int, str),
    (float, _float),
    (Decimal, _decimal),
    (datetime, _datetime),
    (date, date.isoformat),
    (time, time.isoformat),
    (timedelta, _span),
    ((bytes, bytearray), lambda value: f"\\x{value.hex()}"),
    (memoryview, lambda value: f"\\x{value.hex()}"),
    (UUID, str),
    ((dict, list), lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))),
    ((set, frozenset), lambda value: ",".join(sorted(value))),
)
