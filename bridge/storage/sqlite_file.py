"""Open the gateway's SQLite files durably, and say in our words what SQLite refuses."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bridge.model.errors import BridgeError, ConfigInvalid, LogCorrupt, StorageUnavailable

# A commit of a full batch takes milliseconds; who holds the lock for seconds hangs, and capture
# must be able to answer its source's keepalives before the source gives up (60 s by default).
BUSY_TIMEOUT_MS_DEFAULT = 5_000

_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another process holds its lock; find and stop it",
    sqlite3.SQLITE_FULL: "free space on its disk; appends resume by themselves",
    sqlite3.SQLITE_IOERR: "check its disk",
    sqlite3.SQLITE_CANTOPEN: "check that its folder exists and may be written",
    sqlite3.SQLITE_READONLY: "give the gateway's user the right to write it",
}

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def connect(
    path: Path,
    *,
    busy_timeout_ms: int = BUSY_TIMEOUT_MS_DEFAULT,
    shrinks: bool = False,
    page_bytes: int = 4_096,
) -> sqlite3.Connection:
    """Open `path` so that a returned commit survives power loss and readers never wait.

    The connection may be used by any thread, one at a time: its owner holds a lock. A file that is
    made with `shrinks` can give free pages back later, and has pages of `page_bytes`.
    """
    # Payloads hold what the legacy rows hold, so nobody else may read them. Made empty here, as
    # SQLite would give the file the mode of the umask; its log files get the mode of the file.
    with suppress(FileExistsError):
        os.mknod(path, 0o600 | stat.S_IFREG)
    connection = sqlite3.connect(
        path, timeout=busy_timeout_ms / 1000, isolation_level=None, check_same_thread=False
    )
    try:
        if shrinks:
            # Before anything is written: it has no effect on a file that has pages.
            connection.execute(f"PRAGMA page_size={page_bytes:d}").close()
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL").close()
        connection.execute("PRAGMA journal_mode=WAL").close()
        connection.execute("PRAGMA synchronous=FULL").close()
    except BaseException:
        connection.close()
        raise
    return connection


def create_schema(
    connection: sqlite3.Connection, path: Path, *, application_id: int, version: int, script: str
) -> None:
    """Create the tables of `script` once, over all processes that open the file.

    Raises:
        ConfigInvalid: the file belongs to something else, or to a newer Legacy Bridge.
    """
    if _marks(connection) == (application_id, version):
        return
    with one_commit(connection):
        found_id, found_version = _marks(connection)
        if (found_id, found_version) != (application_id, version):
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if found_id != 0 or found_version != 0 or tables:
                raise ConfigInvalid(
                    f"cannot use {str(path)!r}: it holds application {found_id:#x} version "
                    f"{found_version}, needed is {application_id:#x} version {version}; "
                    "choose another data folder or the matching version of legacy-bridge"
                )
            for statement in script.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id={application_id:d}")
            connection.execute(f"PRAGMA user_version={version:d}")


def open_store(
    path: Path, what: str, *, application_id: int, version: int, script: str, pragma: str = ""
) -> sqlite3.Connection:
    """Open a store of one file, and make it when it is missing; `what` names it in errors.

    `pragma` (`synchronous=NORMAL`) says what is other than usual, before the tables are made.

    Raises:
        StorageUnavailable: the file cannot be opened.
        ConfigInvalid: it belongs to something else, or to a newer Legacy Bridge.
    """
    with explained(f"open {what}", path):
        connection = connect(path)
        try:
            if pragma:
                connection.execute(f"PRAGMA {pragma}").close()
            create_schema(
                connection, path, application_id=application_id, version=version, script=script
            )
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def one_commit(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done inside, all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: sqlite3.Connection) -> None:
    """End the transaction without a trace, whether SQLite has already done so or not."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


@contextmanager
def explained(what: str, path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours; `what` says what could not be done."""
    try:
        yield
    except sqlite3.Error as exc:
        raise _explain(what, path, exc) from exc
    except OSError as exc:
        raise StorageUnavailable(
            f"cannot {what} {str(path)!r}: {exc.strerror}; check that its folder exists and that "
            "the gateway's user may write it"
        ) from exc


def _explain(what: str, path: Path, exc: sqlite3.Error) -> BridgeError:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in _CORRUPT:
        return LogCorrupt(
            f"cannot {what} {str(path)!r}: {exc}; stop all roles and restore the file from a backup"
        )
    remedy = _REMEDIES.get(code, "see the cause; the call is repeated")
    return StorageUnavailable(f"cannot {what} {str(path)!r}: {exc}; {remedy}")


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    return application_id, connection.execute("PRAGMA user_version").fetchone()[0]
