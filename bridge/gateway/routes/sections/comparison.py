"""How a route's two answers are compared, and what makes a verdict."""

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from bridge.gateway.routes.sections.comparison_rules import (
    RULES_COUNT_MAX,
    AnyRule,
    Place,
)
from bridge.gateway.routes.sections.section import Count, Flag, Section

BodyKind: TypeAlias = Literal["auto", "json", "form", "xml", "csv", "text", "binary"]

# Those that a client acts on. What a server says about itself, the hour, the connection or the
# representation's bytes (Server, Date, ETag, Content-Length …) differs between any two systems.
HEADERS_DEFAULT: Final = (
    "allow",
    "cache-control",
    "content-disposition",
    "content-language",
    "content-location",
    "content-type",
    "location",
    "retry-after",
    "set-cookie",
    "www-authenticate",
)
_HEADER: Final = r"^[!#$%&'*+.^_`|~0-9a-z-]+$"

DocumentPath = Annotated[
    str, Field(pattern=r"^openapi(/[A-Za-z0-9_][A-Za-z0-9._-]{0,100}){1,4}\.(ya?ml|json)$")
]
"""A file in the folder `openapi` beside the route files: it is applied together with them."""


class DocumentPaths(Section):
    """An OpenAPI document for each side, where they have two."""

    legacy: DocumentPath
    """What legacy is held to."""
    modern: DocumentPath
    """What modern is held to."""


class ComparisonRules(Section):
    """How the two answers of a route are compared."""

    body: BodyKind = "auto"
    """What the body is; `auto` goes by its Content-Type."""
    headers: tuple[Annotated[str, Field(pattern=_HEADER)], ...] = HEADERS_DEFAULT
    """The header fields that count, in lower case; of Set-Cookie names and attributes count."""
    rules: Annotated[tuple[AnyRule, ...], Field(max_length=RULES_COUNT_MAX)] = ()
    """What may differ, where and why."""
    show: tuple[Place, ...] = ()
    """Places whose values may stand in samples; elsewhere type, length and a keyed digest do."""
    body_bytes_max: Count = 1024 * 1024
    """A body above it, after decoding, is compared by its digest alone."""
    differences_count_max: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 100
    """How many differences of one pair of answers are told apart; more are only counted."""
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.001
    """The part of answers that may differ for good: for the route, and for each field."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Of the verdict: one minus the chance of a wrong one, however often it is looked at."""
    minimum_count: Count = 3_000
    """No `match` below this number of comparisons."""
    noise_fraction: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The part of comparisons for which the authority is asked twice, to learn what differs by
    itself."""
    samples_count_max: Annotated[int, Field(strict=True, ge=0, le=1_000)] = 10
    """How many samples of each kind of difference are kept."""
    numbers_as_text: Flag = False
    """Whether `"12.5"` and `12.5` are equal."""

    openapi: DocumentPath | DocumentPaths | None = None
    """An OpenAPI document (3.0 or 3.1) in the folder `openapi` beside the route files, or one per
    side, that requests and both sides' answers are held to, as the client sees them."""
    openapi_gate: Flag = False
    """Whether modern's drift from its document counts for the route's verdict."""

    @model_validator(mode="after")
    def _each_rule_once(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"has two rules with the name {twice[0]!r}")
        return self
