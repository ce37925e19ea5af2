"""Wire erasure, holds and retention; write certificates; what the log role does for all three."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from bridge.capture.mapping.own_events import Envelope, OwnEvents
from bridge.eventlog.durable_files import replace_file
from bridge.eventlog.keeping.certificate import certificate_text
from bridge.eventlog.keeping.erasing import Erased, Erasures
from bridge.eventlog.keeping.holds import Holds
from bridge.eventlog.keeping.reapplying import reapply
from bridge.eventlog.keeping.retention import Retention
from bridge.eventlog.merkle import leaf_hash
from bridge.eventlog.proofs.prover import prove_entry
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.model.entry import EntryDraft, StoredEntry
from bridge.model.errors import BridgeError, HeldBack, Remedy, StorageUnavailable
from bridge.model.observer import Observer
from bridge.runtime.configuration.keeping_settings import class_rules
from bridge.runtime.wiring.stores import Stores
from bridge.storage.journal.owner import FileLock

SOURCE: Final = "keeping"
"""Stands where a source's name stands in the type and routing key of the event of an erasure."""

# Each erasure, hold or run of retention takes seconds; who waits longer looks for what hangs.
_LOCK_TIMEOUT_S: Final = 15.0
_LOCK_POLL_S: Final = 0.05

# How long an interrupted erasure or a restored store may be as it is.
STEP_INTERVAL_S: Final = 30.0


def utc_now() -> datetime:
    """Return the time for entries."""
    return datetime.now(UTC)


@contextmanager
def keeping_lock(stores: Stores) -> Iterator[None]:
    """Run while nobody else destroys keys or places holds.

    Raises:
        StorageUnavailable: somebody else still does after some time.
    """
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        try:
            lock = FileLock.take(stores.run_dir / "keeping.lock")
            break
        except StorageUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOCK_POLL_S)
    try:
        yield
    finally:
        lock.close()


def erasures(stores: Stores, clock: Callable[[], datetime] = utc_now) -> Erasures:
    """Return what erases persons."""
    keeping = stores.keeping()
    events = OwnEvents(SOURCE, stores.settings.contracts.type_prefix)
    return Erasures(
        keeping.store(),
        stores.event_log(),
        keeping.pseudonyms,
        announce=lambda told: _subject_erased(events, told),
        certify=lambda entry, told: _certify(stores, entry, told, clock()),
        clock=clock,
    )


def holds(stores: Stores) -> Holds:
    """Return what places and lifts legal holds."""
    return Holds(stores.keeping().store(), stores.event_log(), utc_now)


def certificate_path(stores: Stores, erasure_id: str) -> Path:
    """Return where the certificate of an erasure is; its proof is beside it, `.tlog-proof`."""
    name = erasure_id.replace(":", "-") + ".certificate.txt"
    return stores.settings.data_dir / "certificates" / name


def _subject_erased(events: OwnEvents, told: Erased) -> EntryDraft:
    erasure = told.erasure
    envelope = Envelope(
        event_id=f"{erasure.erasure_id}-event",
        sequence=erasure.erasure_id,
        time=told.time,
        recorded_time=told.time,
        key=erasure.value,
    )
    data = {
        "kind": erasure.kind,
        "id": erasure.value,
        "subject": erasure.subject,
        "erasure": erasure.erasure_id,
        "classes": list(told.classes),
        "events": told.events,
    }
    fields = {"erasure": erasure.erasure_id, "subject": erasure.subject}
    return events.event("subject-erased", envelope, data, fields=fields)


def _certify(stores: Stores, entry: StoredEntry, told: dict[str, Any], now: datetime) -> None:
    """Sign and write the certificate, and the proof that its entry is in the log."""
    log, signer = stores.event_log(), stores.signer()
    path = certificate_path(stores, entry.entry_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    HeadSigner(signer, log).sign()
    replace_file(path.with_suffix(".tlog-proof"), prove_entry(log, entry).format())
    text = certificate_text(
        signer.origin,
        entry.leaf_index,
        leaf_hash(entry.leaf).hex(),
        told,
        now,
        stores.settings.event_log.key_backup_days,
    )
    replace_file(path, signer.sign(text))


class KeepingService:
    """Carries on what was interrupted, follows the log with a restored store, and retains daily."""

    def __init__(
        self, stores: Stores, *, observer: Observer, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._stores = stores
        self._observer = observer
        self._clock = clock
        self._retained_on: date | None = None
        settings = stores.settings.event_log
        self._rules = class_rules(settings.retention, settings.floors)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; what may pass by itself is tried again at the next step."""
        while True:
            try:
                self.step()
            except HeldBack as exc:
                self._observer.note("erasure_held_back", error=str(exc))
            except BridgeError as exc:
                if exc.remedy is not Remedy.RETRY:
                    raise
                self._observer.note("keeping_interrupted", error=str(exc))
            if stop.wait(STEP_INTERVAL_S):
                return

    def step(self) -> None:
        """Do what is due; nothing where nothing was ever sealed."""
        keeping = self._stores.keeping()
        if not keeping.exists:
            return
        with keeping_lock(self._stores):
            log = self._stores.event_log()
            revived = reapply(keeping.store(), log)
            if revived:
                self._observer.note("keys_destroyed_again", keys=revived)
            today = self._clock().date()
            if self._retained_on != today:
                retention = Retention(keeping.store(), log, self._rules, self._clock)
                for record_class, keys in retention.run().items():
                    self._observer.note("retained", record_class=record_class, keys=keys)
                self._retained_on = today
            for erasure_id in erasures(self._stores, self._clock).finish_open():
                self._observer.note("erasure_completed", erasure_id=erasure_id)
