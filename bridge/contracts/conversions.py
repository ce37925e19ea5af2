"""PostgreSQL's text forms → JSON values, one expression per field type.

A source pins its rendering (ISO dates, UTC, hex bytea, `t`/`f`), so a column of the matching type
needs no check: its expression is chosen for speed by type OID. A column of any other type (legacy
schemas keep dates and numbers in text) goes through a strict reading. Both raise `ValueError`,
`KeyError`, `TypeError` or `IndexError` on a text that is not what the mapping says; the caller
tells the field and the type, never the text.

Years outside 0000…9999 become signed years of at least six digits (44 BC → `-000043`), `infinity`
and `NaN` stay as PostgreSQL spells them: never null, never a made-up value.
"""

import base64
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, TypeAlias

import orjson

from bridge.contracts.pgtext.intervals import INFINITIES, parse_interval, seconds_text

BOOL, BYTEA, INT8, INT2, INT4, OID, JSON, FLOAT4, FLOAT8 = 16, 17, 20, 21, 23, 26, 114, 700, 701
BPCHAR, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID = 1042, 1082, 1083, 1114, 1184, 1700, 2950
MONEY, INTERVAL = 790, 1186

CodeMeaning: TypeAlias = str | int | float | bool | None

_INTEGERS = frozenset((INT2, INT4, INT8, OID))
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1  # What orjson and most readers take.

_INTEGER_TEXT = re.compile(r" *(-?[0-9]{1,20}) *")
_DIGITS_TEXT = re.compile(r" *(-?[0-9]+) *")
_MONEY_TEXT = re.compile(r"(-?)\$([0-9]{1,3}(?:,[0-9]{3})*\.[0-9]{2})")
_DECIMAL_TEXT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?|NaN|-?Infinity")
_FLOAT_TEXT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|NaN|-?Infinity")
_UUID_TEXT = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DAY = r"([0-9]{4,7})-((?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))"
_CLOCK = r"((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?)"
_OFFSET = r"([+-])([0-9]{2})(?::([0-9]{2}))?(?::([0-9]{2}))?"
_DATE_TEXT = re.compile(rf"{_DAY}( BC)?")
_TIMESTAMP_TEXT = re.compile(rf"{_DAY}[ T]{_CLOCK}( BC)?")
_TIMESTAMPTZ_TEXT = re.compile(rf"{_DAY}[ T]{_CLOCK}{_OFFSET}( BC)?")
_TIME_TEXT = re.compile(rf"({_CLOCK}|24:00:00)(?:{_OFFSET})?")
_INFINITIES = INFINITIES


def _integer(text: str) -> int:
    match = _INTEGER_TEXT.fullmatch(text)
    if match is None:
        raise ValueError
    number = int(match[1])
    if not _INT64_MIN <= number <= _UINT64_MAX:
        raise ValueError
    return number


def _decimal(text: str) -> str:
    if _DECIMAL_TEXT.fullmatch(text) is None:
        raise ValueError
    return text


def _digits(text: str) -> str:
    match = _DIGITS_TEXT.fullmatch(text)
    if match is None:
        raise ValueError
    return match[1]


def _number(text: str) -> Any:
    """Return a number to judge by; the event gets the digits of `text` themselves."""
    _decimal(text)
    return orjson.loads(text) if text[-1].isdigit() else text


def _money(text: str) -> str:
    """Read what `lc_monetary = C` prints: `-$1,234.50`."""
    match = _MONEY_TEXT.fullmatch(text)
    if match is None:
        raise ValueError
    return match[1] + match[2].replace(",", "")


def _interval(text: str) -> str:
    if text not in INFINITIES:
        parse_interval(text)
    return text


def _interval_parts(text: str) -> Any:
    if text in INFINITIES:
        return text
    months, days, microseconds = parse_interval(text)
    return {"months": months, "days": days, "seconds": seconds_text(microseconds)}


def _float(text: str) -> float | str:
    if _FLOAT_TEXT.fullmatch(text) is None:
        raise ValueError
    number = float(text)
    if math.isfinite(number):
        return number
    if text[-1].isdigit():
        raise ValueError  # A finite text that a double cannot hold.
    return text


def _uuid(text: str) -> str:
    if _UUID_TEXT.fullmatch(text) is None:
        raise ValueError
    return text


def _year(digits: str, era: str | None) -> str:
    """Return an ISO 8601 year; astronomical, so 1 BC is year 0000 and 44 BC is -000043."""
    year = int(digits) if era is None else 1 - int(digits)
    if 0 <= year <= 9999:
        return f"{year:04d}"
    return f"{year:+07d}"


def _date(text: str) -> str:
    if text in _INFINITIES:
        return text
    match = _DATE_TEXT.fullmatch(text)
    if match is None:
        raise ValueError
    return f"{_year(match[1], match[3])}-{match[2]}"


