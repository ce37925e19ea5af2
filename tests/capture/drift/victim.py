"""A capture process with a contract on disk, for tests that kill it.

    python -m tests.capture.drift.victim DSN SLOT FOLDER CONTRACTS KILL_AT MOMENT

kills itself with SIGKILL before or after its KILL_AT-th append (0: never), else runs until killed.
"""

import sys
import threading
from pathlib import Path

from bridge.capture.service import CaptureService
from bridge.contracts.contract_set import ContractSet
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.faults import FaultyLog, kill_at
from tests.capture.running import SOURCE, make_source


def main() -> None:
    """Run."""
    dsn, slot, folder, contracts, number, moment = sys.argv[1:]
    log = FaultyLog(SqliteEventLog(Path(folder) / "log.db"), kill_at(int(number), moment))
    loaded = ContractSet.load(Path(contracts), type_prefix="com.example")
    service = CaptureService(
        SOURCE,
        make_source(dsn, slot, *loaded.tables(SOURCE)),
        log,
        loaded,
        spool_folder=Path(folder),
        batch_changes_max=1,
    )
    service.run(threading.Event())


if __name__ == "__main__":
    main()
