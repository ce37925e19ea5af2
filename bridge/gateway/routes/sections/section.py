"""What all parts of a route file have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a route file and, once read, the rules themselves: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)
