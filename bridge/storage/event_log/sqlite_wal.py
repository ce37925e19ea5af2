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
from bridge.model.errors import StorageUnavailable
from bridge.storage.sqlite_file import connect

# Large enough that a copy writes many pages in one go, small enough to reread quickly at a start.
WAL_BYTES = 16 * 1024 * 1024

# SQLite starts its log afresh only at a moment when no reader uses it. Where readers never leave
# such a moment, it grows; past this size appends wait until the readers of that moment are done.
WAL_BYTES_MAX = 8 * WAL_BYTES
RESTART_WAIT_MS = 500

_COPY_BACK = "PRAGMA wal_checkpoint(PASSIVE)"
_COPY_BACK_AND_RESTART = "PRAGMA wal_checkpoint(RESTART)"


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
        page_bytes = 0
        try:
            while True:
                self._wake.wait()
                self._wake.clear()
                if self._closing:
                    return
                # A copy that fails (disk full) loses nothing: the next one does its work too, and
                # appends report the full disk themselves.
                with suppress(sqlite3.Error, StorageUnavailable):
                    if connection is None:
                        connection = connect(self._path, busy_timeout_ms=RESTART_WAIT_MS)
                        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
                    # The bulk first, while appends go on; then the little that they added, with
                    # appends held back, because SQLite starts its log afresh only after all of it
                    # was copied.
                    _, wal_pages, _ = connection.execute(_COPY_BACK).fetchone()
                    grown = wal_pages * page_bytes > WAL_BYTES_MAX
                    with self._append_lock:
                        connection.execute(
                            _COPY_BACK_AND_RESTART if grown else _COPY_BACK
                        ).fetchone()
        finally:
            if connection is not None:
                connection.close()
