"""What delivery asks of a sink and of its own book of cursors."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from bridge.model.entry import StoredEntry


class Progress(NamedTuple):
    """How far a sink is with what it was offered since `connect`."""

    through: int
    """Everything offered up to and including this leaf index is durable at the sink; -1 when
    nothing is. Entries above it may or may not have arrived."""
    waiting: int
    """How many entries are accepted but not yet sent."""
    unroutable: int
    """How many entries went to nobody since `connect`: confirmed, but no queue wanted them."""


class EventSink(Protocol):
    """Somewhere entries of kind `event` are published, in the order in which they are offered.

    Accepting and publishing are apart, so that the next batch is read while the last one is still
    on its way: `offer` accepts, `progress` says what is durable. One thread calls all methods.
    """

    def connect(self) -> None:
        """Connect (again), declare and verify the topology, and forget what was outstanding.

        Raises:
            SinkUnavailable: it cannot be reached now; the same call may succeed later.
            ConfigInvalid: it answers, but a setting or right must change first.
        """

    def offer(self, entries: Sequence[StoredEntry]) -> None:
        """Accept `entries`, whose indices grow, for publishing; returns without waiting.

        A sink sends a bounded number at a time and keeps the rest: the caller offers more only
        while `waiting` is below one batch.

        Raises:
            SinkUnavailable: see `progress`.
        """

    def progress(self, timeout_ms: int = 0) -> Progress:
        """Return how far it is, after waiting up to `timeout_ms` for something to change.

        Raises:
            SinkUnavailable: nothing can be said about entries above `through`; publish them
                again, in order, after `connect`.
            ConfigInvalid: a setting or right must change before a retry makes sense.
        """

    @property
    def through(self) -> int:
        """The low-water mark; it outlives a failure and is forgotten by `connect`."""

    def close(self) -> None:
        """Disconnect. Never raises; harmless when there is no connection."""


class Unsealer(Protocol):
    """Gives events the form that their contracts promise, where the log keeps fields sealed."""

    def unsealed(self, entries: Sequence[StoredEntry]) -> Sequence[StoredEntry]:
        """Return `entries` for publishing; what was erased is missing, and named.

        Raises:
            ConfigInvalid: a key is missing that nobody destroyed.
            LogCorrupt: an entry is not what its leaf commits to.
        """


class SinkCursors(Protocol):
    """Where each sink stands; positions only move forward."""

    def load(self, sink: str) -> int:
        """Return the next leaf index to publish (0 for a new sink)."""

    def store(self, sink: str, next_index: int) -> None:
        """Keep `next_index` durably."""
