"""The control role: the API."""

import threading

import uvicorn

from bridge.control.app import ControlParts, create_app
from bridge.control.auth import NamedToken, Role
from bridge.control.exposure import check_exposure
from bridge.control.log_pages import LogPages
from bridge.eventlog.records.access_book import AccessBook
from bridge.eventlog.records.canary import CanaryWriter
from bridge.model.errors import ConfigInvalid
from bridge.model.warrant import ActorType
from bridge.runtime.configuration.control_settings import ControlSettings
from bridge.runtime.port_check import check_port
from bridge.runtime.roles.canaries import ACCESS
from bridge.runtime.roles.threads import run_all
from bridge.runtime.watching.metrics import render_metrics
from bridge.runtime.watching.status import collect_status
from bridge.runtime.watching.telemetry import RunFileObserver
from bridge.runtime.wiring.drilling import drill_desk
from bridge.runtime.wiring.search import search_desk
from bridge.runtime.wiring.stores import Stores

# Requests in progress get this long at a stop; none of ours takes longer than a switch's 2 s.
DRAIN_S = 5


def named_tokens(control: ControlSettings) -> dict[str, NamedToken]:
    """Return the tokens of the settings by their holders' names."""
    return {
        name: NamedToken(token=holder.token, role=Role(holder.role), type=ActorType(holder.type))
        for name, holder in control.tokens.items()
    }


def run_control(stores: Stores, observer: RunFileObserver, stop: threading.Event) -> None:
    """Serve until `stop` is set."""
    settings = stores.settings
    control = settings.control
    if control is None:
        raise ConfigInvalid("cannot run control: the settings have no control section")
    check_exposure(control.host, guarded=control.guarded)
    check_port(control.host, control.port, "control.port")
    has_gateway = settings.gateway is not None
    book = AccessBook(stores.event_log)
    canary = CanaryWriter(ACCESS, book.tell, observer=observer)
    parts = ControlParts(
        status=lambda: collect_status(settings),
        metrics=lambda: render_metrics(stores.run_dir),
        switchboard=stores.switchboard(observer) if has_gateway else None,
        desk=stores.desk() if has_gateway else None,
        token=control.token,
        tokens=named_tokens(control),
        book=book,
        search=search_desk(stores),
        comparisons=stores.comparisons() if has_gateway else None,
        findings=stores.findings() if has_gateway else None,
        drills=drill_desk(stores) if has_gateway else None,
        log=LogPages(open_log=stores.event_log, tiles=settings.event_log.publish_http),
    )
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(parts),
            host=control.host,
            port=control.port,
            log_config=None,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )

    def ask_to_end() -> None:
        server.should_exit = True

    observer.note("connected", host=control.host, port=control.port)
    # Outside the main thread uvicorn leaves the signal handlers to us.
    run_all(
        [("api", lambda _: server.run()), ("access", book.run), ("canary", canary.run)],
        stop,
        on_end=ask_to_end,
    )
