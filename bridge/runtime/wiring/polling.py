"""Wire what polls a source."""

from pathlib import Path

from adapters.polling.source import SqlPollSource
from bridge.capture.polling.service import PollingService
from bridge.capture.ports import CaptureLog, TableContracts
from bridge.model.observer import Observer
from bridge.runtime.configuration.polling_settings import PollingSettings
from bridge.storage.sqlite_poll_memory import SqlitePollMemory


def polling_source(name: str, source: PollingSettings) -> SqlPollSource:
    """Return the adapter of polled source `name`."""
    return SqlPollSource(
        name,
        source.url,
        source.plans(),
        connections_max=source.workers,
        statement_timeout_s=source.statement_timeout_s,
    )


def polling_service(
    name: str,
    source: PollingSettings,
    log: CaptureLog,
    contracts: TableContracts,
    observer: Observer,
    *,
    spool_folder: Path,
) -> PollingService:
    """Wire the polling of source `name`; its memory of rows is kept in `spool_folder`."""
    return PollingService(
        name,
        polling_source(name, source),
        log,
        lambda: SqlitePollMemory(spool_folder / "poll.db"),
        contracts,
        observer=observer,
        limits=source.limits(),
    )
