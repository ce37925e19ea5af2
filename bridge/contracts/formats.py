"""The `format` values that contracts may use: all of them are asserted.

Each format is one regular expression, so both validators (the quick one on the hot path, the
explaining one in reports) judge by the same text and cannot drift apart. A format that is not in
this list is refused when a contract is loaded: a format that nobody checks is a false promise.

They accept finite values only. A contract that lets PostgreSQL's `infinity` or `NaN` through says
so itself (`"anyOf": [{"format": "decimal"}, {"const": "NaN"}]`), because its readers must cope.
"""

import re
from collections.abc import Callable
from typing import Final

# Calendar days that exist, 29 February in leap years only; years of four digits.
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = (
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP}-02-29)"
)
# Years that four digits cannot hold are signed and have at least six digits, as ECMAScript reads
# them; PostgreSQL's own limits (4713 BC, 5874897) fit.
_FAR_DATE = "(?:[+-][0-9]{6,7}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))"
_CLOCK = r"(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?)"
_OFFSET = "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
# A leap second is one in UTC only, so it is taken with Z alone; PostgreSQL never prints one.
_LEAP_SECOND = r"(?:23:59:60(?:\.[0-9]{1,9})?[Zz])"

# An ISO 8601 duration in which each part has a sign of its own, as PostgreSQL prints intervals.
_N = "-?[0-9]{1,10}"
_SECONDS = r"-?[0-9]{1,10}(?:\.[0-9]{1,6})?S"
_DAYS = f"(?:{_N}Y(?:{_N}M)?(?:{_N}D)?|{_N}M(?:{_N}D)?|{_N}D)"
_HOURS = f"T(?:{_N}H(?:{_N}M)?(?:{_SECONDS})?|{_N}M(?:{_SECONDS})?|{_SECONDS})"

PATTERNS: Final[dict[str, str]] = {
    "date": f"^{_DATE}$",
    "time": f"^(?:{_CLOCK}{_OFFSET}|{_LEAP_SECOND})$",
    "date-time": f"^{_DATE}[Tt](?:{_CLOCK}{_OFFSET}|{_LEAP_SECOND})$",
    # Of our own: what SQL has and RFC 3339 has not.
    "local-time": f"^(?:{_CLOCK}|24:00:00)$",
    "local-date-time": f"^(?:{_DATE}|{_FAR_DATE})T{_CLOCK}$",
    # The same with the years that four digits cannot hold, which RFC 3339 has not.
    "far-date": f"^(?:{_DATE}|{_FAR_DATE})$",
    "far-date-time": f"^(?:{_DATE}|{_FAR_DATE})T{_CLOCK}Z$",
    "interval": f"^P(?:{_DAYS}(?:{_HOURS})?|{_HOURS})$",
    "decimal": r"^-?[0-9]+(?:\.[0-9]+)?$",
    "uuid": "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
}
"""Format name → ECMA-262 pattern (also valid for Python and Rust), anchored at both ends."""


def _checker(pattern: str) -> Callable[[object], bool]:
    # Python's `$` also matches before a last line feed, so the whole text is matched instead.
    matches = re.compile(pattern[1:-1]).fullmatch

    def check(instance: object) -> bool:
        return not isinstance(instance, str) or matches(instance) is not None

    return check


CHECKS: Final[dict[str, Callable[[object], bool]]] = {
    name: _checker(pattern) for name, pattern in PATTERNS.items()
}
"""Format name → whether an instance has that format; anything but a text has every format."""
