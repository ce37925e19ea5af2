"""The tasks of writes under way, which no client's disconnect can end."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from bridge.gateway.dual import answers
from bridge.gateway.dual.admission import Write
from bridge.gateway.dual.turns import Turns
from bridge.model.errors import LaneBusy, StorageUnavailable
from bridge.model.http import HttpResponse


class RunningWrites:
    """Runs writes; used from one event loop."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, write: Write, work: Coroutine[Any, Any, HttpResponse]) -> None:
        """Run the whole of a write; whatever happens, its caller hears of it."""
        task = asyncio.create_task(_carry(write, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def go_on(self, write: Write, rest: Coroutine[Any, Any, HttpResponse]) -> None:
        """Run the rest of a write that has its turn at the lane, which ends with it."""
        self.start(write, self._give_back_after(write, rest))

    async def drain(self) -> None:
        """Wait until all have ended."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _give_back_after(
        self, write: Write, rest: Coroutine[Any, Any, HttpResponse]
    ) -> HttpResponse:
        try:
            return await rest
        except LaneBusy as exc:
            return answers.lane_busy(str(exc))
        except StorageUnavailable:
            return answers.journal_unavailable()
        finally:
            self._turns.give_back(write.decision.route.group, write.lane)


async def _carry(write: Write, work: Coroutine[Any, Any, HttpResponse]) -> None:
    try:
        write.tell(await work)
    except Exception as exc:
        if write.answer.cancelled():
            return  # A caller that is gone does not look at it.
        if write.answer.done():
            raise
        write.answer.set_exception(exc)
