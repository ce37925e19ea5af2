"""Wire what captures a source."""

from typing import TYPE_CHECKING

from adapters.postgres.source import PostgresSource
from adapters.postgres.stream import StreamForm
from bridge.capture.canary_watch import CanaryWatch
from bridge.capture.guard.gaps import OnGap
from bridge.capture.protocol.stage_files import StageFolder
from bridge.capture.service import CaptureService
from bridge.contracts.contract_set import ContractSet
from bridge.contracts.contract_shelf import ContractShelf
from bridge.eventlog.keeping.sealer import KeyedLog
from bridge.model.errors import ConfigInvalid
from bridge.model.observer import Observer
from bridge.runtime.configuration.polling_settings import PollingSettings
from bridge.runtime.configuration.settings import (
    Settings,
    SourceSettings,
)
from bridge.runtime.wiring.capture_options import mapping_options
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.log_opening import made
from bridge.runtime.wiring.reading import snapshot_limits
from bridge.runtime.wiring.sources import mapped_columns
from bridge.runtime.wiring.stores import Stores
from bridge.runtime.wiring.watches import catalog_watch, guard_watch

if TYPE_CHECKING:
    from bridge.capture.polling.service import PollingService


def capture_service(
    stores: Stores, name: str, observer: Observer
) -> "CaptureService | PollingService":
    """Wire the capture of source `name`, of whatever kind it is."""
    pseudonyms, keeping = stores.pseudonyms(), stores.keeping()
    log = KeyedLog(stores.event_log(), keeping.opened_keyring)
    first = contract_set(stores.settings, None, pseudonyms, keeping.sealer)
    found = stores.settings.source(name)
    if isinstance(found, PollingSettings):
        # Imported where it is needed: a replicated source does without SQLAlchemy.
        from bridge.runtime.wiring.polling import polling_service

        folder = made(stores.settings.data_dir / "spool" / name)
        return polling_service(name, found, log, first, observer, spool_folder=folder)
    last_values = stores.last_values(name, first, observer)
    contracts = ContractShelf(
        lambda: contract_set(stores.settings, last_values, pseudonyms, keeping.sealer), observer
    )
    source = postgres_source(stores.settings, name, first)
    return CaptureService(
        name,
        source,
        log,
        contracts,
        spool_folder=made(stores.settings.data_dir / "spool" / name),
        observer=observer,
        watches=[
            CanaryWatch(name),
            guard_watch(stores.settings, name, source, observer),
            catalog_watch(stores.settings, name, source, contracts, log, observer),
        ],
        on_gap=OnGap(stores.settings.replicated(name).on_gap),
        mapping=mapping_options(stores.settings, name),
        last_values=last_values,
        snapshot_limits=snapshot_limits(stores.settings, name),
        snapshot_requests=stores.snapshot_requests(name),
    )


def postgres_source(settings: Settings, name: str, contracts: ContractSet) -> PostgresSource:
    """Return the adapter of source `name`."""
    source = settings.replicated(name)
    tables = tuple(contracts.tables(name))
    if not tables:
        raise ConfigInvalid(
            f"cannot capture source {name!r}: no contract in "
            f"{str(settings.contracts.dir)!r} maps one of its tables"
        )
    return PostgresSource(
        source.dsn,
        slot=source.slot or f"bridge_{name}",
        publication=source.publication or f"bridge_{name}",
        tables=tables,
        mapped=mapped_columns(name, contracts),
        no_identity=source.no_identity,
        failover=source.failover == "auto",
        form=StreamForm(stages=_stages(settings, name, source), origin=source.origin),
    )


def _stages(settings: Settings, name: str, source: SourceSettings) -> StageFolder | None:
    if not source.streaming:
        return None
    folder = settings.data_dir / "spool" / name
    return StageFolder(folder, bytes_max=source.stage_bytes_max)
