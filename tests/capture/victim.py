"""A capture process of its own, for tests that kill it.

    python -m tests.capture.victim DSN SLOT FOLDER KILL_AT MOMENT TABLE...

kills itself with SIGKILL before or after its KILL_AT-th append (0: never), else runs until killed.
"""

import sys
import threading
from pathlib import Path

from bridge.capture.service import CaptureService
from bridge.storage.sqlite_event_log import SqliteEventLog
from tests.capture.faults import FaultyLog, kill_at
from tests.capture.running import SOURCE, PlainContracts, make_source


def main() -> None:
    """Run."""
    dsn, slot, folder, number, moment, *tables = sys.argv[1:]
    log = FaultyLog(SqliteEventLog(Path(folder) / "log.db"), kill_at(int(number), moment))
    service = CaptureService(
        SOURCE,
        make_source(dsn, slot, *tables),
        log,
        PlainContracts(*tables),
        spool_folder=Path(folder),
        batch_changes_max=50,
        snapshot_rows_max=100,
    )
    service.run(threading.Event())


if __name__ == "__main__":
    main()
