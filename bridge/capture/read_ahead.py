"""What was read of a stream and is not in the log yet: bounded by changes and bytes."""

import threading
from collections import deque
from typing import Final

from bridge.capture.ports import Received

# A read of no change holds a position only; without this bound a source that sends nothing but
# keepalives would fill memory while the log stands still.
READS_MAX: Final = 1_000


class ReadAhead:
    """A queue between the reader of a stream and the one taker of what it read.

    It is full by what the reads hold, not by their number: reads of one-row transactions are small,
    and a few of them would make a poor batch.
    """

    def __init__(self, *, changes_max: int, bytes_max: int) -> None:
        self._changes_max = changes_max
        self._bytes_max = bytes_max
        self._reads: deque[tuple[Received, int]] = deque()
        self._changes = 0
        self._bytes = 0
        self._moved = threading.Condition()

    def put(self, received: Received, timeout_s: float) -> bool:
        """Add a read; return whether there was room for it in time."""
        changes = sum(len(part.changes) for part in received.parts)
        with self._moved:
            if not self._moved.wait_for(self._has_room, timeout_s):
                return False
            self._reads.append((received, changes))
            self._changes += changes
            self._bytes += received.size
            self._moved.notify_all()
        return True

    def take(self, timeout_s: float) -> Received | None:
        """Return the oldest read, or None when none came in time."""
        with self._moved:
            if not self._moved.wait_for(lambda: bool(self._reads), timeout_s):
                return None
            received, changes = self._reads.popleft()
            self._changes -= changes
            self._bytes -= received.size
            self._moved.notify_all()
        return received

    @property
    def is_empty(self) -> bool:
        """Whether everything was taken."""
        return not self._reads

    def _has_room(self) -> bool:
        # A read is taken whatever its own size is: the bound is on what waits before it.
        return (
            self._changes < self._changes_max
            and self._bytes < self._bytes_max
            and len(self._reads) < READS_MAX
        )
