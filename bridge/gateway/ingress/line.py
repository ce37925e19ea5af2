"""A write that is answered at once waits for the queued ones of its key: it came after them."""

import asyncio
import time
from collections import Counter
from typing import Final

from bridge.gateway.dual.admission import WriteLimits
from bridge.gateway.ingress.ports import IngressBook

# Between two looks: queued requests are sent at a pace of their own, so that a lane becomes free
# after tens of milliseconds or after seconds; each look is one read of an index.
_LOOK_S_MIN: Final = 0.005
_LOOK_S_MAX: Final = 0.05


class LaneWait:
    """Waits until a lane has nothing queued, within a bound."""

    def __init__(self, book: IngressBook, limits: WriteLimits) -> None:
        self._book = book
        self._wait_s = limits.lane_wait_ms / 1000
        self._count_max = limits.lane_waiting_count_max
        self._waiting: Counter[tuple[str, str]] = Counter()

    async def passes(self, group: str, lane: str) -> bool:
        """Return True once nothing is queued in a lane, False when that takes too long.

        Raises:
            StorageUnavailable: the queue cannot be read.
        """
        if not self._book.is_unfinished(group, lane):
            return True
        key = (group, lane)
        if self._waiting[key] >= self._count_max:
            return False
        self._waiting[key] += 1
        try:
            return await self._waited(group, lane)
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]

    async def _waited(self, group: str, lane: str) -> bool:
        until = time.monotonic() + self._wait_s
        pause_s = _LOOK_S_MIN
        while (left_s := until - time.monotonic()) > 0:
            await asyncio.sleep(min(pause_s, left_s))
            if not self._book.is_unfinished(group, lane):
                return True
            pause_s = min(pause_s * 2, _LOOK_S_MAX)
        return False
