"""Whether a rule lets two values at one place pass for equal."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Final

from bridge.gateway.comparison.difference import FindOtherId
from bridge.gateway.routes.sections.comparison_rules import (
    AnyRule,
    CaseRule,
    IdsRule,
    RegexRule,
    RoundRule,
    SkewRule,
    ToleranceRule,
)
from bridge.gateway.routes.sections.linear_pattern import linear_pattern

# Longer texts are no ids or numbers that a pattern is written for.
_PATTERN_CHARACTERS_MAX: Final = 4_096
# Ten-digit numbers are seconds since 1970, thirteen-digit ones milliseconds (2001 to 2286).
_SECONDS: Final = (10**9, 10**10)
_MILLISECONDS: Final = (10**12, 10**13)


def accepts(rule: AnyRule, authority: object, other: object, ids: FindOtherId | None) -> bool:
    """Return whether `rule` makes the two values equal; rules about structure never do here."""
    judge = _JUDGES.get(type(rule))
    return judge is not None and judge(rule, authority, other, ids)


def normalised(rule: AnyRule, value: object, ids: FindOtherId | None) -> object:
    """Return the one value that stands for all that `rule` makes equal to `value`, if it has one.

    `ids` is None for the other side's values: the authority's ids are translated into its.
    """
    if isinstance(rule, RoundRule):
        number = as_number(value)
        return value if number is None else _rounded(number, rule.digits)
    if isinstance(rule, CaseRule) and isinstance(value, str):
        return value.strip().casefold()
    if isinstance(rule, RegexRule) and isinstance(value, str):
        if rule.replace is not None:
            return _replaced(rule, value)
        return {"matches": rule.name} if _matches(rule, value) else value
    if isinstance(rule, IdsRule):
        known = id_text(value)
        found = known if known is None or ids is None else ids(rule.entity, known)
        return value if found is None else {"id": found}
    return value


def as_number(value: object) -> Decimal | None:
    """Return a number, or a text that is one, as a decimal; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except (InvalidOperation, ValueError):
        return None
    return number if number.is_finite() else None


def id_text(value: object) -> str | None:
    """Return an id as the id map has it: a text, or an integer's digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def as_time(value: object) -> datetime | None:
    """Return an ISO 8601 or HTTP date, or seconds or milliseconds since 1970, as a time in UTC.

    A text without an offset is taken for UTC: both sides leave it away, or a skew rule does not
    help.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if _MILLISECONDS[0] <= value < _MILLISECONDS[1]:
            value = value / 1_000
        elif not _SECONDS[0] <= value < _SECONDS[1]:
            return None
        return datetime.fromtimestamp(value, UTC)
    if not isinstance(value, str) or not 8 <= len(value) <= 40:
        return None
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            time = parse(value)
        except (ValueError, TypeError, IndexError):
            continue
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return None


def _tolerates(
    rule: ToleranceRule, authority: object, other: object, ids: FindOtherId | None
) -> bool:
    mine, theirs = as_number(authority), as_number(other)
    if mine is None or theirs is None:
        return False
    most = max(Decimal(repr(rule.absolute)), Decimal(repr(rule.relative)) * abs(mine))
    return abs(mine - theirs) <= most


def _rounds(rule: RoundRule, authority: object, other: object, ids: FindOtherId | None) -> bool:
    mine, theirs = as_number(authority), as_number(other)
    if mine is None or theirs is None:
        return False
    return _rounded(mine, rule.digits) == _rounded(theirs, rule.digits)


def _rounded(number: Decimal, digits: int) -> str:
    try:
        return str(number.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) + 0)
    except InvalidOperation:
        return str(number)  # More digits than a decimal context holds: nothing to round.


def _fits(rule: RegexRule, authority: object, other: object, ids: FindOtherId | None) -> bool:
    if not isinstance(authority, str) or not isinstance(other, str):
        return False
    if rule.replace is None:
        return _matches(rule, authority) and _matches(rule, other)
    return _replaced(rule, authority) == _replaced(rule, other)


def _matches(rule: RegexRule, text: str) -> bool:
    if len(text) > _PATTERN_CHARACTERS_MAX:
        return False
    return linear_pattern(rule.pattern).fullmatch(text) is not None


def _replaced(rule: RegexRule, text: str) -> str:
    if len(text) > _PATTERN_CHARACTERS_MAX or rule.replace is None:
        return text
    return linear_pattern(rule.pattern).sub(rule.replace, text)


def _near(rule: SkewRule, authority: object, other: object, ids: FindOtherId | None) -> bool:
    mine, theirs = as_time(authority), as_time(other)
    if mine is None or theirs is None:
        return False
    return abs((mine - theirs).total_seconds()) <= rule.seconds


def _same_but_case(
    rule: CaseRule, authority: object, other: object, ids: FindOtherId | None
) -> bool:
    if not isinstance(authority, str) or not isinstance(other, str):
        return False
    return authority.strip().casefold() == other.strip().casefold()


def _paired(rule: IdsRule, authority: object, other: object, ids: FindOtherId | None) -> bool:
    mine, theirs = id_text(authority), id_text(other)
    if mine is None or theirs is None or ids is None:
        return False
    return ids(rule.entity, mine) == theirs


_JUDGES: Final[Mapping[type, Callable[..., bool]]] = {
    ToleranceRule: _tolerates,
    RoundRule: _rounds,
    RegexRule: _fits,
    SkewRule: _near,
    CaseRule: _same_but_case,
    IdsRule: _paired,
}
