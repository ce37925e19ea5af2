"""The log role: what keeps the event log evidence, beside those who append to it.

Each service is a loop of its own in a thread of its own; one that ends with an error ends the role,
which the supervisor starts again. Daily work is in the schedule.
"""

import threading
from collections.abc import Callable

from apscheduler.schedulers.background import BackgroundScheduler

from bridge.eventlog.pruning import Sweeper
from bridge.eventlog.sequencer import Sequencer
from bridge.eventlog.signing.checkpoint import CheckpointService, HeadSigner
from bridge.eventlog.signing.rotation import KeyService
from bridge.eventlog.tiles.publisher import TilePublisher
from bridge.runtime.roles.canaries import canary_services
from bridge.runtime.roles.threads import run_all
from bridge.runtime.watching.telemetry import RunFileObserver
from bridge.runtime.wiring.erasing import KeepingService
from bridge.runtime.wiring.evidence import evidence_services
from bridge.runtime.wiring.search import index_service
from bridge.runtime.wiring.stores import Stores

Service = Callable[[threading.Event], None]
"""Runs until the event is set."""


def run_log(stores: Stores, observer: RunFileObserver, stop: threading.Event) -> None:
    """Run all services until `stop` is set."""
    scheduler = BackgroundScheduler(timezone="UTC")
    services = _services(stores, observer)
    _schedule(scheduler, stores, observer)
    scheduler.start()
    observer.note("connected")
    try:
        run_all(services, stop)
    finally:
        scheduler.shutdown(wait=False)


def _services(stores: Stores, observer: RunFileObserver) -> list[tuple[str, Service]]:
    log = stores.event_log()
    head_signer = HeadSigner(stores.signer(), log)
    settings = stores.settings.event_log
    checkpoints = CheckpointService(
        head_signer,
        log,
        observer=observer,
        interval_s=settings.sign_interval_s,
        entries_max=settings.sign_entries,
    )
    services: list[tuple[str, Service]] = [
        ("keys", KeyService(stores.signer(), log, observer=observer).run),
        ("checkpoints", checkpoints.run),
        ("sweeper", Sweeper(log, observer=observer).run),
    ]
    if settings.publish_dir is not None:
        publisher = TilePublisher(log, settings.publish_dir, observer=observer)
        services.append(("publisher", publisher.run))
    if stores.settings.gateway is not None:
        services.append(("sequencer", Sequencer(stores.desk(), log, observer=observer).run))
    services += canary_services(stores, observer)
    services.append(("index", index_service(stores, observer)))
    services.append(("keeping", KeepingService(stores, observer=observer).run))
    return services + evidence_services(stores, observer)


def _schedule(scheduler: BackgroundScheduler, stores: Stores, observer: RunFileObserver) -> None:
    """Add what is due at times of the day."""
