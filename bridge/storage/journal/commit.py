"""Group commit: one thread per process writes everything that waits in one durable commit.

A commit costs one flush to disk whatever it holds, so the batch forms by itself: while one flush
runs, the next writes gather. No timer delays anybody.
"""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

from bridge.model.errors import BridgeError, StorageUnavailable
from bridge.storage.journal.file import Checkpointer, begin, connect

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]

# Beyond this a worker is not slow but stuck, and its clients should be told at once.
WAITING_COUNT_MAX_DEFAULT: Final = 4_096

# Other processes wait for the file while a batch is written: keep each turn around a millisecond
# or two.
_BATCH_COUNT_MAX: Final = 128


class _Waiting(NamedTuple):
    operation: Operation
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class GroupCommit:
    """Runs operations of one process on the journal, many to a commit."""

    def __init__(self, path: Path, *, waiting_count_max: int = WAITING_COUNT_MAX_DEFAULT) -> None:
        connect(path).close()  # Whoever makes us hears of a journal that cannot be used.
        self._path = path
        self._waiting_count_max = waiting_count_max
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._checkpointer = Checkpointer(path)
        self._thread = threading.Thread(target=self._run, name="journal-commit", daemon=True)
        self._thread.start()

    async def do(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run `operation` and return its result once it is durable.

        A `BridgeError` that it raises comes back alone; it must have written nothing until then.
        When the caller is cancelled the operation may still be carried out.

        Raises:
            StorageUnavailable: nothing of it was written.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._changed:
            if self._closing:
                raise StorageUnavailable("cannot write to the journal: it is closed")
            if len(self._waiting) >= self._waiting_count_max:
                raise StorageUnavailable(
                    f"cannot write to the journal: {len(self._waiting)} writes wait for the disk"
                )
            self._waiting.append(_Waiting(operation, loop, future))
            self._changed.notify()
        return cast(T, await future)

    def close(self) -> None:
        """Write what waits, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._checkpointer.close()

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while batch := self._next_batch():
            try:
                connection = connection or connect(self._path)
                results = _commit(connection, [waiting.operation for waiting in batch])
            except Exception as exc:
                results = [_unavailable(exc)] * len(batch)
                if connection is not None:
                    # After an I/O error SQLite's connection may be unfit; a new one is not.
                    with suppress(sqlite3.Error):
                        connection.close()
                    connection = None
            _deliver(batch, results)
        if connection is not None:
            connection.close()

    def _next_batch(self) -> list[_Waiting]:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            count = min(len(self._waiting), _BATCH_COUNT_MAX)
            return [self._waiting.popleft() for _ in range(count)]


class _Failed(NamedTuple):
    error: Exception


def _commit(connection: sqlite3.Connection, operations: list[Operation]) -> list[Any]:
    """Run `operations` in one commit; one that breaks is run, and fails, alone."""
    try:
        begin(connection)
        try:
            results = [_result(connection, operation) for operation in operations]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except Exception as exc:
        if len(operations) == 1 or _is_busy_or_full(exc):
            return [_unavailable(exc)] * len(operations)
        return [_commit(connection, [operation])[0] for operation in operations]
    return results


def _result(connection: sqlite3.Connection, operation: Operation) -> Any:
    try:
        return operation(connection)
    except BridgeError as exc:
        return _Failed(exc)


def _is_busy_or_full(exc: Exception) -> bool:
    """Return whether every operation would fail alike, so that trying each alone is vain."""
    return isinstance(exc, sqlite3.OperationalError)


def _unavailable(exc: Exception) -> _Failed:
    if isinstance(exc, sqlite3.DatabaseError | OSError):
        told: Exception = StorageUnavailable(f"cannot write to the journal: {exc}")
        told.__cause__ = exc
        return _Failed(told)
    return _Failed(exc)


def _deliver(batch: list[_Waiting], results: list[Any]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for waiting, result in zip(batch, results, strict=True):
        by_loop.setdefault(waiting.loop, []).append((waiting.future, result))
    for loop, outcomes in by_loop.items():
        # A loop that was closed meanwhile has nobody left to tell.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in outcomes:
        if future.done():
            continue
        if isinstance(result, _Failed):
            future.set_exception(result.error)
        else:
            future.set_result(result)
