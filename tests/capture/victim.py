"""A capture process of its own, for tests that kill it.

    python -m tests.capture.victim DSN SLOT FOLDER KILL_AT MOMENT TABLE...

kills itself with SIGKILL before or after its KILL_AT-th append (0: never), else runs until killed.

    python -m tests.capture.victim --serve

reads one JSON object per line (`Victim`) and forks a victim for each: a fork of what is loaded
already starts in a few milliseconds. It answers with the process id and then the exit code.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bridge.capture.mapping.change_mapper import MappingOptions
from bridge.capture.mapping.messages import MessageRules
from bridge.capture.protocol.stage_files import StageFolder
from bridge.capture.service import CaptureService
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.faults import FaultyLog, kill_at
from tests.capture.points import PointedStages, Points, die, pointed
from tests.capture.running import SOURCE, PlainContracts, make_source

BATCH_CHANGES_MAX = 50
SNAPSHOT_ROWS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """What a forked victim captures, and the point at which it kills itself."""

    dsn: str
    slot: str
    folder: str
    tables: tuple[str, ...]
    point: str
    number: int
    streaming: bool = False
    """Whether large transactions come while they are open."""
    publish_prefixes: tuple[str, ...] = ()
    """Messages of the application that become events."""


class VictimServer:
    """Forks victims, one at a time."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        """Use `serving_victims` instead."""
        self._process = process
        self._pid = 0

    def start(self, victim: Victim) -> None:
        """Start a victim; the last one must have ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(victim)).encode() + b"\n")
        self._process.stdin.flush()
        self._pid = self._answer()

    def kill(self) -> None:
        """End the victim if it still runs."""
        if self._pid and self.exit_code(0) is None:
            os.kill(self._pid, signal.SIGKILL)
            self.exit_code(10)

    def exit_code(self, timeout_s: float) -> int | None:
        """Return the victim's exit code, negative for a signal; None while it runs.

        To be called until it gives a code, once.
        """
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        if not ready:
            return None
        self._pid = 0
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server of victims is gone"
        return int(line)


@contextmanager
def serving_victims() -> Iterator[VictimServer]:
    """Start the process that forks victims; it ends with the block, or with us."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.capture.victim", "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,  # What is buffered here is not seen by `select`.
    )
    try:
        yield VictimServer(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def run(victim: Victim) -> None:
    """Capture until killed."""
    points = Points(victim.point, victim.number, die)
    folder = Path(victim.folder)
    stages = PointedStages(StageFolder(folder), points) if victim.streaming else None
    source, log = pointed(
        make_source(victim.dsn, victim.slot, *victim.tables, stages=stages),
        SqliteEventLog(folder / "log.db"),
        points,
    )
    service = CaptureService(
        SOURCE,
        source,
        log,
        PlainContracts(*victim.tables),
        spool_folder=folder,
        **options(victim.publish_prefixes),
    )
    service.run(threading.Event())


def options(publish_prefixes: tuple[str, ...]) -> dict[str, Any]:
    """Return the service's options for a run of the random workload."""
    rules = MessageRules(publish_prefixes=publish_prefixes)
    return {
        "batch_changes_max": 4 * BATCH_CHANGES_MAX,
        "snapshot_rows_max": 2 * SNAPSHOT_ROWS_MAX,
        "mapping": MappingOptions(messages=rules),
    }


def serve() -> None:
    """Fork a victim per line of standard input, and wait for it."""
    for line in sys.stdin:
        asked = json.loads(line)
        for name in ("tables", "publish_prefixes"):
            asked[name] = tuple(asked[name])
        pid = os.fork()
        if pid == 0:
            try:
                run(Victim(**asked))
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def main() -> None:
    """Run."""
    if sys.argv[1] == "--serve":
        serve()
        return
    dsn, slot, folder, number, moment, *tables = sys.argv[1:]
    log = FaultyLog(SqliteEventLog(Path(folder) / "log.db"), kill_at(int(number), moment))
    service = CaptureService(
        SOURCE,
        make_source(dsn, slot, *tables),
        log,
        PlainContracts(*tables),
        spool_folder=Path(folder),
        batch_changes_max=BATCH_CHANGES_MAX,
        snapshot_rows_max=SNAPSHOT_ROWS_MAX,
    )
    service.run(threading.Event())


if __name__ == "__main__":
    main()
