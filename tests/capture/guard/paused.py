"""A capture process that pauses itself (SIGSTOP) before its first append of an event.

python -m tests.capture.guard.paused DSN SLOT FOLDER TABLE
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from bridge.capture.service import CaptureService
from bridge.model.entry import Appended, CursorMove, EntryDraft, EntryKind
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.faults import FaultyLog
from tests.capture.running import SOURCE, PlainContracts, make_source


class PausingLog(FaultyLog):
    """Pauses its process, once."""

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        """Pause if an event is about to be appended, then go on as if nothing had happened."""
        if any(draft.kind is EntryKind.EVENT for draft in drafts):
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().append(drafts, cursor=cursor)


def main() -> None:
    """Run."""
    dsn, slot, folder, table = sys.argv[1:]
    log = PausingLog(SqliteEventLog(Path(folder) / "log.db"), lambda _number, _moment: None)
    service = CaptureService(
        SOURCE,
        make_source(dsn, slot, table),
        log,
        PlainContracts(table),
        spool_folder=Path(folder),
    )
    service.run(threading.Event())


if __name__ == "__main__":
    main()
