"""Turns at a lane within one process: first come, first served.

The journal lets one write of a key be in flight over all processes; without turns the writers of
one process would only find that out by asking it again and again, in no order.
"""

import asyncio
from collections import deque
from contextlib import suppress

from bridge.model.errors import LaneBusy


class Turns:
    """Who may go at which lane; used from one event loop."""

    def __init__(self, *, waiting_count_max: int) -> None:
        self._waiting_count_max = waiting_count_max
        self._lanes: dict[tuple[str, str], deque[asyncio.Future[None]]] = {}

    def take_now(self, group: str, lane: str) -> bool:
        """Begin our turn if nobody else has it; return whether we did."""
        if (group, lane) in self._lanes:
            return False
        self._lanes[group, lane] = deque()
        return True

    async def take(self, group: str, lane: str, wait_s: float) -> None:
        """Wait for our turn, which lasts until `give_back`.

        Raises:
            LaneBusy: not our turn within `wait_s`, or too many wait already.
        """
        if self.take_now(group, lane):
            return
        queue = self._lanes[group, lane]
        if len(queue) >= self._waiting_count_max:
            raise LaneBusy(f"cannot write: {len(queue)} writes of the same key wait already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(wait_s):
                await turn
        except BaseException as exc:
            with suppress(ValueError):
                queue.remove(turn)
            if turn.done() and not turn.cancelled():
                self.give_back(group, lane)  # It came just as we stopped waiting.
            if isinstance(exc, TimeoutError):
                raise LaneBusy(
                    f"cannot write: earlier writes of the same key took longer than {wait_s} s"
                ) from None
            raise

    def give_back(self, group: str, lane: str) -> None:
        """End our turn; the longest waiting one begins."""
        queue = self._lanes[group, lane]
        while queue:
            following = queue.popleft()
            if not following.done():
                following.set_result(None)
                return
        del self._lanes[group, lane]
