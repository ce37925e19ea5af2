"""An inbox in PostgreSQL: the handler's read model lives in the same database."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import psycopg

from bridge.consumer.event import ReceivedEvent
from bridge.consumer.window import RETENTION_LEAVES_DEFAULT, moved_window
from bridge.model.errors import StorageUnavailable

_CONNECT_TIMEOUT_S: Final = 10
# Two replicas that start together must not create the tables at once (catalog race).
_TABLES_LOCK: Final = 0x6C62_696E_626F_78  # "lbinbox"

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS lb_inbox (
    group_name text NOT NULL, source text NOT NULL, event_id text NOT NULL,
    leaf_index bigint NOT NULL, PRIMARY KEY (group_name, source, event_id));
CREATE INDEX IF NOT EXISTS lb_inbox_leaf ON lb_inbox (group_name, leaf_index);
CREATE TABLE IF NOT EXISTS lb_inbox_window (group_name text PRIMARY KEY, oldest bigint NOT NULL);
"""
# Insert a whole batch and return what was new. A replica that applies the same event at the same
# time waits here until we commit, and then finds it known.
_REMEMBER: Final = """
INSERT INTO lb_inbox (group_name, source, event_id, leaf_index)
SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::bigint[])
ON CONFLICT DO NOTHING RETURNING source, event_id
"""
_OLDEST: Final = "SELECT oldest FROM lb_inbox_window WHERE group_name = %s"
_FORGET: Final = "DELETE FROM lb_inbox WHERE group_name = %s AND leaf_index < %s"
_MOVE: Final = """
INSERT INTO lb_inbox_window VALUES (%s, %s)
ON CONFLICT (group_name) DO UPDATE SET oldest = greatest(lb_inbox_window.oldest, excluded.oldest)
"""


class PostgresInbox:
    """Gives handlers the open `psycopg.Connection`, inside its transaction.

    Statements of handlers are sent as a pipeline: one that is not waited for (no result is
    fetched) costs no round trip, and its error comes at the end of the batch. A handler that
    catches errors of its own statements needs `pipeline=False`.
    """

    def __init__(
        self,
        dsn: str,
        *,
        prepare: Callable[["psycopg.Connection[Any]"], None] | None = None,
        pipeline: bool = True,
        retention_leaves: int = RETENTION_LEAVES_DEFAULT,
    ) -> None:
        """Keep the inbox in `dsn`; `prepare` creates the handler's own tables if need be."""
        self._dsn = dsn
        self._prepare = prepare
        self._pipeline = pipeline
        self._retention_leaves = retention_leaves
        self._connection: psycopg.Connection[Any] | None = None
        self._windows: dict[str, int] = {}

    def apply(
        self,
        group: str,
        events: Sequence[ReceivedEvent],
        handle: Callable[[ReceivedEvent, "psycopg.Connection[Any]"], None],
    ) -> int:
        """See `Inbox.apply`."""
        with self._transaction() as connection:
            new = self._remember(connection, group, events)
            with connection.pipeline() if self._pipeline else nullcontext():
                for event in new:
                    handle(event, connection)
            window = self._slide(connection, group, new)
        if window is not None:
            self._windows[group] = window
        return len(new)

    def oldest(self, group: str) -> int:
        """See `Inbox.oldest`."""
        if group not in self._windows:
            with self._transaction() as connection:
                row = connection.execute(_OLDEST, (group,)).fetchone()
                self._windows[group] = row[0] if row else 0
        return self._windows[group]

    def close(self) -> None:
        """See `Inbox.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _remember(
        self, connection: "psycopg.Connection[Any]", group: str, events: Sequence[ReceivedEvent]
    ) -> list[ReceivedEvent]:
        rows = connection.execute(
            _REMEMBER,
            (
                group,
                [event.source for event in events],
                [event.id for event in events],
                [event.leaf_index for event in events],
            ),
        ).fetchall()
        names = set(rows)
        new = []
        for event in events:
            if (event.source, event.id) in names:
                names.remove((event.source, event.id))  # The same event twice in one batch.
                new.append(event)
        return new

    def _slide(
        self, connection: "psycopg.Connection[Any]", group: str, new: list[ReceivedEvent]
    ) -> int | None:
        """Forget what is too old; return the new oldest leaf when it moved."""
        oldest = moved_window(new, self.oldest(group), self._retention_leaves)
        if oldest is None:
            return None
        connection.execute(_FORGET, (group, oldest))
        connection.execute(_MOVE, (group, oldest))
        return oldest

    @contextmanager
    def _transaction(self) -> Iterator["psycopg.Connection[Any]"]:
        """Connect if need be and run the block in one transaction."""
        connection = self._connect()
        try:
            with connection.transaction():
                yield connection
        except psycopg.Error as exc:
            if not connection.broken and not connection.closed:
                raise
            self.close()
            raise self._unavailable(exc) from exc

    def _connect(self) -> "psycopg.Connection[Any]":
        if self._connection is None:
            try:
                connection = psycopg.connect(
                    self._dsn,
                    autocommit=True,
                    connect_timeout=_CONNECT_TIMEOUT_S,
                    application_name="legacy-bridge consumer",
                )
            except psycopg.OperationalError as exc:
                raise self._unavailable(exc) from exc
            try:
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TABLES_LOCK,))
                    connection.execute(_TABLES)
                    if self._prepare is not None:
                        self._prepare(connection)
            except psycopg.OperationalError as exc:
                connection.close()
                raise self._unavailable(exc) from exc
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _unavailable(self, exc: psycopg.Error) -> StorageUnavailable:
        # The server's own words may quote a row; the SQLSTATE says enough.
        state = exc.sqlstate or "connection lost"
        return StorageUnavailable(f"cannot use the inbox in PostgreSQL: {state}")
