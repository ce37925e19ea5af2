"""What the API takes; unknown fields are refused, lengths are bounded."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# Long enough for a sentence and a ticket; every reason becomes part of an entry.
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
Ticket = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Person = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=200)]

# One request's share of a bulk import; the command line goes by the same batches.
PAIRS_MAX = 5_000


class Body(BaseModel):
    """A request body: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Decision(Body):
    """Who decides, and why."""

    actor: Person | None = None
    """May be absent with a named token, whose holder it is; kept beside that if given."""
    reason: Text
    ticket: Ticket


class SwitchBody(Decision):
    """A change of stage."""

    to: Name
    share_percent: float = 0.0
    """Of the keys whose reads come from modern, at `canary`."""
    expected_epoch: int | None = None


class RollbackBody(Decision):
    """A step back."""

    to: Name = "legacy"
    share_percent: float = 0.0
    """With `canary`: the smaller share."""


class LanesBody(Decision):
    """Hold or resume the replay of a group."""

    held: bool


class ResolveBody(Decision):
    """How a write in doubt ended."""

    outcome: Name
    ids: dict[Name, Name] = Field(default_factory=dict, max_length=20)


class IdPairsBody(Decision):
    """Known pairs of ids."""

    entity: Name
    pairs: Annotated[list[tuple[Name, Name]], Field(max_length=PAIRS_MAX)]
