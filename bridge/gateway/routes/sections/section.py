"""What all parts of a route file have in common."""

from collections.abc import Mapping
from typing import Annotated, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool

from bridge.model.stage import Side


class RouteShape(Protocol):
    """What a section may ask of the route that it belongs to, to refuse what cannot be meant."""

    @property
    def methods(self) -> tuple[bytes, ...]:
        """Return the methods; none means every one."""
        ...

    @property
    def path(self) -> str:
        """Return the path template."""
        ...

    @property
    def writes(self) -> bool:
        """Return whether it changes data."""
        ...

    @property
    def has_key_outside_bodies(self) -> bool:
        """Return whether its key is known before any body is."""
        ...

    @property
    def upstreams(self) -> Mapping[Side, str]:
        """Return the upstream of each side that the group has."""
        ...


class Section(BaseModel):
    """A part of a route file and, once read, the rules themselves: frozen, no unknown keys.

    A docstring under a field is what editors show for its key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def refuse_misfit(self, route: RouteShape) -> None:
        """Raise `ValueError` when these rules cannot hold for `route`; the message says why."""


def _pointer(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is no JSON pointer, which begins with '/', e.g. /order_id")
    return text


# `yes` is a number to pydantic unless it is told otherwise, and "12" too.
Count = Annotated[int, Field(strict=True, ge=1)]
Flag = StrictBool
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Pointer = Annotated[str, AfterValidator(_pointer)]
"""RFC 6901."""
