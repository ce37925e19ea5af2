"""Last known values in a SQLite file of their own: a projection, remade from the log when lost."""

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from bridge.capture.mapping.last_values import Place
from bridge.capture.mapping.remembered import Effect, Remembered
from bridge.storage.sqlite_file import explained, one_commit, open_store

APPLICATION_ID = 0x4C42_4C56  # "LBLV"
SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE places (
    table_name TEXT PRIMARY KEY,
    next_index INTEGER NOT NULL,
    anchor BLOB NOT NULL
) STRICT;
CREATE TABLE last_values (
    table_name TEXT NOT NULL,
    key TEXT NOT NULL,
    field TEXT NOT NULL,
    rule TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (table_name, key, field)
) STRICT, WITHOUT ROWID
"""

PLACES = "SELECT table_name, next_index, anchor FROM places"
FIND = "SELECT field, rule, value FROM last_values WHERE table_name = ? AND key = ?"
MOVE = "INSERT OR REPLACE INTO places VALUES (?, ?, ?)"
PUT = "INSERT OR REPLACE INTO last_values VALUES (?, ?, ?, ?, ?)"
FORGET_FIELD = "DELETE FROM last_values WHERE table_name = ? AND key = ? AND field = ?"
FORGET_ROW = "DELETE FROM last_values WHERE table_name = ? AND key = ?"
FORGET_TABLE = "DELETE FROM last_values WHERE table_name = ?"
FORGET_PLACE = "DELETE FROM places WHERE table_name = ?"


class SqliteLastValues:
    """`LastValueStore` over the SQLite file at `path`, which is made when it is missing.

    Raises:
        StorageUnavailable: the file cannot be opened, read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        # A commit that a power cut takes back leaves values and places of one moment: the
        # log fills in what came after. So none needs to reach the disk before it returns.
        self._connection = open_store(
            path,
            "last values",
            application_id=APPLICATION_ID,
            version=SCHEMA_VERSION,
            script=SCHEMA,
            pragma="synchronous=NORMAL",
        )

    def places(self) -> Mapping[str, Place]:
        """Return the place of every table that has one."""
        with self._lock, explained("read last values", self.path):
            rows = self._connection.execute(PLACES).fetchall()
        return {table: Place(next_index, anchor) for table, next_index, anchor in rows}

    def find(self, table: str, key: str) -> Mapping[str, Remembered]:
        """Return what is remembered of a row."""
        with self._lock, explained("read last values", self.path):
            rows = self._connection.execute(FIND, (table, key)).fetchall()
        return {field: Remembered(rule, value) for field, rule, value in rows}

    def apply(self, changes: Iterable[tuple[str, Effect]], places: Mapping[str, Place]) -> None:
        """Apply effects on tables in their order and move places, in one commit."""
        with self._lock, explained("move last values", self.path), one_commit(self._connection):
            for table, effect in changes:
                self._apply(table, effect)
            self._connection.executemany(
                MOVE,
                [(table, place.next_index, place.anchor) for table, place in places.items()],
            )

    def _apply(self, table: str, effect: Effect) -> None:
        execute = self._connection.execute
        if effect.key is None:
            execute(FORGET_TABLE, (table,))
        elif effect.fields is None:
            execute(FORGET_ROW, (table, effect.key))
        else:
            for field, remembered in effect.fields.items():
                if remembered is None:
                    execute(FORGET_FIELD, (table, effect.key, field))
                else:
                    execute(PUT, (table, effect.key, field, remembered.rule, remembered.value))

    def drop(self, table: str) -> None:
        """Forget a table and its place."""
        with self._lock, explained("drop last values", self.path), one_commit(self._connection):
            self._connection.execute(FORGET_TABLE, (table,))
            self._connection.execute(FORGET_PLACE, (table,))

    def close(self) -> None:
        """Release the file; may be called twice."""
        with self._lock:
            self._connection.close()
