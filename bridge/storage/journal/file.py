"""The write journal's file: connections, transactions, and checkpoints off the commit path."""

import os
import random
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bridge.model.errors import StorageUnavailable
from bridge.storage.journal.ingress_sql import LANE_INDEX, SQLITE_TABLES, on_sqlite
from bridge.storage.journal.sql import SCHEMA, SCHEMA_VERSION, UPGRADES

# A commit here takes well under a millisecond. Whoever cannot begin within two seconds stands
# before a stopped process or a dead disk, and its client must hear so.
BUSY_WAIT_S: Final = 2.0

# Above those of `sqlite_steps`, of which each exists in some twenty sizes.
_STATEMENTS_KEPT: Final = 256

# Copy the log back into the database once it is this long, and begin it anew, over the old one,
# when it is of the second size, at most about once a second: writers wait for that, shortly,
# because nearly all was copied before. A flush of a file that grows costs the disk several times
# one that overwrites, so that the file is given back only when it grew past the third size, under
# a reader that did not end.
_CHECKPOINT_BYTES: Final = 1 << 20
_RESTART_BYTES: Final = 32 << 20
_SHRINK_BYTES: Final = 128 << 20
_CHECKPOINT_PAUSE_S: Final = 0.25
# SQLite's own, which nothing here changes.
_PAGE_BYTES: Final = 4_096


def connect(path: Path) -> sqlite3.Connection:
    """Open the journal, made when absent.

    Raises:
        StorageUnavailable: it cannot be opened, or was made by another version.
    """
    with storage_errors("open the write journal"):
        # Requests stand in it as they came, credentials included: nobody else may read it. The file
        # must not be opened by anything but SQLite: closing it would drop the locks of every other
        # connection of this process, and other processes would then write over the log.
        with suppress(FileExistsError):
            os.mknod(path, 0o600 | stat.S_IFREG)
        connection = sqlite3.connect(
            path,
            timeout=BUSY_WAIT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENTS_KEPT,
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute("PRAGMA synchronous = FULL")
            # SQLite would checkpoint inside the commit that crosses the limit: that is the p99.
            connection.execute("PRAGMA wal_autocheckpoint = 0").fetchone()
            _make_tables(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _make_tables(connection: sqlite3.Connection) -> None:
    if _version(connection) == 0:
        with transaction(connection):
            if _version(connection) == 0:
                for statement in (*SCHEMA.split(";\n"), *SQLITE_TABLES):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    if _version(connection) in UPGRADES:
        with transaction(connection):
            # Another process may have come first.
            while (found := _version(connection)) in UPGRADES:
                for statement in UPGRADES[found]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {found + 1}")
    found = _version(connection)
    if found != SCHEMA_VERSION:
        raise StorageUnavailable(
            f"cannot use the write journal: its tables are of version {found}, this gateway needs "
            f"{SCHEMA_VERSION}"
        )
    if connection.execute("PRAGMA index_info(queued_lane)").fetchone() is None:
        with transaction(connection):
            connection.execute(on_sqlite(LANE_INDEX))


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn SQLite's and the file system's errors into `StorageUnavailable`."""
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as exc:
        raise StorageUnavailable(f"cannot {what}: {exc}") from exc


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run a block as one durable commit, or as nothing."""
    begin(connection)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def begin(connection: sqlite3.Connection) -> None:
    """Take the write lock, waiting at most `BUSY_WAIT_S`."""
    connection.execute("PRAGMA busy_timeout = 0").fetchone()
    try:
        begin_asking(connection)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_WAIT_S * 1000)}").fetchone()


def begin_asking(connection: sqlite3.Connection) -> None:
    """Do as `begin` on a connection that does not wait by itself.

    SQLite's own waiting sleeps up to 100 ms at a time while other processes hold the lock for
    fractions of one; asking more often keeps the waiting of several workers fair and short.
    """
    give_up_at = time.monotonic() + BUSY_WAIT_S
    while not _begun(connection, give_up_at):
        time.sleep(random.uniform(0.0001, 0.0004))


def _begun(connection: sqlite3.Connection, give_up_at: float) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as exc:
        # Extended codes of BUSY share their low byte.
        busy = (exc.sqlite_errorcode & 0xFF) == sqlite3.SQLITE_BUSY
        if not busy or time.monotonic() > give_up_at:
            raise
        return False
    return True


class Checkpointer:
    """A thread that copies the write-ahead log into the database, beside the commits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-checkpoint", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        connection = connect(self._path)
        try:
            while not self._stop.wait(_CHECKPOINT_PAUSE_S):
                # Busy or a full disk: the log grows meanwhile, and the next round tries again.
                with suppress(sqlite3.Error, OSError):
                    self._look(connection)
        finally:
            connection.close()

    def _look(self, connection: sqlite3.Connection) -> None:
        length = self._log.stat().st_size
        if length <= _CHECKPOINT_BYTES:
            return
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages * _PAGE_BYTES <= _RESTART_BYTES:
            return
        # What came meanwhile is less, and what comes while that is copied is least.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        how = "TRUNCATE" if length > _SHRINK_BYTES else "RESTART"
        connection.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
