"""Entries of the event log and the tree over them.

An entry has two parts, both written once and hashed as stored: the small *leaf* (commitments and
metadata, never personal data) and the *payload* (the exact bytes of the CloudEvent or record).
Hashing follows RFC 6962 section 2.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple


class EntryKind(Enum):
    """What an entry records."""

    EVENT = "event"  # Set by capture: a published event.
    PARKED = "parked"  # Set by capture: an event that broke its contract; never published.
    GAP = "gap"  # Set by capture: a stretch of the source that could not be read.
    ROUTE = "route"  # Set by switching: a change of stage, hold, or roll back.
    DUALWRITE = "dualwrite"  # Set by the write journal: how a dual write settled.
    EXPORT = "export"  # Set by the log: somebody exported a range.
    CONTROL = "control"  # Set by capture: a person steered it (snapshot, repair, acceptance).
    CONFIG = "config"  # Set by runtime: the configuration that a role started with.
    KEY = "key"  # Set by the log: a signing key came or went.
    ACCESS = "access"  # Set by whoever shows the log: somebody read, searched or verified it.
    REPLAY = "replay"  # Set by delivery: somebody had a range sent again.
    ERASURE = "erasure"  # Set by keeping: a data subject's key was destroyed.
    RETENTION = "retention"  # Set by keeping: keys whose time was over were destroyed.
    HOLD = "hold"  # Set by keeping: a legal hold was placed or lifted.
    PRUNE = "prune"  # Set by the log: its first entries were removed from the store.
    RESTORE = "restore"  # Set by the log: a person accepted that it came back from a backup.
    CANARY = "canary"  # Set by the log: the daily proof that a kind of entry is still recorded.


class EntryDraft(NamedTuple):
    """An entry before it has an index. `append` turns it into leaf, hash and row."""

    kind: EntryKind
    entry_id: str
    """Unique in the log; for an event, its `event_id`."""
    fields: Mapping[str, Any]
    """JSON values for the leaf beside the fixed ones: source, type, time, legacy position, actor,
    reason, outcome. Never a payload or a person's data."""
    payload: bytes
    routing_key: str | None = None
    """For events only: where the relay publishes it."""
    partition_key: str | None = None
    """The entity's key, for order and for the history of an entity."""
    entity: str | None = None
    """A pseudonym of contract and key (`bridge.model.pseudonym`); it stands in the leaf, so that
    an auditor can count an entity's entries without learning its key."""


class StoredEntry(NamedTuple):
    """An entry as it stands in the log; `leaf` and `payload` are exact bytes."""

    leaf_index: int
    kind: EntryKind
    entry_id: str
    routing_key: str | None
    partition_key: str | None
    leaf: bytes
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeHead:
    """The Merkle tree over the first `size` entries (unsigned; a checkpoint signs one)."""

    size: int
    root: bytes
    """32 bytes; for size 0, SHA-256 of the empty string (RFC 6962 2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCursor:
    """Our durable place in one source, stored in the same commit as the entries before it."""

    source: str
    version: int
    """Grows by one with each move; an append names the version it read, which fences a process
    that was paused and taken over."""
    state: bytes
    """JSON that only the source's reader understands (for PostgreSQL: end LSN, system id, …)."""


class CursorMove(NamedTuple):
    """The cursor part of an append: from `expected_version` to `expected_version + 1`."""

    source: str
    expected_version: int
    """0 when the source has no cursor yet."""
    state: bytes


class Appended(NamedTuple):
    """What an append made durable."""

    first_index: int
    """Index of the first new entry; equals `head.size` when the append held none."""
    head: TreeHead
    cursor_version: int | None
