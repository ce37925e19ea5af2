"""Sides, stages and switches of a route group."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from bridge.model.warrant import Warrant


class Side(Enum):
    """One of the two systems behind the gateway."""

    __hash__ = object.__hash__  # Members are single; Enum would hash the name anew each time.

    LEGACY = "legacy"
    MODERN = "modern"

    @property
    def other(self) -> "Side":
        """The opposite side."""
        return Side.MODERN if self is Side.LEGACY else Side.LEGACY


class Stage(Enum):
    """Where a route group stands; set only by the switchboard."""

    LEGACY = "legacy"  # Legacy answers and holds the truth; modern is not called.
    SHADOW = "shadow"  # As legacy; safe reads are copied to modern and compared.
    DUAL = "dual"  # Legacy is the authority; its writes are journalled and replayed to modern.
    CANARY = "canary"  # As dual; reads of some keys come from modern.
    HANDOVER = "handover"  # The authority moves to modern key by key.
    MODERN = "modern"  # Modern is the authority; its writes are journalled and replayed to legacy.
    COMPLETE = "complete"  # Modern alone; there is no way back.


class Place(NamedTuple):
    """A stage, and at `canary` how far the ramp is."""

    stage: Stage
    share_percent: float = 0.0
    """Share of the keys whose reads come from modern; 0 at every stage but `canary`."""

    def __str__(self) -> str:
        share = f" {self.share_percent:g} %" if self.stage is Stage.CANARY else ""
        return f"{self.stage.value}{share}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """A route group's stage under one epoch."""

    group: str
    stage: Stage
    epoch: int
    """Grows by one with every switch of the group and fences writes decided before it."""
    lanes_held: bool
    """Whether replay to the other side is held by an operator (writes are still journalled)."""
    share_percent: float = 0.0
    """At `canary`, the share of the keys whose reads come from modern."""
    forced_until: float = 0.0
    """When the last of the group's tokens that force a side ends; seconds from 1970, 0 for none."""

    @property
    def place(self) -> Place:
        """Where the group stands."""
        return Place(self.stage, self.share_percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One change of stage: who, why, from where to where."""

    group: str
    epoch: int
    """The epoch that this switch began."""
    from_stage: Stage
    to_stage: Stage
    warrant: Warrant
    switched_at: datetime
    from_share_percent: float = 0.0
    to_share_percent: float = 0.0

    @property
    def from_place(self) -> Place:
        """Where the group stood."""
        return Place(self.from_stage, self.from_share_percent)

    @property
    def to_place(self) -> Place:
        """Where it stands now."""
        return Place(self.to_stage, self.to_share_percent)
