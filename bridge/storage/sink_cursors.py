"""Where each sink stands, in the SQLite file of the gateway's own state."""

import threading
from pathlib import Path

from bridge.storage.sqlite_file import explained, open_store

APPLICATION_ID = 0x4C42_5354  # "LBST"
SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE sink_cursors (
    sink TEXT PRIMARY KEY,
    next_index INTEGER NOT NULL
) STRICT
"""

LOAD = "SELECT next_index FROM sink_cursors WHERE sink = ?"
# A relay that was paused and replaced may come back and store its older place: it changes nothing.
STORE = """
INSERT INTO sink_cursors VALUES (?, ?)
ON CONFLICT (sink) DO UPDATE SET next_index = max(next_index, excluded.next_index)
"""

ALL = "SELECT sink, next_index FROM sink_cursors ORDER BY sink"
BRING_BACK = "UPDATE sink_cursors SET next_index = ? WHERE next_index > ?"


class SqliteSinkCursors:
    """`SinkCursors` over the SQLite file at `path`, which is made when it is missing.

    Raises:
        StorageUnavailable: the file cannot be opened, read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection = open_store(
            path,
            "sink cursors",
            application_id=APPLICATION_ID,
            version=SCHEMA_VERSION,
            script=SCHEMA,
        )

    def load(self, sink: str) -> int:
        """Return the next leaf index to publish (0 for a new sink)."""
        with self._lock, explained("read sink cursors", self.path):
            row = self._connection.execute(LOAD, (sink,)).fetchone()
        return 0 if row is None else int(row[0])

    def store(self, sink: str, next_index: int) -> None:
        """Keep `next_index` durably; a number below the stored one changes nothing."""
        with self._lock, explained("move sink cursors", self.path):
            self._connection.execute(STORE, (sink, next_index))

    def all(self) -> dict[str, int]:
        """Return the next leaf index to publish of every sink that ever published."""
        with self._lock, explained("read sink cursors", self.path):
            return dict(self._connection.execute(ALL).fetchall())

    def bring_back(self, next_index: int) -> None:
        """Let no sink stand beyond `next_index`: for a log that lost what comes after."""
        with self._lock, explained("move sink cursors", self.path):
            self._connection.execute(BRING_BACK, (next_index, next_index))

    def close(self) -> None:
        """Release the file; may be called twice."""
        with self._lock:
            self._connection.close()
