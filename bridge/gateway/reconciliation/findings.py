"""What reconciliation finds: one entity that differs between the sides, and where a walk stands."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from bridge.model.stage import Side


class Divergence(Enum):
    """How an entity differs."""

    MISSING = "missing"  # The authority has it, the other side does not.
    EXTRA = "extra"  # The other side alone has it.
    CHANGED = "changed"  # Both have it, and it differs.


class FindingState(Enum):
    """What became of a finding. One that no longer differs is forgotten."""

    OPEN = "open"  # Set when it is found, also again after a repair.
    REPAIRED = "repaired"  # Set when a repair was put into the journal; not looked at again yet.
    ACCEPTED = "accepted"  # Set by a person: it stays as it is.


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One entity that differs: both sides agreed with themselves twice and nothing was pending."""

    group: str
    entity: str
    key: str
    """The id by which clients know it."""
    divergence: Divergence
    authority: Side
    digest_authority: str | None
    """Of what it holds by the route's rules; None where there is none."""
    digest_other: str | None
    fields: tuple[str, ...]
    """Where it differs, as comparisons count it."""
    found_at: datetime
    seen_at: datetime
    """When it was last seen so."""
    origin: str
    """What found it: `write`, `walk`, `capture` or `person`."""
    state: FindingState = FindingState.OPEN
    repair: str | None = None
    """Intent id of the newest repair."""
    reason: str | None = None
    """Why it is accepted."""


class Progress(NamedTuple):
    """Where the walk over an entity's keys stands."""

    group: str
    entity: str
    origin: str
    """Which keys: `ids` or `capture`."""
    cursor: int
    """Place of the last key that was looked at; 0 at the start of a round."""
    rounds: int
    looked: int
    """Keys looked at in this round."""
    differing: int
    busy: int
    """Keys passed over: writes were pending, a side did not answer, or it flapped."""
    began_at: datetime | None
    moved_at: datetime | None


class RangeDigest(NamedTuple):
    """A stretch of keys that was read on both sides."""

    group: str
    entity: str
    origin: str
    first: int
    last: int
    keys: int
    digest_authority: str
    digest_other: str
    at: datetime


class Bypass(NamedTuple):
    """Captured changes for which the journal has no write, of one table in one hour."""

    group: str
    entity: str
    subject: str
    hour: datetime
    changes: int
    first_at: datetime
    last_at: datetime
    key: str
    """One of the keys."""
    entry: int
    """The newest entry of the event log."""
