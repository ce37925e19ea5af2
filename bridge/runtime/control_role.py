"""The control role: the API, the sequencer of pending entries, the checkpoint signer, schedules."""

import threading
from collections.abc import Callable

import uvicorn
from apscheduler.schedulers.background import BackgroundScheduler

from bridge.control.app import ControlParts, create_app
from bridge.control.exposure import check_exposure
from bridge.eventlog.checkpoint import CheckpointService, HeadSigner
from bridge.eventlog.sequencer import Sequencer
from bridge.model.errors import ConfigInvalid
from bridge.runtime.metrics import render_metrics
from bridge.runtime.preflight import check_port
from bridge.runtime.status import collect_status
from bridge.runtime.telemetry import RunFileObserver
from bridge.runtime.wiring import Stores

# Requests in progress get this long at a stop; none of ours takes longer than a switch's 2 s.
DRAIN_S = 5


def run_control(stores: Stores, observer: RunFileObserver, stop: threading.Event) -> None:
    """Serve until `stop` is set; a service that ends with an error ends the role."""
    settings = stores.settings
    control = settings.control
    if control is None:
        raise ConfigInvalid("cannot run control: the settings have no control section")
    check_exposure(control.host, control.token)
    check_port(control.host, control.port, "control.port")
    log = stores.event_log()
    head_signer = HeadSigner(stores.signer(), log)
    has_gateway = settings.gateway is not None
    parts = ControlParts(
        status=lambda: collect_status(settings),
        metrics=lambda: render_metrics(stores.run_dir),
        switchboard=stores.switchboard(observer) if has_gateway else None,
        desk=stores.desk() if has_gateway else None,
        token=control.token,
    )
    services: list[tuple[str, Callable[[threading.Event], None]]] = [
        ("checkpoints", CheckpointService(head_signer, log, observer=observer).run)
    ]
    if has_gateway:
        sequencer = Sequencer(stores.desk(), log, observer=observer)
        services.append(("sequencer", sequencer.run))
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(parts),
            host=control.host,
            port=control.port,
            log_config=None,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )
    scheduler = BackgroundScheduler(timezone="UTC")
    # A log in which nothing happens is signed once a day as well: silence is evidence too.
    scheduler.add_job(head_signer.sign, "cron", hour=0, minute=5, jitter=120, coalesce=True)
    scheduler.start()
    try:
        _run_all(services, server, stop, observer)
    finally:
        scheduler.shutdown(wait=False)


def _run_all(
    services: list[tuple[str, Callable[[threading.Event], None]]],
    server: uvicorn.Server,
    stop: threading.Event,
    observer: RunFileObserver,
) -> None:
    failures: list[BaseException] = []
    ended = threading.Event()

    def guarded(run: Callable[[], None]) -> Callable[[], None]:
        def body() -> None:
            try:
                run()
            except BaseException as exc:  # Handed to the main thread, which raises it.
                failures.append(exc)
            finally:
                ended.set()

        return body

    threads = [
        threading.Thread(target=guarded(lambda run=run: run(ended)), name=name)  # type: ignore[misc]  # binds run now
        for name, run in services
    ]
    # Outside the main thread uvicorn leaves the signal handlers to us.
    threads.append(threading.Thread(target=guarded(server.run), name="api"))
    for thread in threads:
        thread.start()
    observer.note("connected", host=server.config.host, port=server.config.port)
    while not stop.wait(0.05) and not ended.is_set():
        pass
    ended.set()
    server.should_exit = True
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
