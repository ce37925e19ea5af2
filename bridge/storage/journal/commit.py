"""Group commit on SQLite: one thread per process writes everything that waits in one commit."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from bridge.model.errors import BridgeError, StorageUnavailable
from bridge.storage.journal.batches import WAITING_COUNT_MAX_DEFAULT, Batches, Done, Failed
from bridge.storage.journal.file import Checkpointer, begin_asking, connect
from bridge.storage.journal.sqlite_steps import Open, Settle, run_together

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any] | Open | Settle


class GroupCommit:
    """Runs operations of one process on the journal, many to a commit."""

    def __init__(self, path: Path, *, waiting_count_max: int = WAITING_COUNT_MAX_DEFAULT) -> None:
        connect(path).close()  # Whoever makes us hears of a journal that cannot be used.
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._checkpointer = Checkpointer(path)
        self._batches: Batches[Operation] = Batches(
            self._commit, waiting_count_max=waiting_count_max
        )

    async def do(self, operation: Callable[[sqlite3.Connection], T] | Open | Settle) -> T:
        """Run `operation` and return its result once it is durable; see `Batches.do`.

        A `BridgeError` that it raises comes back alone; it must have written nothing until then.
        """
        return cast(T, await self._batches.do(operation))

    def submit(self, operation: Operation, done: Done) -> None:
        """Run `operation` and call `done` once it is durable; see `Batches.submit`."""
        self._batches.submit(operation, done)

    def close(self) -> None:
        """Write what waits, then end."""
        self._batches.close()
        if self._connection is not None:
            self._connection.close()
        self._checkpointer.close()

    def _commit(self, operations: Sequence[Operation]) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = connect(self._path)
                self._connection.execute("PRAGMA busy_timeout = 0").fetchone()
            return _commit(self._connection, operations)
        except Exception as exc:
            if self._connection is not None:
                # After an I/O error SQLite's connection may be unfit; a new one is not.
                with suppress(sqlite3.Error):
                    self._connection.close()
                self._connection = None
            return [_unavailable(exc)] * len(operations)


def _commit(connection: sqlite3.Connection, operations: Sequence[Operation]) -> list[Any]:
    """Run `operations` in one commit; one that breaks is run, and fails, alone."""
    try:
        begin_asking(connection)
        try:
            together = run_together(connection, operations) if len(operations) > 1 else {}
            results = [
                together[place] if place in together else _result(connection, operation)
                for place, operation in enumerate(operations)
            ]
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
        return Failed(exc)


def _is_busy_or_full(exc: Exception) -> bool:
    """Return whether every operation would fail alike, so that trying each alone is vain."""
    return isinstance(exc, sqlite3.OperationalError)


def _unavailable(exc: Exception) -> Failed:
    if isinstance(exc, sqlite3.DatabaseError | OSError):
        told: Exception = StorageUnavailable(f"cannot write to the journal: {exc}")
        told.__cause__ = exc
        return Failed(told)
    return Failed(exc)
