"""Check everything outside before anything starts, and tell all problems at once."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Final

from bridge.control.exposure import check_exposure
from bridge.model.errors import BridgeError, ConfigInvalid
from bridge.model.observer import SilentObserver
from bridge.runtime.configuration.control_settings import ControlSettings
from bridge.runtime.configuration.gateway_settings import GatewaySettings
from bridge.runtime.configuration.polling_settings import PollingSettings
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.port_check import check_port
from bridge.runtime.wiring.capture import capture_service
from bridge.runtime.wiring.certificates import certificate_status, check_certificates
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.delivery import rabbitmq_sink
from bridge.runtime.wiring.evidence import stampers, witness_askers
from bridge.runtime.wiring.journal_opening import journal_dsn, open_journal
from bridge.runtime.wiring.stores import Stores

# A busy source fills a gigabyte of log in minutes: less is no room to notice it in.
DISK_FREE_BYTES_MIN: Final = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    message: str
    """What is there, or the error with what to do."""


def preflight(settings: Settings, *, sources: bool = True) -> list[Finding]:
    """Look at data folder, disk, contracts, sources, broker, routes and ports.

    Preparing a source creates its publication and slot when they are missing, exactly as the
    capture role would a moment later. Without `sources` only what capture stands on is looked at:
    data folder, disk, contracts and broker.
    """
    looks = _looks(settings) if sources else _foundations(settings)
    return [_found(what, look) for what, look in looks]


def _foundations(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "data folder", lambda: _data_dir(settings)
    yield "disk", lambda: _disk(settings)
    if settings.sources:
        yield "contracts", lambda: f"{len(contract_set(settings).contracts())} contracts"
    if settings.delivery is not None:
        yield "broker", lambda: _broker(settings)
    if settings.gateway is not None and certificate_status(settings.gateway):
        gateway = settings.gateway
        yield "certificates", lambda: check_certificates(gateway)
    if settings.event_log.witnesses or settings.event_log.timestamps:
        yield "witnesses", lambda: _evidence(settings)


def _looks(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    yield from _foundations(settings)
    for name in sorted(settings.sources):
        yield f"source {name}", lambda name=name: _source(settings, name)  # type: ignore[misc]  # default binds the name now
    gateway, control = settings.gateway, settings.control
    if gateway is not None:
        yield "routes", lambda: _routes(settings)
        yield "write journal", lambda: _journal(settings)
        yield from _listeners(gateway)
    if control is not None:
        yield "control", lambda: _control(control)
    if gateway is not None and control is not None:
        yield "ports", lambda: _apart(gateway, control.port)


def _found(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what=what, ok=True, message=look())
    except BridgeError as exc:
        return Finding(what=what, ok=False, message=str(exc))


def _evidence(settings: Settings) -> str:
    """Read keys and certificates; nobody is asked: strangers may be away while we start."""
    with Stores(settings) as stores:
        witnesses = len(witness_askers(stores))
        authorities = len(stampers(stores))
    return f"{witnesses} witnesses, {authorities} time-stamp authorities"


def _data_dir(settings: Settings) -> str:
    with Stores(settings) as stores:
        size = stores.event_log().head().size
    return f"{settings.data_dir}: event log with {size:,} entries"


def _disk(settings: Settings) -> str:
    """Look at the disk of the data folder, or of the nearest folder above it that exists."""
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < DISK_FREE_BYTES_MIN:
        raise ConfigInvalid(
            f"cannot rely on the disk of data_dir {str(settings.data_dir)!r}: "
            f"{free / 1024**2:,.0f} MiB are free, expected {DISK_FREE_BYTES_MIN / 1024**2:,.0f} "
            "MiB at least; without room the log stops, and the source keeps its WAL for us"
        )
    return f"{free / 1024**3:,.1f} GiB free"


def _source(settings: Settings, name: str) -> str:
    with Stores(settings) as stores:
        capture_service(stores, name, SilentObserver()).check()
    if isinstance(settings.source(name), PollingSettings):
        return "reachable, all polled tables are there"
    return "reachable, slot and publication are there"


def _broker(settings: Settings) -> str:
    sink = rabbitmq_sink(settings)
    try:
        sink.connect()
    finally:
        sink.close()
    return "reachable, topology declared"


def _routes(settings: Settings) -> str:
    with Stores(settings) as stores:
        routes = stores.routes()
    return f"{len(routes)} routes in {len({route.group for route in routes})} groups"


def _journal(settings: Settings) -> str:
    place = "in data_dir" if journal_dsn(settings) is None else "in PostgreSQL"
    with closing(open_journal(settings)) as journal:
        groups = len(journal.groups())
    return f"{place}, knows {groups} groups"


def _control(control: ControlSettings) -> str:
    check_exposure(control.host, guarded=control.guarded)
    return check_port(control.host, control.port, "control.port")


def _listeners(gateway: GatewaySettings) -> Iterator[tuple[str, Callable[[], str]]]:
    for name, listener in gateway.all_listeners().items():
        key = f"gateway.listeners.{name}.port" if gateway.listeners else "gateway.port"
        what = f"gateway port {name}" if gateway.listeners else "gateway port"
        yield what, partial(check_port, listener.host, listener.port, key)


def _apart(gateway: GatewaySettings, control_port: int) -> str:
    for name, listener in gateway.all_listeners().items():
        if listener.port == control_port:
            key = f"gateway.listeners.{name}.port" if gateway.listeners else "gateway.port"
            raise ConfigInvalid(
                f"cannot listen: {key} and control.port are both {control_port}; change one"
            )
    return "gateway and control have ports of their own"
