"""Run one role in this process: logging, signals, service, clean stop, exit code."""

import logging
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from bridge.model.errors import BridgeError, ConfigInvalid, StorageUnavailable
from bridge.model.signals import ignore_hang_ups, stop_on_signals
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.exit_codes import SOFTWARE, exit_code
from bridge.runtime.roles.config_record import record_configuration
from bridge.runtime.roles.parent import end_with_parent
from bridge.runtime.watching.telemetry import RunFileObserver, start_logging
from bridge.runtime.wiring.stores import Stores
from bridge.storage.journal.owner import FileLock

# Imported where it is needed: half of the roles do without an event loop, and TLS comes with it.
if TYPE_CHECKING:
    import asyncio

# Who waits for another process to end looks this often; it takes over within this time.
TAKE_OVER_S = 0.2

# Those that read routes: the others start, whatever is wrong with a route file.
_BY_ROUTES = frozenset({"gateway", "replay", "control", "log"})

RoleRun = Callable[[Stores, RunFileObserver, threading.Event], None]


def run_role(settings: Settings, role: str) -> int:
    """Run `role` until SIGTERM; return its exit code.

    Raises:
        ConfigInvalid: no role has this name, or the settings lack its section.
    """
    end_with_parent()
    ignore_hang_ups()
    name, run = _role(settings, role)
    logger = start_logging(name, settings.log_level)
    stop = threading.Event()
    with Stores(settings) as stores, stop_on_signals(stop):
        observer = RunFileObserver(name, stores.run_dir, logger)
        observer.start()
        observer.note("started")
        try:
            _adopt_routes(stores, name, observer)
            record_configuration(stores, name)
            run(stores, observer, stop)
        except BridgeError as exc:
            logger.error("role_failed", extra={"facts": {"error": f"{type(exc).__name__}: {exc}"}})
            return exit_code(exc)
        except Exception:
            # A bug of ours: the whole trace, once, and the supervisor starts the role again.
            logger.exception("role_failed")
            return SOFTWARE
        finally:
            observer.note("stopped")
            observer.stop()
            logging.shutdown()
    return 0


def _adopt_routes(stores: Stores, role: str, observer: RunFileObserver) -> None:
    """Have the gateway's roles work by a stored copy of the routes, whatever is edited later."""
    if stores.settings.gateway is None or role.partition(":")[0] not in _BY_ROUTES:
        return
    in_force = stores.routes_in_force()
    in_force.adopt()
    if role == "control" and in_force.is_edited():
        observer.note("routes_not_applied", folder=str(in_force.edited))


def _role(settings: Settings, role: str) -> tuple[str, RoleRun]:
    # Imported where they are needed: a worker does without FastAPI, the API without the data plane.
    kind, _, part = role.partition(":")
    if kind == "capture":
        source = _source_name(settings, part)
        return f"capture:{source}", _capture(source)
    if role == "delivery":
        return role, _delivery
    if kind == "gateway" and part.isdigit():
        from bridge.runtime.roles.gateway import run_worker

        return role, _async(run_worker)
    if role == "replay":
        from bridge.runtime.roles.replay import run_replay

        return role, _async(run_replay)
    if role == "log":
        from bridge.runtime.roles.log import run_log

        return role, run_log
    if role == "control":
        from bridge.runtime.roles.control import run_control

        return role, run_control
    raise ConfigInvalid(
        f"cannot run role {role!r}: known roles are log, capture[:SOURCE], delivery, gateway, "
        "replay, control"
    )


def _source_name(settings: Settings, part: str) -> str:
    if part:
        return part
    names = sorted(settings.sources)
    if len(names) != 1:
        raise ConfigInvalid(
            f"cannot run capture: name one of the sources {', '.join(names) or '(none)'} "
            "as capture:SOURCE"
        )
    return names[0]


def _capture(source: str) -> RoleRun:
    def run(stores: Stores, observer: RunFileObserver, stop: threading.Event) -> None:
        from bridge.runtime.wiring.capture import capture_service

        service = capture_service(stores, source, observer)
        service.check()
        service.run(stop)

    return run


def _delivery(stores: Stores, observer: RunFileObserver, stop: threading.Event) -> None:
    from bridge.runtime.wiring.delivery import relay

    # Two relays would interleave their entries; one that was orphaned is still draining.
    while not stop.is_set():
        try:
            lock = FileLock.take(stores.run_dir / "delivery.lock")
        except StorageUnavailable:
            stop.wait(TAKE_OVER_S)
            continue
        with lock:
            relay(stores, observer).run(stop)
        return


def _async(
    run: "Callable[[Stores, RunFileObserver, asyncio.Event], Coroutine[Any, Any, None]]",
) -> RoleRun:
    """Run an asyncio role; the signal handlers of this process set its own event."""

    import asyncio

    def run_in_loop(stores: Stores, observer: RunFileObserver, stop: threading.Event) -> None:
        from bridge.gateway.wires.turns import run_in_turns

        async def main() -> None:
            asked = asyncio.Event()
            watcher = asyncio.create_task(_mirror(stop, asked))
            try:
                await run(stores, observer, asked)
            finally:
                watcher.cancel()

        run_in_turns(main())

    return run_in_loop


async def _mirror(stop: threading.Event, asked: "asyncio.Event") -> None:
    import asyncio

    # A signal handler of `signal.signal` cannot wake a loop that sleeps in select by itself.
    while not stop.is_set():
        await asyncio.sleep(0.05)
    asked.set()
