"""The rules by which two answers count as equal although they differ: each with name and reason.

A rule says *where* (`at`: places) and *what* may differ there (`kind`). A place is a path into the
body (`/items/*/price`: `*` is any member or item, `**` any number of them), or `header:NAME`,
`cookie:NAME`.
"""

import re
from datetime import date
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from bridge.gateway.routes.sections.linear_pattern import linear_pattern
from bridge.gateway.routes.sections.section import Flag, Name, Section

# A reason that fits a review; one word is no reason.
_REASON_CHARACTERS_MIN: Final = 10
# As many as a person can review; a route that needs more is two routes.
RULES_COUNT_MAX: Final = 200
_PLACE: Final = re.compile(r"(/[^\s]*)|(header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)|(cookie:[^\s;=,]+)")


def _place(text: str) -> str:
    if _PLACE.fullmatch(text) is None:
        raise ValueError(
            f"{text!r} is no place: say a path into the body such as /items/*/price,"
            " header:NAME, or cookie:NAME"
        )
    if text[0] == "/" and "**" in text.split("/")[1:-1] and text.count("**") > 1:
        raise ValueError(f"{text!r} has more than one '**'")
    return text


def _pattern(text: str) -> str:
    linear_pattern(text)
    return text


Place = Annotated[str, AfterValidator(_place)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Places = Annotated[tuple[Place, ...], Field(min_length=1, max_length=100)]


class Rule(Section):
    """What every rule says of itself: a rule that nobody can explain is refused."""

    name: Name
    """The rule's name: verdicts say by it which rule hid what."""
    reason: Annotated[str, Field(min_length=_REASON_CHARACTERS_MIN, max_length=1_000)]
    """Why the difference does not matter."""
    reviewed_by: Annotated[str, Field(min_length=1, max_length=200)]
    """Who agreed, on the side of the data's owners."""
    reviewed_on: date
    """When."""


class IgnoreRule(Rule):
    """What stands there is not compared."""

    kind: Literal["ignore"]
    at: Places


class ToleranceRule(Rule):
    """Numbers may differ by this much."""

    kind: Literal["tolerance"]
    at: Places
    absolute: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """By how much at most."""
    relative: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """By which part of the authority's number at most: 0.01 is one per cent."""


class RoundRule(Rule):
    """Numbers are compared after they were rounded, half away from zero."""

    kind: Literal["round"]
    at: Places
    digits: Annotated[int, Field(strict=True, ge=-15, le=15)]
    """How many digits after the point are kept."""


class RegexRule(Rule):
    """Texts are equal when both have this form, or when they are equal without the parts."""

    kind: Literal["regex"]
    at: Places
    pattern: Pattern
    """A regular expression."""
    replace: str | None = None
    """Put in the place of every match before comparing; without it both texts must match whole."""


class UnorderedRule(Rule):
    """The order of an array's items has no meaning."""

    kind: Literal["unordered"]
    at: Places


class KeyedRule(Rule):
    """An array's items are told apart by these members, and stand in any order."""

    kind: Literal["keyed"]
    at: Places
    by: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]
    """The members that together are the item's key."""


class RenameRule(Rule):
    """The other side has this member under another name."""

    kind: Literal["rename"]
    at: Places
    to: Annotated[str, Field(min_length=1, max_length=200)]
    """The other side's name for it."""


class IdsRule(Rule):
    """Ids that differ between the sides: equal when the id map pairs them."""

    kind: Literal["ids"]
    at: Places
    entity: Name
    """What kind of thing the id names."""


class SkewRule(Rule):
    """Times may differ by this much."""

    kind: Literal["time-skew"]
    at: Places
    seconds: Annotated[float, Field(gt=0, le=366 * 86_400)]
    """By how many seconds at most."""


class CaseRule(Rule):
    """Texts may differ in upper and lower case, and in white space around them."""

    kind: Literal["case"]
    at: Places


class EmptyRule(Rule):
    """A member that is absent, null, an empty text, list or object means the same."""

    kind: Literal["empty"]
    at: Places


StatusClass: TypeAlias = Literal["2XX", "3XX", "4XX", "5XX"]


class StatusRule(Rule):
    """Statuses that mean the same."""

    kind: Literal["statuses"]
    equal: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=200, le=599)] | StatusClass, ...],
        Field(min_length=1),
    ]
    """The statuses, or whole classes of them: `[404, 410]`, `[5XX]`."""
    bodies: Flag = False
    """Whether the bodies are compared when the statuses differ."""

    @model_validator(mode="after")
    def _of_two(self) -> Self:
        if len(self.equal) == 1 and isinstance(self.equal[0], int):
            raise ValueError("names one status, which is equal to itself")
        return self

    def covers(self, status: int) -> bool:
        """Whether it is about `status`."""
        return status in self.equal or f"{status // 100}XX" in self.equal


AnyRule: TypeAlias = Annotated[
    IgnoreRule
    | ToleranceRule
    | RoundRule
    | RegexRule
    | UnorderedRule
    | KeyedRule
    | RenameRule
    | IdsRule
    | SkewRule
    | CaseRule
    | EmptyRule
    | StatusRule,
    Field(discriminator="kind"),
]
