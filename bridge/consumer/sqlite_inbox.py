"""An inbox in a SQLite file: the handler's read model lives in the same file."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson

from bridge.consumer.event import ReceivedEvent
from bridge.consumer.window import RETENTION_LEAVES_DEFAULT, moved_window
from bridge.model.errors import StorageUnavailable

# Readers of the read model may hold the file; a second writer would be a mistake, but a short one.
_BUSY_TIMEOUT_S: Final = 10.0

# Event ids sort in commit order, so the first B-tree is only ever appended to. The window says
# what was forgotten: events below `oldest` may have been applied.
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS lb_inbox (
    group_name TEXT NOT NULL, source TEXT NOT NULL, event_id TEXT NOT NULL,
    leaf_index INTEGER NOT NULL, PRIMARY KEY (group_name, source, event_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lb_inbox_leaf ON lb_inbox (group_name, leaf_index);
CREATE TABLE IF NOT EXISTS lb_inbox_window (
    group_name TEXT PRIMARY KEY, oldest INTEGER NOT NULL) WITHOUT ROWID;
"""
# Which of a batch's ids are known already; one statement, whatever the size of the batch.
_KNOWN: Final = """
SELECT known.source, known.event_id
FROM json_each(?2) AS asked CROSS JOIN lb_inbox AS known
WHERE known.group_name = ?1 AND known.source = json_extract(asked.value, '$[0]')
AND known.event_id = json_extract(asked.value, '$[1]')
"""
_REMEMBER: Final = "INSERT INTO lb_inbox VALUES (?, ?, ?, ?)"
_OLDEST: Final = "SELECT oldest FROM lb_inbox_window WHERE group_name = ?"
_FORGET: Final = "DELETE FROM lb_inbox WHERE group_name = ? AND leaf_index < ?"
_MOVE: Final = (
    "INSERT INTO lb_inbox_window VALUES (?, ?)"
    " ON CONFLICT (group_name) DO UPDATE SET oldest = max(oldest, excluded.oldest)"
)


class SqliteInbox:
    """Gives handlers the open `sqlite3.Connection`, inside its transaction."""

    def __init__(
        self,
        path: Path,
        *,
        prepare: Callable[[sqlite3.Connection], None] | None = None,
        retention_leaves: int = RETENTION_LEAVES_DEFAULT,
    ) -> None:
        """Keep the inbox in `path`; `prepare` creates the handler's own tables if need be."""
        self._path = path
        self._prepare = prepare
        self._retention_leaves = retention_leaves
        self._connection: sqlite3.Connection | None = None
        self._windows: dict[str, int] = {}

    def apply(
        self,
        group: str,
        events: Sequence[ReceivedEvent],
        handle: Callable[[ReceivedEvent, sqlite3.Connection], None],
    ) -> int:
        """See `Inbox.apply`."""
        with self._transaction() as connection:
            new = self._remember(connection, group, events)
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
        self, connection: sqlite3.Connection, group: str, events: Sequence[ReceivedEvent]
    ) -> list[ReceivedEvent]:
        """Insert what is new and return it."""
        first = {(event.source, event.id): event for event in reversed(events)}
        names = orjson.dumps(list(first)).decode()
        for name in connection.execute(_KNOWN, (group, names)).fetchall():
            del first[name]
        new = list(reversed(first.values()))
        connection.executemany(
            _REMEMBER, [(group, event.source, event.id, event.leaf_index) for event in new]
        )
        return new

    def _slide(
        self, connection: sqlite3.Connection, group: str, new: list[ReceivedEvent]
    ) -> int | None:
        """Forget what is too old; return the new oldest leaf when it moved."""
        oldest = moved_window(new, self.oldest(group), self._retention_leaves)
        if oldest is None:
            return None
        connection.execute(_FORGET, (group, oldest))
        connection.execute(_MOVE, (group, oldest))
        return oldest

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Open the file if need be and run the block in one durable transaction."""
        connection = self._open()
        if connection.in_transaction:  # `oldest`, asked inside `apply`.
            yield connection
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF in _UNAVAILABLE:
                raise self._unavailable(exc) from exc
            raise

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                connection = sqlite3.connect(
                    self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None
                )
            except sqlite3.OperationalError as exc:
                raise self._unavailable(exc) from exc
            connection.execute("PRAGMA journal_mode = WAL")
            # The broker forgets an event when we say that it is applied: it must be on disk.
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_TABLES)
            if self._prepare is not None:
                self._prepare(connection)
            self._connection = connection
        return self._connection

    def _unavailable(self, exc: sqlite3.OperationalError) -> StorageUnavailable:
        return StorageUnavailable(f"cannot use inbox {str(self._path)!r}: {exc.sqlite_errorname}")


# The file, not what was asked of it: busy, locked, out of memory, I/O, full, cannot open.
_UNAVAILABLE: Final = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    )
)
