"""Keys come and go: each begin and each end is an entry of the log before it takes effect.

Every step is durable before the next, and a step that a crash left undone is done by whoever calls
`settle_keys` next (the log role does so all the time). So the log never has a signature by a key
that it does not tell of, and an entry is never written twice: its id names the key.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.eventlog.durable_files import replace_file, sync_folder
from bridge.eventlog.ports import EventLogWriter
from bridge.eventlog.records.action_record import action_draft, log_time
from bridge.eventlog.records.attempt import refusals_told
from bridge.eventlog.signing.keyring import Keyring, KeyState, LogKey
from bridge.eventlog.signing.signer import RING, Signer, create_key, key_files
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import StorageUnavailable
from bridge.model.observer import Observer, SilentObserver
from bridge.model.warrant import Warrant

# An auditor who looks once a month sees both signatures at least once.
OVERLAP_DAYS_DEFAULT = 35
OVERLAP_DAYS_MAX = 3_650

# An overlap's end is days away: a minute later is no later.
SETTLE_INTERVAL_S = 60.0
# After a failure; a new key waits for its entry.
RETRY_INTERVAL_S = 2.0


def rotate_key(
    signer: Signer,
    log: EventLogWriter,
    warrant: Warrant,
    *,
    overlap_days: int = OVERLAP_DAYS_DEFAULT,
    now: datetime,
) -> LogKey:
    """Make a new key that signs beside the others until they end after `overlap_days` days.

    With 0 days the others end at once, as is right for a key that somebody else may have. Entries
    tell of the begin and of each end; a refusal leaves an entry as well.

    Raises:
        LimitExceeded: too many keys sign already.
        StorageUnavailable: the log or the folder of the keys cannot be used. What was begun is
            finished by the next `settle_keys`.
    """
    with (
        refusals_told(
            lambda draft: log.append([draft]),
            EntryKind.KEY,
            "key-rotate",
            warrant,
            fields={"overlap_days": overlap_days},
        ),
        signer.locked(),
    ):
        signer.refresh()
        ring = _settled(signer, log, signer.ring, now)
        _destroy(signer.path, _orphans(signer.path, ring))
        new = _new_key(signer, warrant, now)
        ring = ring.followed_by(new, now + timedelta(days=overlap_days))
        # From here on the key will sign, whatever happens: the ring is the promise.
        replace_file(signer.beside(RING), ring.format())
        _settled(signer, log, ring, now)
        signer.refresh()
    return signer.ring.signing[0]


def settle_keys(signer: Signer, log: EventLogWriter, *, now: datetime) -> bool:
    """Write the entries that keys wait for, end those whose time is over; return whether any did.

    Raises:
        StorageUnavailable: try again later.
    """
    with signer.locked():
        signer.refresh()
        before = signer.ring
        after = _settled(signer, log, before, now)
        if after != before:
            signer.refresh()
    return after != before


class KeyService:
    """Settles the log's keys from time to time."""

    def __init__(
        self,
        signer: Signer,
        log: EventLogWriter,
        *,
        observer: Observer | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._signer = signer
        self._log = log
        self._observer = observer or SilentObserver()
        self._clock = clock

    def step(self) -> None:
        """Settle once; raises what `settle_keys` raises."""
        if settle_keys(self._signer, self._log, now=self._clock()):
            self._observer.note("log_keys_changed", signing=len(self._signer.keys))

    def run(self, stop: threading.Event) -> None:
        """Settle until `stop` is set."""
        wait_s = 0.0
        while not stop.wait(wait_s):
            wait_s = SETTLE_INTERVAL_S
            try:
                self.step()
            except StorageUnavailable as exc:
                self._observer.note("log_keys_delayed", error=str(exc))
                wait_s = RETRY_INTERVAL_S


def _settled(signer: Signer, log: EventLogWriter, ring: Keyring, now: datetime) -> Keyring:
    path = signer.beside(RING)
    if announced := ring.announced:
        log.append([_begin_draft(each, ring) for each in announced])
        ring = ring.changed(announced, KeyState.SIGNING)
        replace_file(path, ring.format())
    if ended := ring.ended(now):
        log.append([_end_draft(each, now) for each in ended])
        ring = ring.changed(ended, KeyState.RETIRED)
        replace_file(path, ring.format())
    if ring.retired:
        # A key that has ended cannot be taken from here, to sign another history with it.
        ended_files = [signer.path.with_name(each.file) for each in ring.retired]
        _destroy(signer.path, [*ended_files, *_drafts(signer.path)])
    return ring


def _new_key(signer: Signer, warrant: Warrant, now: datetime) -> LogKey:
    draft = signer.beside(".new")
    key = create_key(draft, signer.origin)
    file = f"{signer.path.name}.{key.key_hash.hex()}"
    draft.rename(signer.path.with_name(file))
    sync_folder(signer.path.parent)
    return LogKey(key=key, file=file, state=KeyState.ANNOUNCED, since=now, warrant=warrant)


def _orphans(path: Path, ring: Keyring) -> list[Path]:
    """Return files of keys that were made and never announced: they never signed."""
    known = {each.file for each in ring.keys}
    made = [*key_files(path), path.with_name(path.name + ".new"), *_drafts(path)]
    return [each for each in made if each.name not in known]


def _drafts(path: Path) -> list[Path]:
    """Return what processes that were killed left of files that they were about to write."""
    return list(path.parent.glob(f".{path.name}.*"))


def _destroy(path: Path, files: list[Path]) -> None:
    found = [each for each in files if each.exists()]
    for each in found:
        each.unlink()
    if found:
        sync_folder(path.parent)


def _begin_draft(key: LogKey, ring: Keyring) -> EntryDraft:
    olds = [each for each in ring.signing if each.key != key.key]
    fields = {
        "vkey": key.key.format(),
        "replaces": [each.key.format() for each in olds],
        "overlap_until": log_time(olds[0].until) if olds and olds[0].until else None,
    }
    return action_draft(
        EntryKind.KEY,
        "key-begin",
        key.warrant,
        at=key.since,
        fields=fields,
        entry_id=f"key-begin:{key.fingerprint}",
    )


def _end_draft(key: LogKey, now: datetime) -> EntryDraft:
    return action_draft(
        EntryKind.KEY,
        "key-end",
        None,
        at=now,
        fields={"vkey": key.key.format()},
        entry_id=f"key-end:{key.fingerprint}",
    )
