"""Samples beside a route: requests and answers, and what its rules make of them. Never run live."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from bridge.gateway.routes.sections.section import Section
from bridge.model.stage import Side

SAMPLES_COUNT_MAX = 200
"""Of one route; a test suite belongs to the applications."""


class SampleMessage(Section):
    """A request or an answer, or what is expected of one: what is not said is not looked at."""

    method: str | None = None
    """Of a request; the route's first one when absent."""
    target: str | None = None
    """Of a request: path and query."""
    headers: Mapping[str, str | None] = {}
    """Name: value; `null` where none is expected."""
    body: str | None = None
    """The text, byte for byte."""


class Sample(Section):
    """One request, or one answer, or both, on the way to and from one side."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What it shows."""
    side: Side = Side.LEGACY
    """The side that is asked."""
    request: SampleMessage
    """What a client sends; this route must be the one that takes it."""
    becomes: SampleMessage | None = None
    """What the side gets."""
    answer: SampleMessage | None = None
    """What the side answers."""
    answer_becomes: SampleMessage | None = None
    """What the client gets."""

    @model_validator(mode="after")
    def _with_ends(self) -> Self:
        if self.request.target is None:
            raise ValueError("has a request without 'target'")
        if (self.answer is None) != (self.answer_becomes is None):
            raise ValueError("needs 'answer' and 'answer_becomes' together, or neither")
        return self
