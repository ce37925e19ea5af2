"""What delivery asks of a sink and of its own book of cursors."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from bridge.model.entry import StoredEntry


class Published(NamedTuple):
    """How far a batch is durable at the sink."""

    through: int
    """Everything up to and including this leaf index is confirmed (or was not for this sink)."""
    unroutable: int
    """How many of the batch were returned because no queue is bound for them."""


class EventSink(Protocol):
    """Somewhere entries of kind `event` are published, in order."""

    def publish(self, batch: Sequence[StoredEntry]) -> Published:
        """Publish `batch` and return how far it is durable.

        Raises:
            SinkUnavailable: nothing can be said about entries above the last `through`; publish
                them again, in order, after `connect`.
        """

    def connect(self) -> None:
        """Connect (again); declares and verifies the topology."""

    def close(self) -> None:
        """Disconnect."""


class SinkCursors(Protocol):
    """Where each sink stands; positions only move forward."""

    def load(self, sink: str) -> int:
        """Return the next leaf index to publish (0 for a new sink)."""

    def store(self, sink: str, next_index: int) -> None:
        """Keep `next_index` durably."""
