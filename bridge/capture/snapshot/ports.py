"""What reading tables asks of the source, and of those who steer it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple, Protocol

from bridge.capture.snapshot.visibility import Visibility
from bridge.capture.snapshot.window import Key
from bridge.model.change import Relation, Row
from bridge.model.errors import SourceUnavailable
from bridge.model.warrant import Warrant


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOrder:
    """Which rows to read in one short transaction."""

    relation: Relation
    """The table in the shape that its events have; it fails when the table has another by now."""
    key: Key
    """Names of the key columns."""
    row_filter: str | None = None
    """SQL condition of the rows that are published: no others exist for us."""
    rows_max: int
    after: Key | None = None
    """Rows beyond this key, in key order; None: from the first on."""
    keys: Sequence[Key] = ()
    """Rows with these keys, beside them."""
    only_keys: bool = False
    """Read no others."""
    where: str | None = None
    """An SQL condition on the table's columns; it chooses among the rows beyond `after`."""


class Chunk(NamedTuple):
    """Rows of one table, and what is in them."""

    rows: list[Row]
    after: Key | None
    """Where the next chunk goes on."""
    ended: bool
    """Whether the table's end was reached."""
    absent: list[Key]
    """Those of the order's keys that no row has."""
    visibility: Visibility
    position: int
    """Every transaction that the rows contain ended below it in the WAL."""
    taken_at: datetime
    """The source's clock then (aware, UTC)."""
    took_ms: float
    """How long the source was busy with it."""
    full: bool
    """Whether it has as many rows as it may have."""
    row_estimate: int
    """How many rows the table has, as the server's statistics say; 0 when they say nothing."""


class Look(NamedTuple):
    """The source at one moment, without rows."""

    visibility: Visibility
    position: int
    open_xids: frozenset[int]
    """Transactions that have a number and have not ended; 32 bits each."""


class TableAltered(SourceUnavailable):
    """A table has another shape than when the source was prepared."""


class ChunkReader(Protocol):
    """Reads chunks over one connection of its own; one thread at a time drives it."""

    def look(self) -> Look:
        """Return what is going on."""

    def read(self, order: ChunkOrder) -> Chunk:
        """Read rows in one short transaction, read-only.

        Raises:
            TableAltered: prepare the source again, then give the order anew.
            SourceUnavailable: not now; the same order may be given again.
            SourceUnfit: the table or a right is gone, or `where` is no condition.
        """

    def blockers(self) -> str:
        """Return the oldest open transactions, for a person: `pid 41 (12 s)`."""

    def close(self) -> None:
        """End what runs, from any thread, and release the connection."""


class RequestAction(Enum):
    """What a person asks of the capture of one source; set when the request is made."""

    START = "start"  # Read tables (again), or some rows of one.
    REPAIR = "repair"  # Read these keys; one that is gone from the source is told as deleted.
    PAUSE = "pause"  # Begin no chunk until resumed; survives restarts.
    RESUME = "resume"
    STOP = "stop"  # Give up what was asked for by START or REPAIR.


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """One wish of one person, kept until the capture has settled it."""

    request_id: str
    action: RequestAction
    tables: tuple[str, ...] = ()
    where: str | None = None
    key_count: int | None = None
    """How many keys were named; None when whole tables are meant."""
    warrant: Warrant


class SnapshotRequests(Protocol):
    """Where requests wait for the capture of one source; it survives both sides' restarts."""

    def waiting(self) -> list[SnapshotRequest]:
        """Return what was not taken yet, oldest first. Called each second: cheap."""

    def taken(self) -> list[SnapshotRequest]:
        """Return what was taken and is not over."""

    def find(self, request_id: str) -> SnapshotRequest | None:
        """Return a request, settled or not."""

    def keys(self, request_id: str, offset: int, count_max: int) -> list[Key]:
        """Return some of the keys that a request named, in their order."""

    def settle(self, request_id: str, state: str) -> None:
        """Note what became of it: `taken`, `done`, `stopped`, `refused: …`. May be repeated."""


class NoRequests:
    """Nobody steers: for a capture without a data folder, as in tests."""

    def waiting(self) -> list[SnapshotRequest]:
        """Return nothing."""
        return []

    def taken(self) -> list[SnapshotRequest]:
        """Return nothing."""
        return []

    def find(self, request_id: str) -> SnapshotRequest | None:
        """Return nothing."""
        return None

    def keys(self, request_id: str, offset: int, count_max: int) -> list[Key]:
        """Return nothing."""
        return []

    def settle(self, request_id: str, state: str) -> None:
        """Do nothing."""
