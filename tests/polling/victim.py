"""A polling process of its own, for tests that kill it.

    python -m tests.polling.victim SYSTEM URL SCHEMA FOLDER STEP NUMBER

kills itself with SIGKILL at the NUMBER-th STEP (`stage`, `staged`, `append`, `appended`, `settled`,
`noted`; NUMBER 0: never), else polls the workload's tables until it is killed.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from bridge.capture.polling.ports import RowMarks
from bridge.model.entry import Appended, CursorMove, EntryDraft
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sqlite_poll_memory import SqlitePollMemory
from tests.polling import workload
from tests.polling.rig import Legacy, make_service

STEPS = ("stage", "staged", "append", "appended", "settled", "noted")


class _Death:
    """Counts steps, and strikes at one of them."""

    def __init__(self, step: str, number: int) -> None:
        self._step = step
        self._left = number
        self._lock = threading.Lock()

    def at(self, step: str) -> None:
        """Die if this is the one."""
        with self._lock:
            if step == self._step:
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)


class _Log(SqliteEventLog):
    death: _Death

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        self.death.at("append")
        appended = super().append(drafts, cursor=cursor)
        self.death.at("appended")
        return appended


class _Memory(SqlitePollMemory):
    death: _Death

    def stage(self, version: int, marks: Sequence[RowMarks]) -> None:
        self.death.at("stage")
        super().stage(version, marks)
        self.death.at("staged")

    def settle(self, version: int) -> None:
        super().settle(version)
        self.death.at("settled")

    def note(self, marks: RowMarks) -> None:
        super().note(marks)
        self.death.at("noted")


def main() -> None:
    """Run."""
    system, url, schema, folder, step, number = sys.argv[1:]
    legacy = Legacy(system, url, schema, url)
    death = _Death(step, int(number))
    _Log.death = _Memory.death = death
    log = _Log(Path(folder) / "log.db")
    service = make_service(
        legacy,
        log,
        Path(folder),
        workload.plans(legacy),
        memory=lambda: _Memory(Path(folder) / "poll.db"),
    )
    service.run(threading.Event())


if __name__ == "__main__":
    main()
