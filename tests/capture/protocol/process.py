"""A capture process of its own, with streamed transactions or without, to be measured and killed.

    python -m tests.capture.protocol.process DSN SLOT FOLDER streamed|ordinary TABLE...

runs until it is killed; `capture_process` starts one.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.capture.ports import TableMapper
from bridge.capture.service import CaptureService
from bridge.model.change import Relation, RowChange
from bridge.model.event import ChangeOrigin, Event
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.running import SOURCE, PlainContracts, make_source


@contextmanager
def capture_process(
    dsn: str, slot: str, folder: Path, form: str, *tables: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a capture process for the duration of the block, then kill it as the kernel would."""
    command = [sys.executable, "-m", "tests.capture.protocol.process", dsn, slot, str(folder), form]
    process = subprocess.Popen([*command, *tables])
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def peak_rss_mb(pid: int) -> float:
    """Return the most memory that a running process had so far, in megabytes (10^6)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1_000_000


class TerseContracts(PlainContracts):
    """Contracts that take no time: what is measured is the way of the rows."""

    def mapper(self, source: str, relation: Relation) -> TableMapper | None:
        """Return a mapper for a known table."""
        return TerseMapper() if relation.name in self._tables else None


class TerseMapper:
    """Maps each change to its key."""

    def map(self, change: RowChange, origin: ChangeOrigin) -> Event:
        """Return the change as an event."""
        assert change.after is not None
        key = str(change.after[0])
        payload = b'{"id":%b}' % key.encode()
        return Event(
            origin.event_id, "com.example.t", "shop.t", "1.0", "shop.t.created.v1", key, payload
        )


def main() -> None:
    """Run."""
    dsn, slot, folder, form, *tables = sys.argv[1:]
    log = SqliteEventLog(Path(folder) / "log.db")
    stages = folder if form == "streamed" else None
    service = CaptureService(
        SOURCE,
        make_source(dsn, slot, *tables, stages=stages),
        log,
        TerseContracts(*tables),
        spool_folder=Path(folder),
    )
    service.run(threading.Event())


if __name__ == "__main__":
    main()
