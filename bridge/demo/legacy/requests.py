"""What a handler gets and gives: parsed requests, checked fields, replies."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeGuard

MONEY_MAX = Decimal("9999999.99")
TEXT_LENGTH_MAX = 60_000


class Refused(Exception):
    """The request cannot be done; nothing was written."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call: path parameters, query, and the JSON object of its body."""

    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]

    def number(self, name: str) -> int:
        """Return a path parameter that must be a number; another text names nothing: 404."""
        text = self.params[name]
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise Refused(404, f"{name} is not a number")
        return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Status and JSON body of an answer."""

    status: int
    body: Mapping[str, Any]


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is a text that the database can hold: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_field(body: Mapping[str, Any], name: str, *, length_max: int = 60) -> str:
    """Return a text that must be there and not empty."""
    value = body.get(name)
    if not is_text(value) or not 1 <= len(value) <= length_max:
        raise Refused(422, f"{name} must be a text of 1 to {length_max} characters")
    return value


def optional_text(body: Mapping[str, Any], name: str, *, length_max: int) -> str | None:
    """Return a text, or None when it is absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if not is_text(value) or len(value) > length_max:
        raise Refused(422, f"{name} must be null or a text of at most {length_max} characters")
    return value


def flag_field(body: Mapping[str, Any], name: str) -> str:
    """Return a boolean as the schema's `Y` or `N`; absent is `N`."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Refused(422, f"{name} must be true or false")
    return "Y" if value else "N"


def whole_field(body: Mapping[str, Any], name: str, *, least: int, most: int) -> int:
    """Return a whole number within bounds."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(422, f"{name} must be a whole number from {least} to {most}")
    return value


def money_field(body: Mapping[str, Any], name: str) -> Decimal:
    """Return an amount given as a decimal string with at most two places."""
    value = body.get(name)
    try:
        amount = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite() or not 0 <= amount <= MONEY_MAX:
        raise Refused(422, f"{name} must be a decimal string from 0 to {MONEY_MAX}")
    if amount != round(amount, 2):
        raise Refused(422, f"{name} must have at most two places")
    return round(amount, 2)


def choice_field(body: Mapping[str, Any], name: str, codes: Mapping[str, str]) -> str:
    """Return the code of a named choice."""
    value = body.get(name)
    if not isinstance(value, str) or value not in codes:
        raise Refused(422, f"{name} must be one of {', '.join(codes)}")
    return codes[value]
