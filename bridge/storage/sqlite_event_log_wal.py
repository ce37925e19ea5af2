"""Copy SQLite's write-ahead log back into its file, beside the appends instead of inside them.

SQLite's own way runs in the commit that passes a threshold, which makes that commit ten times
slower than the others.
"""

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bridge.eventlog.tree import EntryRow
from bridge.storage.sqlite_event_log_file import connect

# Large enough that a copy writes many pages in one go, small enough to reread quickly at a start.
WAL_BYTES = 16 * 1024 * 1024

_COPY_BACK = "PRAGMA wal_checkpoint(PASSIVE)"


class WalKeeper:
    """One thread that copies back whenever about `WAL_BYTES` were appended."""

    def __init__(self, path: Path, append_lock: threading.Lock) -> None:
        self._path = path
        self._append_lock = append_lock
        self._appended_bytes = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="event-log-wal", daemon=True)
        self._thread.start()

    def written(self, rows: Sequence[EntryRow]) -> None:
        """Count what an append wrote; never waits."""
        self._appended_bytes += sum([len(row[5]) + len(row[6]) for row in rows])
        if self._appended_bytes >= WAL_BYTES:
            self._appended_bytes = 0
            self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            while True:
                self._wake.wait()
                self._wake.clear()
                if self._closing:
                    return
                # A copy that fails (disk full) loses nothing: the next one does its work too, and
                # appends report the full disk themselves.
                with suppress(sqlite3.Error):
                    connection = connection or connect(self._path)
                    # The bulk first, while appends go on; then the little that they added, with
                    # appends held back, because SQLite starts its log afresh only after all of it
                    # was copied.
                    connection.execute(_COPY_BACK).close()
                    with self._append_lock:
                        connection.execute(_COPY_BACK).close()
        finally:
            if connection is not None:
                connection.close()
