"""Wire what looks at a source beside its stream."""

from adapters.postgres.source import PostgresSource
from adapters.webhook.bell import WebhookBell
from bridge.capture.drift.catalog_watch import CatalogWatch
from bridge.capture.guard.guard_watch import GuardWatch
from bridge.capture.guard.wal_guard import GuardLimits
from bridge.capture.mapping.own_events import OwnEvents
from bridge.capture.ports import CaptureLog, TableContracts
from bridge.capture.shelf import Shelf
from bridge.model.observer import Observer
from bridge.runtime.configuration.settings import Settings


def guard_watch(
    settings: Settings, name: str, source: PostgresSource, observer: Observer
) -> GuardWatch:
    """Return the watch over the WAL that the slot of source `name` holds."""
    guard = settings.replicated(name).guard
    bell = None
    if guard.webhook is not None:
        bell = WebhookBell(guard.webhook, token=guard.webhook_token, observer=observer)
    return GuardWatch(
        name,
        source.slot_reader(),
        limits=GuardLimits(
            warning_bytes=guard.warning_bytes,
            critical_bytes=guard.critical_bytes,
            warning_left_s=guard.warning_left_s,
            critical_left_s=guard.critical_left_s,
            stall_s=guard.stall_s,
            drop_slot_bytes=guard.drop_slot_bytes,
        ),
        events=OwnEvents(name, settings.contracts.type_prefix),
        observer=observer,
        bell=bell,
        interval_s=guard.interval_s,
    )


def catalog_watch(
    settings: Settings,
    name: str,
    source: PostgresSource,
    contracts: TableContracts,
    log: CaptureLog,
    observer: Observer,
) -> CatalogWatch:
    """Return the watch over the catalog of source `name`."""
    return CatalogWatch(
        name,
        source.facts_reader(contracts.tables(name)),
        Shelf(log, name, "catalog"),
        contracts=contracts,
        events=OwnEvents(name, settings.contracts.type_prefix),
        observer=observer,
        interval_s=settings.replicated(name).drift.catalog_interval_s,
    )
