"""Bound what repeats add to the load of a side that is in trouble."""

from typing import Final, Protocol


class Budget(Protocol):
    """Bounds repeats; one that other processes share does the same."""

    def earn(self) -> None:
        """Note a first attempt."""

    def spend(self, now: float) -> bool:
        """Return whether a repeat may be sent at `now` (monotonic), and count it."""


# A fifth more than the first attempts themselves: enough for a side that fails now and then, too
# little to keep one down that is coming back.
SHARE: Final = 0.2
# Without fresh writes the waiting ones must still get through.
FLOOR_PER_S: Final = 5.0
BURST: Final = 20.0


class RetryBudget:
    """Repeats that may be sent to one upstream; the caller gives the (monotonic) time."""

    def __init__(self) -> None:
        self._left = BURST
        self._at = 0.0

    def earn(self) -> None:
        """Note a first attempt."""
        self._left = min(self._left + SHARE, BURST)

    def spend(self, now: float) -> bool:
        """Return whether a repeat may be sent now, and count it."""
        self._left = min(self._left + max(now - self._at, 0.0) * FLOOR_PER_S, BURST)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
