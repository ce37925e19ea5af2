"""Fill a real, small file system under a log, look what it says, free space, go on.

    python -m tests.eventlog.faults.full_disk sqlite|postgres FOLDER

Mounts a tmpfs on FOLDER/small, so it runs in a mount namespace of its own (`unshare`). Ends with 0
when everything held, and prints what the log said as JSON.
"""

import json
import os
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg

from bridge.demo.servers import PrivatePostgres
from bridge.eventlog.inspection import inspect_log
from bridge.eventlog.ports import EventLogStore
from bridge.model.entry import CursorMove
from bridge.model.errors import StorageUnavailable
from bridge.storage.event_log.postgres import PostgresEventLog
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.eventlog.drafts import draft

SMALL_MB = 24
BALLAST_BYTES = 12 << 20
BATCH = 200


def main(kind: str, folder: Path) -> None:
    """Run it on one kind of store."""
    small = folder / "small"
    small.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_MB}m", "tmpfs", str(small)],  # noqa: S607 - wherever it is
        check=True,
    )
    ballast = small / "ballast"
    with ballast.open("wb") as file:
        file.write(b"\0" * BALLAST_BYTES)
    with ExitStack() as stack:
        log = open_log(kind, folder, small, stack)
        said = fill(log)
        size = log.head().size
        for _ in range(3):
            assert "free space" in fill(log), "the same answer, each time"
        assert log.head().size == size
        assert inspect_log(log).size == size, "reading goes on, and nothing is half written"
        ballast.unlink()
        go_on(log)
        assert inspect_log(log).size > size + BATCH
        print(json.dumps({"said": said, "appended": size}))


def open_log(kind: str, folder: Path, small: Path, stack: ExitStack) -> EventLogStore:
    """Open a log whose entries lie on the small file system."""
    if kind == "sqlite":
        return stack.enter_context(closing(SqliteEventLog(small / "log.db")))
    folder.chmod(0o755)
    server = stack.enter_context(
        PrivatePostgres.start(folder / "server", settings={"fsync": "off"})
    )
    place = small / "tablespace"
    place.mkdir()
    if os.getuid() == 0:
        os.chown(place, *owner(folder / "server"))
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        admin.execute("ALTER DATABASE postgres SET default_tablespace = small")
    return stack.enter_context(closing(PostgresEventLog(server.dsn())))


def owner(folder: Path) -> tuple[int, int]:
    """Return user and group of the server's files."""
    data = next(folder.rglob("PG_VERSION")).stat()
    return data.st_uid, data.st_gid


def append(log: EventLogStore) -> None:
    """Append a batch of some 200 KB after the cursor."""
    cursor = log.cursor("shop")
    version, made = (0, 0) if cursor is None else (cursor.version, int(cursor.state))
    batch = [draft(number, size=1_000) for number in range(made, made + BATCH)]
    log.append(batch, cursor=CursorMove("shop", version, b"%d" % (made + BATCH)))


def fill(log: EventLogStore) -> str:
    """Append until the disk is full; return what the log says then."""
    for _ in range(1_000):
        try:
            append(log)
        except StorageUnavailable as exc:
            return str(exc)
    raise AssertionError("the small file system never became full")


def go_on(log: EventLogStore) -> None:
    """Append again, through the same object."""
    for _ in range(10):
        append(log)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
