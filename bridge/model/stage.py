"""Sides, stages and switches of a route group."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

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


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupState:
    """A route group's stage under one epoch."""

    group: str
    stage: Stage
    epoch: int
    """Grows by one with every switch of the group and fences writes decided before it."""
    lanes_held: bool
    """Whether replay to the other side is held by an operator (writes are still journalled)."""


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
