"""Run a program's steps: one connection per session, one statement at a time."""

import contextlib
from collections import Counter
from collections.abc import Iterable

import psycopg

from tests.capture.random.program import Step
from tests.waiting import wait_until

# One thread runs all sessions, so a statement that waits for another session waits in vain.
_LOCK_TIMEOUT_MS = 30


class Sessions:
    """The legacy application; a context manager that leaves no transaction open."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connections: dict[int, psycopg.Connection] = {}
        self.ran: list[Step] = []
        """Every step that was tried, in order: what to print when the log is wrong."""
        self.failures: Counter[str] = Counter()

    def __enter__(self) -> "Sessions":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections.values():
            connection.close()
        self.undo_prepared()

    def undo_prepared(self) -> None:
        """Roll back the prepared transactions whose end was lost, with a connection for example.

        They hold their locks, and hold back every slot of the server, other tests' slots too.
        """
        with psycopg.connect(self._dsn, autocommit=True) as admin:
            names = admin.execute(
                "select gid from pg_prepared_xacts where database = current_database()"
            ).fetchall()
            for (name,) in names:
                admin.execute(f"rollback prepared '{name}'".encode())

    def run(self, steps: Iterable[Step]) -> None:
        """Run `steps`; what the server refuses is counted."""
        for step in steps:
            self.ran.append(step)
            try:
                self._run(step)
            except psycopg.Error as exc:
                self.failures[type(exc).__name__] += 1

    def _run(self, step: Step) -> None:
        connection = self._connection(step.session)
        if step.copy is None:
            connection.execute(step.sql.encode())
            return
        with connection.cursor() as cursor, cursor.copy(step.sql.encode()) as copy:
            copy.write(step.copy)

    def _connection(self, number: int) -> psycopg.Connection:
        connection = self._connections.get(number)
        if connection is None or connection.closed:
            wait_until(lambda: self._connect(number), 30, "the server to take connections")
        return self._connections[number]

    def _connect(self, number: int) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            self._connections[number] = psycopg.connect(
                self._dsn, autocommit=True, options=f"-c lock_timeout={_LOCK_TIMEOUT_MS}"
            )
            return True
        return False
