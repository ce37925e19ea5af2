"""Which canaries a deployment should have, since when, and who writes those of the log role."""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from bridge.capture.canary_watch import CATEGORY as CAPTURE
from bridge.eventlog.records.attempt import log_tell
from bridge.eventlog.records.canary import (
    LOOK_INTERVAL_S,
    CanaryCheck,
    CanaryState,
    CanaryWriter,
    look_for_canaries,
    utc_now,
)
from bridge.model.errors import BridgeError, StorageUnavailable
from bridge.model.observer import Observer
from bridge.runtime.configuration.polling_settings import PollingSettings
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.wiring.journal_opening import Journal
from bridge.runtime.wiring.stores import Stores

Service = Callable[[threading.Event], None]

# Way by which entries come → who writes its canary.
DIRECT: Final = "direct"  # The log role: exports, erasures, keys and whatever the shell appends.
ROUTE: Final = "route"  # The log role, into the journal as a switch does; the sequencer moves it.
DUALWRITE: Final = "dualwrite"  # The replay role, by the journal's group commit as a dual write.
ACCESS: Final = "access"  # The control role, by the book of reads.


def categories(settings: Settings) -> list[str]:
    """Return the ways by which entries come into the log of this deployment.

    A polled source has none of its own: it shares `direct`.
    """
    found = [DIRECT]
    if settings.gateway is not None:
        found += [ROUTE, DUALWRITE]
    if settings.control is not None:
        found.append(ACCESS)
    found += [
        f"{CAPTURE}:{name}"
        for name, source in settings.sources.items()
        if not isinstance(source, PollingSettings)
    ]
    return sorted(found)


class Expectations:
    """Since when each category is expected, in a file: a restart begins no new day of grace."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = settings.data_dir / "canaries.json"

    def known(self) -> dict[str, datetime]:
        """Return what the file says of categories that the settings still call for."""
        wanted = categories(self._settings)
        return {name: since for name, since in _read(self._path).items() if name in wanted}

    def now(self, now: datetime) -> Mapping[str, datetime]:
        """Return the same, with those that are new from `now` on.

        Raises:
            StorageUnavailable: the file cannot be written.
        """
        known = self.known()
        expected = {name: known.get(name, now) for name in categories(self._settings)}
        if expected != _read(self._path):
            _write(self._path, expected)
        return expected


def canary_states(settings: Settings, stores: Stores) -> list[CanaryState]:
    """Return how each category fares, for `status`; nothing before the log role has run."""
    return look_for_canaries(stores.event_log(), Expectations(settings).known(), utc_now())


def canary_services(stores: Stores, observer: Observer) -> list[tuple[str, Service]]:
    """Return the canaries' loops of the log role."""
    log = stores.event_log()
    services: list[tuple[str, Service]] = [
        ("canary-direct", CanaryWriter(DIRECT, log_tell(log), observer=observer).run)
    ]
    if stores.settings.gateway is not None:
        writer = CanaryWriter(ROUTE, stores.desk().tell, observer=observer)
        services.append(("canary-route", writer.run))
    check = CanaryCheck(log, Expectations(stores.settings).now, observer=observer)
    return [*services, ("canary-check", check.run)]


async def write_dualwrite_canaries(
    journal: Journal, observer: Observer, stop: asyncio.Event
) -> None:
    """Write the dual writes' canary each day until `stop` is set."""
    writer = CanaryWriter(DUALWRITE, lambda _draft: None, observer=observer)
    while not stop.is_set():
        draft = writer.due()
        if draft is not None:
            try:
                await journal.tell(draft)
            except BridgeError as exc:
                observer.note("canary_failed", category=DUALWRITE, error=str(exc))
            else:
                writer.told()
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_INTERVAL_S):
                await stop.wait()


def _read(path: Path) -> dict[str, datetime]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return {name: datetime.fromisoformat(since) for name, since in tree.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # Lost or damaged: what is missing is missed a day later.


def _write(path: Path, expected: Mapping[str, datetime]) -> None:
    new = path.with_suffix(".json.new")
    try:
        new.write_text(
            json.dumps({name: since.isoformat() for name, since in expected.items()}),
            encoding="utf-8",
        )
        new.replace(path)
    except OSError as exc:
        raise StorageUnavailable(f"cannot write {str(path)!r}: {exc.strerror}") from exc
