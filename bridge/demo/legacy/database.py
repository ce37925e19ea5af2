"""The application's connections: a bounded set, each with the shop's session settings."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row

T = TypeVar("T")
Connection: TypeAlias = psycopg.Connection[DictRow]
Cursor: TypeAlias = psycopg.Cursor[DictRow]

# A PostgreSQL of its time allows 100 connections; the shop was given a sixth of them.
CONNECTIONS_MAX_DEFAULT = 16
# Long enough for a queue of ordinary requests, short enough for a browser that waits.
SLOT_TIMEOUT_S = 5.0
# JST as a POSIX zone: needs no time zone files on either side.
SESSION_OPTIONS = "-c TimeZone=JST-9 -c statement_timeout=10000"

# admin_shutdown, crash_shutdown, cannot_connect_now: the server ends this session, though libpq
# may not have read its end yet.
SERVER_ENDING = frozenset({"57P01", "57P02", "57P03"})


class DatabaseDown(Exception):
    """Nothing was written: no connection could be had."""


class OutcomeLost(Exception):
    """The connection broke while committing: it may or may not have been written."""


def connect(dsn: str) -> Connection:
    """Open one connection with the shop's settings."""
    settings: dict[str, Any] = {
        "options": SESSION_OPTIONS,
        "application_name": "shop",
        "connect_timeout": 3,
    }
    return psycopg.connect(dsn, row_factory=dict_row, **settings)


class Database:
    """Runs units of work, each in one transaction."""

    def __init__(self, dsn: str, *, connections_max: int = CONNECTIONS_MAX_DEFAULT) -> None:
        self._dsn = dsn
        self._slots = threading.BoundedSemaphore(connections_max)
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    def run(self, work: Callable[[Cursor], T]) -> T:
        """Run `work` in one transaction and return its result after the commit.

        A connection that breaks before the commit has written nothing, so the work is tried once
        more on a new one: that is how a restarted database is found again.

        Raises:
            DatabaseDown: no connection could be had; nothing was written.
            OutcomeLost: the commit's answer was lost.
        """
        with self._slot():
            connection = self._take()
            try:
                return self._attempt(connection, work)
            except psycopg.OperationalError:
                if not connection.closed:
                    raise
            return self._attempt(self._connect(), work)

    def close(self) -> None:
        """Close the idle connections; call it when no work runs any more."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _attempt(self, connection: Connection, work: Callable[[Cursor], T]) -> T:
        committing = False
        try:
            with connection.cursor() as cursor:
                result = work(cursor)
            committing = True
            connection.commit()
        except psycopg.OperationalError as exc:
            if exc.sqlstate in SERVER_ENDING:
                connection.close()
            if connection.closed and committing:
                raise OutcomeLost("the database went away while committing") from exc
            raise
        finally:
            self._give_back(connection)
        return result

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=SLOT_TIMEOUT_S):
            raise DatabaseDown(f"no database connection became free within {SLOT_TIMEOUT_S:.0f} s")
        try:
            yield
        finally:
            self._slots.release()

    def _take(self) -> Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _connect(self) -> Connection:
        try:
            return connect(self._dsn)
        except psycopg.OperationalError as exc:
            raise DatabaseDown("cannot connect to the shop's database") from exc

    def _give_back(self, connection: Connection) -> None:
        if not connection.closed:
            try:
                connection.rollback()  # A no-op after a commit; ends what an error left open.
            except psycopg.OperationalError:
                connection.close()
        if not connection.closed:
            with self._lock:
                self._idle.append(connection)
