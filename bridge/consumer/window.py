"""How far back an inbox remembers. Pure."""

from collections.abc import Iterable
from typing import Final

from bridge.consumer.event import ReceivedEvent

RETENTION_LEAVES_DEFAULT: Final = 1_000_000
"""How many of the log's newest entries an inbox remembers.

A duplicate comes from the broker (at most the prefetch), from the relay's window after a lost
connection (about a thousand), or from a redrive of parked events, which may be days old; a million
entries cover the first two many times over and cost about 100 MB. What is older than the window is
parked, never applied on trust.
"""

# Forgetting in steps of a hundredth of the window keeps it off almost every commit.
_STEPS: Final = 100


def moved_window(
    applied: Iterable[ReceivedEvent], oldest: int, retention_leaves: int
) -> int | None:
    """Return the new oldest leaf to remember after `applied`, or None while it stays."""
    newest = max((event.leaf_index for event in applied), default=0)
    moved = newest - retention_leaves
    return moved if moved >= oldest + max(1, retention_leaves // _STEPS) else None
