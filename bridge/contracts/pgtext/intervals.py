"""Intervals as ISO 8601 durations: `P1Y2M3DT4H5M6.5S`, each part with a sign of its own.

An interval is three numbers that do not mix: months (their length differs), days (a day may have
23 or 25 hours) and microseconds. The text keeps them apart: years and months, days, hours to
seconds. Months beyond 11 become years, seconds beyond 59 minutes, minutes beyond 59 hours; hours
never become days.
"""

import re
from typing import Final, NamedTuple

_NUMBER = r"-?[0-9]{1,10}"
_TEXT: Final = re.compile(
    rf"P(?=[-0-9T])(?:({_NUMBER})Y)?(?:({_NUMBER})M)?(?:({_NUMBER})D)?"
    rf"(?:T(?=[-0-9])(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:(-?)([0-9]{{1,10}})(?:\.([0-9]{{1,6}}))?S)?)?"
)

INFINITIES: Final = frozenset(("infinity", "-infinity"))
"""PostgreSQL 17 and later."""


class ParsedInterval(NamedTuple):
    """The three numbers of an interval."""

    months: int
    days: int
    microseconds: int


def parse_interval(text: str) -> ParsedInterval:
    """Return the parts; raises `ValueError` when `text` is no duration (an infinity has none)."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError
    years, months, days, hours, minutes, sign, seconds, fraction = match.groups()
    microseconds = int(seconds or 0) * 1_000_000 + int((fraction or "").ljust(6, "0"))
    if sign == "-":
        microseconds = -microseconds
    return ParsedInterval(
        int(years or 0) * 12 + int(months or 0),
        int(days or 0),
        microseconds + (int(hours or 0) * 60 + int(minutes or 0)) * 60_000_000,
    )


def format_interval(parsed: ParsedInterval) -> str:
    """Return the text as PostgreSQL prints it with `intervalstyle = iso_8601`."""
    years, months = _split(parsed.months, 12)
    minutes, rest = _split(parsed.microseconds, 60_000_000)
    hours, minutes = _split(minutes, 60)
    date = "".join(
        f"{number}{unit}"
        for number, unit in ((years, "Y"), (months, "M"), (parsed.days, "D"))
        if number
    )
    clock = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    if rest:
        clock += f"{seconds_text(rest)}S"
    if clock:
        clock = f"T{clock}"
    return f"P{date}{clock}" if date or clock else "PT0S"


def seconds_text(microseconds: int) -> str:
    """Return seconds as a decimal text without needless zeros."""
    whole, fraction = divmod(abs(microseconds), 1_000_000)
    sign = "-" if microseconds < 0 else ""
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:06d}".rstrip("0")


def _split(number: int, base: int) -> tuple[int, int]:
    """Divide towards zero, as the server does: both parts have the sign of `number`."""
    whole, rest = divmod(abs(number), base)
    return (-whole, -rest) if number < 0 else (whole, rest)
