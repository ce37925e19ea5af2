"""A capture that refills, as a process of its own for tests that kill it, or in a thread.

    python -m tests.capture.types.refilling DSN SLOT FOLDER KILL_AT MOMENT

kills itself with SIGKILL before or after its KILL_AT-th append; FOLDER has `contracts`.
"""

import sys
import threading
from pathlib import Path

from bridge.capture.mapping.last_values import LastValues
from bridge.capture.ports import CaptureLog
from bridge.capture.service import CaptureService
from bridge.contracts import ContractSet
from bridge.contracts.means import Means
from bridge.model.observer import Observer
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sqlite_last_values import SqliteLastValues
from tests.capture.faults import FaultyLog, kill_at
from tests.capture.running import make_source

SOURCE = "shop"


def refilling_service(
    dsn: str,
    slot: str,
    folder: Path,
    log: CaptureLog,
    store: SqliteLastValues,
    observer: Observer | None = None,
) -> CaptureService:
    """Return the capture of every table that has a contract."""
    plain = ContractSet.load(folder / "contracts", type_prefix="com.example")
    memory = LastValues(SOURCE, plain.mappings(SOURCE), store, observer=observer)
    contracts = ContractSet.load(
        folder / "contracts", type_prefix="com.example", means=Means(last_known=memory)
    )
    return CaptureService(
        SOURCE,
        make_source(dsn, slot, *contracts.tables(SOURCE)),
        log,
        contracts,
        spool_folder=folder / "spool",
        observer=observer,
        batch_changes_max=20,
        last_values=memory,
    )


def main() -> None:
    """Run until killed."""
    dsn, slot, folder, number, moment = sys.argv[1:]
    log = FaultyLog(SqliteEventLog(Path(folder) / "log.db"), kill_at(int(number), moment))
    store = SqliteLastValues(Path(folder) / "last-values.db")
    refilling_service(dsn, slot, Path(folder), log, store).run(threading.Event())


if __name__ == "__main__":
    main()
