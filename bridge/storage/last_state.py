"""The last state of a table as the log tells it: a projection for one comparison, then thrown away.

It holds keys and digests, no values; it lies on the disk, so that a table of any size fits.
"""

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from bridge.capture.snapshot.comparison import LastRow
from bridge.capture.snapshot.logged_rows import EntryTold
from bridge.storage.sqlite_file import explained

SCHEMA: Final = """
CREATE TABLE rows (
    key TEXT PRIMARY KEY,
    fields TEXT,
    xid INTEGER NOT NULL,
    position INTEGER NOT NULL,
    seen INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
"""

_FIND: Final = "SELECT fields, xid, position FROM rows WHERE key = ?"
_PUT: Final = """
INSERT INTO rows (key, fields, xid, position) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE
   SET fields = excluded.fields, xid = excluded.xid, position = excluded.position
"""
_EMPTY: Final = "UPDATE rows SET fields = NULL, xid = ?, position = ?"
_SEEN: Final = "UPDATE rows SET seen = 1 WHERE key = ?"
_UNSEEN: Final = "SELECT key FROM rows WHERE seen = 0 AND fields IS NOT NULL"
_COUNT: Final = "SELECT count(*) FROM rows WHERE fields IS NOT NULL"


class SqliteLastState:
    """Implements `LastState` over a temporary file in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Raises `StorageUnavailable` when the file cannot be made."""
        descriptor, name = tempfile.mkstemp(prefix="compare-", suffix=".db", dir=folder)
        os.close(descriptor)  # Made with mode 0600: keys are people's.
        self.path = Path(name)
        with explained("open the state of a comparison", self.path):
            self._connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False
            )
            # Nothing of it outlives the comparison.
            self._connection.execute("PRAGMA journal_mode=OFF").close()
            self._connection.execute("PRAGMA synchronous=OFF").close()
            self._connection.executescript(SCHEMA).close()

    def apply(self, told: Iterable[EntryTold]) -> None:
        """Take in what entries say, in the log's order."""
        with explained("write the state of a comparison", self.path):
            self._connection.execute("BEGIN")
            for entry in told:
                self._apply(entry)
            self._connection.execute("COMMIT")

    def find(self, key: str) -> LastRow | None:
        """Return the last state of a row, gone ones included."""
        with explained("read the state of a comparison", self.path):
            row = self._connection.execute(_FIND, (key,)).fetchone()
        if row is None:
            return None
        fields, xid, position = row
        return LastRow(None if fields is None else json.loads(fields), xid, position)

    def mark_seen(self, keys: Iterable[str]) -> None:
        """Remember that the source has these rows."""
        with explained("write the state of a comparison", self.path):
            self._connection.execute("BEGIN")
            self._connection.executemany(_SEEN, ((key,) for key in keys))
            self._connection.execute("COMMIT")

    def unseen(self) -> Iterator[str]:
        """Yield the keys of rows that the log has and the source was not seen to have."""
        with explained("read the state of a comparison", self.path):
            yield from (key for (key,) in self._connection.execute(_UNSEEN))

    def row_count(self) -> int:
        """Return how many rows the log has."""
        with explained("read the state of a comparison", self.path):
            return int(self._connection.execute(_COUNT).fetchone()[0])

    def close(self) -> None:
        """Remove the file."""
        self._connection.close()
        self.path.unlink(missing_ok=True)

    def _apply(self, entry: EntryTold) -> None:
        execute = self._connection.execute
        if entry.emptied:
            execute(_EMPTY, (entry.xid, entry.position))
        for row in entry.rows:
            fields = row.fields
            if fields is not None and not row.whole:
                fields = {**self._fields(row.key), **fields}
            text = None if fields is None else json.dumps(fields, sort_keys=True)
            execute(_PUT, (row.key, text, entry.xid, entry.position))

    def _fields(self, key: str) -> Mapping[str, str]:
        row = self._connection.execute(_FIND, (key,)).fetchone()
        found: dict[str, str] = {} if row is None or row[0] is None else json.loads(row[0])
        return found
