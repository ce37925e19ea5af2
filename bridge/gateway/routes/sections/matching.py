"""What a route asks of a request's header fields, beside host, path and method.

There are no regular expressions here: `like` knows `*` alone, so that no value, however it is made,
takes longer than its length to look at.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple, Self

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from bridge.gateway.routes.sections.section import Flag, Section

# These are gone, or not yet there, when a route is chosen; Host has a key of its own.
_NOT_SEEN: Final = frozenset(
    {
        "connection", "content-length", "expect", "forwarded", "host", "keep-alive",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "x-forwarded-for",
        "x-forwarded-host", "x-forwarded-proto",
    }
)  # fmt: skip
# More than any request is told apart by.
CONDITIONS_COUNT_MAX: Final = 16


def _seen(name: str) -> str:
    if name.lower() in _NOT_SEEN:
        raise ValueError(f"{name!r} belongs to the connection; it cannot tell routes apart")
    return name


HeaderName = Annotated[
    str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"), AfterValidator(_seen)
]


class HeaderCondition(Section):
    """What one header field has to be; a text alone means `equals`."""

    equals: str | None = None
    """Exactly this."""
    one_of: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)] | None = None
    """One of these."""
    like: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Of this form, where `*` stands for any text."""
    present: Flag | None = None
    """Whether it is there at all."""

    @model_validator(mode="before")
    @classmethod
    def _equals_alone(cls, given: Any) -> Any:
        return {"equals": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (
            sum(part is not None for part in (self.equals, self.one_of, self.like, self.present))
            - 1
        ):
            raise ValueError("needs one out of equals, one_of, like, present")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A text alone is allowed too."""
        return {"anyOf": [{"type": "string"}, handler(schema)]}

    def fits(self, value: str | None) -> bool:
        """Whether a field with this value, None when absent, is what is asked for."""
        if self.present is not None:
            return (value is not None) is self.present
        if value is None:
            return False
        if self.like is not None:
            return _is_like(self.like, value)
        return value in self._values()

    def excludes(self, other: "HeaderCondition") -> bool:
        """Whether no value can fit both; False also where that cannot be told."""
        if self.present is False or other.present is False:
            return self.present is not other.present
        if self.present or other.present:
            return False
        if self.like is not None and other.like is not None:
            return False
        exact, against = (other, self) if self.like is not None else (self, other)
        return not any(against.fits(value) for value in exact._values())

    def _values(self) -> tuple[str, ...]:
        return self.one_of or (() if self.equals is None else (self.equals,))


class HeaderTest(NamedTuple):
    """All conditions of a route, by lower-case name."""

    conditions: tuple[tuple[bytes, HeaderCondition], ...]

    @classmethod
    def of(cls, conditions: Mapping[str, HeaderCondition]) -> "HeaderTest":
        """Return the test of `conditions`."""
        pairs = sorted((name.lower().encode("ascii"), each) for name, each in conditions.items())
        return cls(tuple(pairs))

    def fits(self, lines: Sequence[bytes]) -> bool:
        """Whether field lines (`Name: value`) hold what is asked for."""
        values = values_in(lines, [name for name, _ in self.conditions])
        return all(each.fits(values.get(name)) for name, each in self.conditions)

    def excludes(self, other: "HeaderTest") -> bool:
        """Whether no request can fit both."""
        others = dict(other.conditions)
        return any(name in others and each.excludes(others[name]) for name, each in self.conditions)


def values_in(lines: Iterable[bytes], names: Sequence[bytes]) -> dict[bytes, str]:
    """Return the values of `names` (lower case); several lines are one list (RFC 9110 5.3)."""
    found: dict[bytes, str] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        lower = name.lower()
        if lower in names:
            text = value.strip(b" \t").decode("latin-1")
            found[lower] = f"{found[lower]}, {text}" if lower in found else text
    return found


def _is_like(pattern: str, value: str) -> bool:
    first, *rest = pattern.split("*")
    if not rest:
        return value == pattern
    *between, last = rest
    if not value.startswith(first) or len(value) < len(first) + len(last):
        return False
    if not value.endswith(last):
        return False
    at, end = len(first), len(value) - len(last)
    # The leftmost place of each part leaves the most room for the next: nothing is tried again.
    for part in between:
        found = value.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
