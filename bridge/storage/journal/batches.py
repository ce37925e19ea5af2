"""Gather what a process writes to its journal, so that one commit carries many operations.

A commit costs one flush to disk whatever it holds, so the batch forms by itself: while one flush
runs, the next writes gather. No timer delays anybody.
"""

import asyncio
import functools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

from bridge.model.errors import StorageUnavailable

Operation = TypeVar("Operation")

# Beyond this a worker is not slow but stuck, and its clients should be told at once.
WAITING_COUNT_MAX_DEFAULT: Final = 4_096

# Other processes wait for the store while a batch is written: keep each turn around a millisecond
# or two.
_BATCH_COUNT_MAX: Final = 128


class Failed(NamedTuple):
    """An operation's result: it raised this, and wrote nothing."""

    error: Exception


Done: TypeAlias = Callable[[Exception | None, Any], None]
"""Called from the loop of whoever asked: what the operation raised, or None and its result."""


class _Waiting(NamedTuple, Generic[Operation]):
    operation: Operation
    loop: asyncio.AbstractEventLoop
    done: Done


class Batches(Generic[Operation]):
    """A thread that hands over everything that waits, batch after batch."""

    def __init__(
        self,
        commit: Callable[[Sequence[Operation]], Sequence[Any]],
        *,
        waiting_count_max: int = WAITING_COUNT_MAX_DEFAULT,
        idle: Callable[[], float | None] = lambda: None,
    ) -> None:
        """`commit` makes a batch durable and returns a result (or `Failed`) for each; it may not
        raise. `idle` is called before each wait and returns for how long to wait at most, in
        seconds; None is without end.
        """
        self._commit = commit
        self._idle = idle
        self._waiting_count_max = waiting_count_max
        self._waiting: deque[_Waiting[Operation]] = deque()
        self._changed = threading.Condition()
        self._waking: set[asyncio.AbstractEventLoop] = set()
        """Loops that will notify before they wait: a loop that is not here has nothing new."""
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal-commit", daemon=True)
        self._thread.start()

    async def do(self, operation: Operation) -> Any:
        """Return the result of `operation` once it is durable.

        An error of its own comes back alone. When the caller is cancelled the operation may still
        be carried out.

        Raises:
            StorageUnavailable: nothing of it was written.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.submit(operation, functools.partial(_answer, future))
        return await future

    def submit(self, operation: Operation, done: Done) -> None:
        """Carry `operation` out and call `done` from the running loop, once it is durable.

        Raises:
            StorageUnavailable: nothing of it was written, and `done` is not called.
        """
        if self._closing:
            raise StorageUnavailable("cannot write to the journal: it is closed")
        if len(self._waiting) >= self._waiting_count_max:
            raise StorageUnavailable(
                f"cannot write to the journal: {len(self._waiting)} writes wait for the disk"
            )
        loop = asyncio.get_running_loop()
        self._waiting.append(_Waiting(operation, loop, done))
        # The thread is woken once for all that a loop's round brings, at its end: woken for each,
        # it would take Python's lock from the loop that brings the next one.
        if loop not in self._waking:
            self._waking.add(loop)
            loop.call_soon(self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waking.discard(loop)
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            if batch:
                results = self._commit([waiting.operation for waiting in batch])
                _deliver(batch, results)

    def _next_batch(self) -> list[_Waiting[Operation]] | None:
        """Return what waits; nothing when only time passed; None at the end."""
        patience = self._idle()
        with self._changed:
            if not self._waiting and not self._closing:
                self._changed.wait(patience)
            count = min(len(self._waiting), _BATCH_COUNT_MAX)
            if not count and self._closing:
                return None
            return [self._waiting.popleft() for _ in range(count)]


def _deliver(batch: Sequence[_Waiting[Any]], results: Sequence[Any]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Done, Any]]] = {}
    for waiting, result in zip(batch, results, strict=True):
        by_loop.setdefault(waiting.loop, []).append((waiting.done, result))
    for loop, outcomes in by_loop.items():
        # A loop that was closed meanwhile has nobody left to tell.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_tell, loop, outcomes)


def _tell(loop: asyncio.AbstractEventLoop, outcomes: list[tuple[Done, Any]]) -> None:
    for done, result in outcomes:
        try:
            if isinstance(result, Failed):
                done(result.error, None)
            else:
                done(None, result)
        except Exception as exc:
            # The others of the batch are durable too, and must hear of it.
            loop.call_exception_handler(
                {"message": "a journal's caller failed when it was told", "exception": exc}
            )


def _answer(future: asyncio.Future[Any], error: Exception | None, result: Any) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
