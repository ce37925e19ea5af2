"""Business values of events, as numbers that an index keeps and as what a query compares. Pure.

An index keeps one 64-bit number for each declared field: a date as microseconds, an amount in
ten-thousandths, a name or reference as a hash. A range of such numbers holds at least what a
condition asks for; whatever is found is compared with the log's own text before it is shown.
"""

import re
import struct
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from typing import Any, Final

from bridge.model.errors import ConfigInvalid
from bridge.model.search_role import Role

ROLES: Final[Mapping[str, Role]] = {role.value: role for role in Role}
NUMBER_MAX: Final = 2**63 - 1
NUMBER_MIN: Final = -(2**63)

# Four digits after the point are those of every currency and most prices; more are compared when
# the entry is read.
_AMOUNT_DIGITS: Final = 4
_NUMBER: Final = struct.Struct(">q").unpack
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - A contract's moments may have no zone.
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = 86_400_000_000
_DATE_ONLY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CONDITION: Final = re.compile(
    r"(?P<field>[A-Za-z][A-Za-z0-9_]*)(?P<op>>=|<=|=|>|<)(?P<value>.+)", re.DOTALL
)

# What a person types; nobody's name is longer.
VALUE_CHARACTERS_MAX: Final = 500


def hashed(text: str) -> int:
    """Return the signed 64-bit number that stands for `text` in an index."""
    number: int
    (number,) = _NUMBER(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
    return number


def plain_name(value: object) -> str:
    """Return a name as it is compared: one width, one case, single blanks (Unicode NFKC)."""
    text = str(value)
    if text.isalnum() and text.isascii():
        return text.lower()
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def moment_number(text: object) -> int | None:
    """Return a date or moment as microseconds from 1970; None for what is none.

    A moment without a zone counts as it is written.
    """
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return (moment - _EPOCH) // _MICROSECOND


def exact_amount(value: object) -> Decimal | None:
    """Return an amount as an exact number; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def amount_number(value: object) -> int | None:
    """Return an amount in ten-thousandths, rounded down and kept within 64 bits."""
    if isinstance(value, str):
        whole, _, fraction = value.partition(".")
        # The usual form of a decimal; a tenth of the time of the exact way.
        if len(fraction) <= _AMOUNT_DIGITS and fraction.isdigit() and len(whole) <= 14:
            try:
                return int(whole + fraction.ljust(_AMOUNT_DIGITS, "0"))
            except ValueError:
                return None
    amount = exact_amount(value)
    if amount is None:
        return None
    if amount.adjusted() > 18:
        return NUMBER_MAX if amount > 0 else NUMBER_MIN
    scaled = int((amount * 10**_AMOUNT_DIGITS).to_integral_value("ROUND_FLOOR"))
    return max(NUMBER_MIN, min(NUMBER_MAX, scaled))


def name_number(value: object) -> int | None:
    """Return the hash of a name as it is compared."""
    return hashed(plain_name(value)) if isinstance(value, str | int) else None


NUMBER_OF: Final[Mapping[Role, Callable[[Any], int | None]]] = {
    Role.DATE: moment_number,
    Role.AMOUNT: amount_number,
    Role.COUNTERPARTY: name_number,
    Role.REFERENCE: name_number,
}
"""What an index keeps of a value, by role; None when there is nothing to find it by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldCondition:
    """What a business field has to be: `field` names a declared field, or a role and so all its
    fields. `low` and `high` as they were typed; equal for an equality."""

    field: str
    low: str | None = None
    high: str | None = None
    low_open: bool = False
    high_open: bool = False

    def __post_init__(self) -> None:
        for value in (self.low, self.high):
            if value is not None and not 0 < len(value) <= VALUE_CHARACTERS_MAX:
                raise ConfigInvalid(
                    f"cannot search {self.field!r} for a value of {len(value)} characters: give "
                    f"1 to {VALUE_CHARACTERS_MAX}"
                )
        if self.low is None and self.high is None:
            raise ConfigInvalid(f"cannot search {self.field!r}: give a value or a range")

    @property
    def comparison(self) -> str:
        """How it compares, without the values: for records that are kept for ever."""
        if self.low is not None and self.high is not None:
            return "=" if self.low == self.high else ".."
        if self.low is not None:
            return ">" if self.low_open else ">="
        return "<" if self.high_open else "<="

    def text(self) -> str:
        """Return the condition as `parse_condition` takes it apart."""
        if self.low is not None and self.low == self.high:
            return f"{self.field}={self.low}"
        if self.low is not None and self.high is not None and not (self.low_open or self.high_open):
            return f"{self.field}={self.low}..{self.high}"
        low = "" if self.low is None else f"{self.field}{'>' if self.low_open else '>='}{self.low}"
        high = (
            "" if self.high is None else f"{self.field}{'<' if self.high_open else '<='}{self.high}"
        )
        return low + (" and " if low and high else "") + high


def parse_condition(text: str) -> FieldCondition:
    """Return the condition that `FIELD=VALUE`, `FIELD=LOW..HIGH`, `FIELD>=LOW` or such says.

    Raises:
        ConfigInvalid: it has another form.
    """
    found = _CONDITION.fullmatch(text.strip())
    if found is None:
        raise ConfigInvalid(
            "cannot read a condition: expected FIELD=VALUE, FIELD=LOW..HIGH, or FIELD with one of "
            ">= <= > < and a value"
        )
    field, operator, value = found["field"], found["op"], found["value"].strip()
    if operator == "=":
        if ".." in value:
            return between(field, value)
        return FieldCondition(field=field, low=value, high=value)
    if operator[0] == ">":
        return FieldCondition(field=field, low=value, low_open=operator == ">")
    return FieldCondition(field=field, high=value, high_open=operator == "<")


def between(field: str, text: str) -> FieldCondition:
    """Return the condition of `LOW..HIGH` (either may be missing) or of one `VALUE`."""
    low, dots, high = (part.strip() for part in text.partition(".."))
    if not dots:
        return FieldCondition(field=field, low=low, high=low)
    return FieldCondition(field=field, low=low or None, high=high or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A condition as one role compares it."""

    role: Role
    low: int
    """The least number of the index that may fit."""
    high: int
    _exact_low: Decimal | None = None
    _exact_high: Decimal | None = None
    _low_open: bool = False
    _high_open: bool = False
    _name: str = ""

    def holds(self, value: Any) -> bool:
        """Whether a value of the log is what was asked for."""
        if self.role is Role.DATE:
            number = moment_number(value)
            return number is not None and self.low <= number <= self.high
        if self.role is Role.AMOUNT:
            amount = exact_amount(value)
            return amount is not None and self._holds_amount(amount)
        return isinstance(value, str | int) and plain_name(value) == self._name

    def _holds_amount(self, amount: Decimal) -> bool:
        low, high = self._exact_low, self._exact_high
        if low is not None and (amount < low or (self._low_open and amount == low)):
            return False
        return high is None or not (amount > high or (self._high_open and amount == high))


def wanted(condition: FieldCondition, role: Role) -> Wanted:
    """Return what `condition` asks of a field of `role`.

    Raises:
        ConfigInvalid: its values are none of that role, or the role has no ranges.
    """
    if role is Role.DATE:
        return _wanted_date(condition)
    if role is Role.AMOUNT:
        return _wanted_amount(condition)
    if condition.low is None or condition.low != condition.high:
        raise ConfigInvalid(
            f"cannot search {condition.field!r} for a range: it is a {role.value}, which is found "
            "by its whole value; ranges are for dates and amounts"
        )
    name = plain_name(condition.low)
    number = hashed(name)
    return Wanted(role=role, low=number, high=number, _name=name)


def _wanted_date(condition: FieldCondition) -> Wanted:
    low, high = NUMBER_MIN, NUMBER_MAX
    if condition.low is not None:
        low = _date(condition.field, condition.low)
        if condition.low_open:
            low += _DAY if _DATE_ONLY.fullmatch(condition.low) else 1
    if condition.high is not None:
        high = _date(condition.field, condition.high)
        # A day without a time means all of it.
        if condition.high_open:
            high -= 1
        elif _DATE_ONLY.fullmatch(condition.high):
            high += _DAY - 1
    return Wanted(role=Role.DATE, low=low, high=high)


def _date(field: str, text: str) -> int:
    number = moment_number(text)
    if number is None:
        raise ConfigInvalid(
            f"cannot search {field!r}: a date has the form 2026-01-31 or 2026-01-31T09:30:00"
        )
    return number


def _wanted_amount(condition: FieldCondition) -> Wanted:
    low = _amount(condition.field, condition.low)
    high = _amount(condition.field, condition.high)
    return Wanted(
        role=Role.AMOUNT,
        low=NUMBER_MIN if low is None else amount_number(str(low)) or 0,
        high=NUMBER_MAX if high is None else amount_number(str(high)) or 0,
        _exact_low=low,
        _exact_high=high,
        _low_open=condition.low_open,
        _high_open=condition.high_open,
    )


def _amount(field: str, text: str | None) -> Decimal | None:
    if text is None:
        return None
    amount = exact_amount(text.replace(",", "").replace("_", ""))
    if amount is None:
        raise ConfigInvalid(f"cannot search {field!r}: an amount is a number such as 1250.50")
    return amount