def _timestamp(text: str) -> str:
    if text in _INFINITIES:
        return text
    match = _TIMESTAMP_TEXT.fullmatch(text)
    if match is None:
        raise ValueError
    return f"{_year(match[1], match[4])}-{match[2]}T{match[3]}"


def _timestamptz(text: str) -> str:
    if text in _INFINITIES:
        return text
    match = _TIMESTAMPTZ_TEXT.fullmatch(text)
    if match is None:
        raise ValueError
    digits, day, clock, sign, hours, minutes, seconds, era = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes or 0), seconds=int(seconds or 0))
    if not offset:
        return f"{_year(digits, era)}-{day}T{clock}Z"
    if era is not None or len(digits) > 4:
        raise ValueError  # Outside what datetime can move to UTC.
    zone = timezone(offset if sign == "+" else -offset)
    moment = datetime.fromisoformat(f"{digits}-{day}T{clock}").replace(tzinfo=zone)
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _time(text: str) -> str:
    match = _TIME_TEXT.fullmatch(text)
    if match is None:
        raise ValueError
    clock, _, sign, hours, minutes, seconds = match.groups()
    if sign is None:
        return str(clock)
    offset = f"{sign}{hours}:{minutes or '00'}"
    if seconds is not None:  # Old zones had them; RFC 3339 has not: contracts must let them in.
        offset += f":{seconds}"
    return f"{clock}Z" if offset == "+00:00" else f"{clock}{offset}"


def _bytes(text: str) -> str:
    if text[:2] != "\\x":
        raise ValueError
    return base64.b64encode(bytes.fromhex(text[2:])).decode("ascii")


_FAST: Final[dict[tuple[str, int], str]] = {
    **{("integer", oid): "int({v})" for oid in _INTEGERS},
    **{("decimal", oid): "{v}" for oid in (*_INTEGERS, NUMERIC)},
    ("date", DATE): "({v} if len({v}) == 10 else _date({v}))",
    ("time", TIME): "{v}",
    ("timestamp", TIMESTAMP): (
        '(f"{{{v}[:10]}}T{{{v}[11:]}}" if {v}[10:11] == " " and {v}[-1] != "C"'
        " else _timestamp({v}))"
    ),
    ("timestamptz", TIMESTAMPTZ): (
        '(f"{{{v}[:10]}}T{{{v}[11:-3]}}Z" if {v}[10:11] == " " and {v}[-3:] == "+00"'
        " else _timestamptz({v}))"
    ),
    ("uuid", UUID): "{v}",
    ("interval", INTERVAL): "{v}",
    ("decimal", MONEY): "_money({v})",
    **{("integer_text", oid): "{v}" for oid in _INTEGERS},
}

_STRICT: Final[dict[str, str]] = {
    "string": "{v}",
    "integer": "_integer({v})",
    "decimal": "_decimal({v})",
    "boolean": "_BOOLEANS[{v}]",
    "timestamp": "_timestamp({v})",
    "timestamptz": "_timestamptz({v})",
    "date": "_date({v})",
    "time": "_time({v})",
    "json": "_loads({v})",
    "bytes": "_bytes({v})",
    "float": "_float({v})",
    "uuid": "_uuid({v})",
    "interval": "_interval({v})",
}

TYPES: Final = tuple(_STRICT)
"""The plain field types that a mapping may name."""

_VARIANTS: Final[dict[str, str]] = {
    "integer_text": "_digits({v})",
    "decimal_number": "_number({v})",
    "money": "_money({v})",
    "interval_parts": "_interval_parts({v})",
}
"""What other forms of these types convert with."""

PASSED_THROUGH: Final = frozenset(("json", "decimal_number"))
"""Conversions whose value is only judged: the event holds the text itself."""

NAMESPACE: Final[dict[str, Any]] = {
    "_integer": _integer,
    "_decimal": _decimal,
    "_BOOLEANS": {"t": True, "f": False},
    "_timestamp": _timestamp,
    "_timestamptz": _timestamptz,
    "_date": _date,
    "_time": _time,
    "_loads": orjson.loads,
    "_bytes": _bytes,
    "_float": _float,
    "_uuid": _uuid,
    "_digits": _digits,
    "_number": _number,
    "_money": _money,
    "_interval": _interval,
    "_interval_parts": _interval_parts,
}
"""What the expressions refer to."""


def expression(conversion: str, type_oid: int, variable: str) -> str:
    """Return a Python expression that converts the text in `variable`, over `NAMESPACE`."""
    template = _FAST.get((conversion, type_oid)) or _STRICT.get(conversion)
    return (template or _VARIANTS[conversion]).format(v=variable)


def code_table(
    codes: Mapping[str, CodeMeaning], type_oid: int, type_modifier: int
) -> dict[str, CodeMeaning]:
    """Return `codes` keyed by the texts that the column sends.

    `char(n)` comes padded to its length, which its type modifier tells (n + 4).
    """
    if type_oid != BPCHAR or type_modifier <= 4:
        return dict(codes)
    return {code.ljust(type_modifier - 4): meaning for code, meaning in codes.items()}
