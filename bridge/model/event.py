"""Events: what a change becomes under its contract."""

from datetime import datetime
from typing import NamedTuple

from bridge.model.sealing import SealedMark


class ChangeOrigin(NamedTuple):
    """Where in its source a change stands; event ids are made from it, never from a clock."""

    source: str
    """Name of the configured source, e.g. `shop`."""
    event_id: str
    """`SOURCE:COMMIT_LSN:ORDINAL` (16 and 8 hex digits); sorts in commit order."""
    sequence: str
    """The part of `event_id` after the source: fixed width, sortable."""
    xid: int
    time: datetime
    """When the legacy transaction committed (aware, UTC)."""
    recorded_time: str
    """When the gateway mapped it, RFC 3339 in UTC; given from outside: mapping is pure."""


class Event(NamedTuple):
    """A CloudEvent 1.0 in its structured JSON form, with what routing needs beside it."""

    event_id: str
    type: str
    """CloudEvents `type`: reverse-DNS prefix + domain.entity.event.vMAJOR."""
    subject: str
    """The contract's subject, e.g. `shop.order`."""
    version: str
    """The contract's version, `major.minor`."""
    routing_key: str
    """`domain.entity.event.vMAJOR`; never holds an id."""
    key: str | None
    """Partition key: JSON text of the entity's key, or None for a table without one."""
    payload: bytes
    """The exact CloudEvent bytes; logged, hashed and published as they are."""
    undecoded: tuple[str, ...] = ()
    """Paths of columns that could not be read; their raw texts are in the event."""
    entity: str | None = None
    """Pseudonym of subject and key, for the leaf; None without a key."""
    sealed: tuple[SealedMark, ...] = ()
    """What the leaf says of persons' fields that are sealed in the payload."""


class Breach(NamedTuple):
    """An event that does not fit its contract: kept as a `parked` entry, never published."""

    event_id: str
    subject: str
    version: str
    key: str | None
    reason: str
    """Names the path and the rule, never the value."""
    payload: bytes
    """The CloudEvent bytes as they would have been."""
    entity: str | None = None
    """As of an event."""
    sealed: tuple[SealedMark, ...] = ()
    """As of an event."""
