"""What capture asks of a source of changes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from bridge.model.change import TransactionPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Nothing is half received; everything up to `position` was sent to us."""

    position: int


class ChangeStream(Protocol):
    """An open replication stream. One thread drives it."""

    def receive(self, timeout_ms: int) -> "TransactionPart | Idle | None":
        """Return the next part, an idle position, or None when nothing came within `timeout_ms`.

        Keepalives are answered inside, with the last acknowledged position.
        """

    def acknowledge(self, end_lsn: int) -> None:
        """Tell the source that everything up to `end_lsn` is durable. Never goes back."""

    def keep_alive(self) -> None:
        """Answer the source while the caller is busy; cheap, call at least each second."""

    def close(self) -> None:
        """End the stream cleanly; the slot stays."""


class Snapshot(Protocol):
    """Rows of the captured tables as of one position of the stream."""

    position: int

    def chunks(self) -> Iterator[TransactionPart]:
        """Yield rows as parts whose changes are of kind READ."""
