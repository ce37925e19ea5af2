"""Take the oldest entries out of the log's store, so that everything still stored stays provable.

By the pruning rule of C2SP tlog-tiles: a published minimum index, a tree that does not change. We
keep more than it asks for: all roots of tiles, and the leaf hashes of tiles in which a checkpoint
ends, so that whoever holds an old checkpoint can still be shown that the log only grew.

The minimum index and the entry that says who pruned and why are one commit; what lies below is
removed afterwards, piece by piece. After a crash the next sweep removes the rest.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import orjson

from bridge.eventlog.inspection import Progress, no_progress
from bridge.eventlog.ports import CheckpointStore, EventLogReader, LogPruner, PrunableLog
from bridge.eventlog.records.action_record import action_draft
from bridge.eventlog.stored_hashes import stored_frontier
from bridge.eventlog.tree import TILE_HASHES
from bridge.model.entry import EntryKind, StoredEntry
from bridge.model.errors import LimitExceeded, LogCorrupt, LogPruned, Unavailable
from bridge.model.observer import Observer, SilentObserver
from bridge.model.warrant import Warrant

ACTION = "prune"

# A few hundred milliseconds of a store's time; appends go on between two of these.
SWEEP_COUNT = 20_000

# A look at a log with nothing to remove is two short reads.
SWEEP_INTERVAL_S = 600.0


class PrunedLog(EventLogReader, PrunableLog, LogPruner, CheckpointStore, Protocol):
    """What pruning needs of a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """What pruning would do; made after everything that could refuse it was asked."""

    first_index: int
    """The new minimum index."""
    start: int
    """The present one: entries from here to `first_index` go."""
    newest: datetime | None
    """When the last of them was recorded."""

    @property
    def count(self) -> int:
        """How many entries go."""
        return self.first_index - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRules:
    """What forbids pruning, as the deployment has decided it."""

    floor_days: int
    """Entries younger than this stay, whoever asks."""
    holds: Sequence[str]
    """Names of the legal holds in force: which entries they cover cannot be told from leaves."""
    cursors: Mapping[str, int]
    """Who reads the log on → the next index that it needs."""


def plan_pruning(log: PrunedLog, below: int, rules: PruneRules, *, now: datetime) -> PrunePlan:
    """Return what may be pruned below `below`, rounded down to a whole tile of 256 entries.

    Raises:
        LimitExceeded: a rule forbids it; nothing was changed.
        LogPruned: the minimum index is there already.
    """
    start, first_index = log.first_index(), below - below % TILE_HASHES
    if rules.holds:
        raise _refused(
            below, f"legal holds are in force ({', '.join(sorted(rules.holds))}), and a leaf does "
            "not tell whether one covers it; lift them first",
        )  # fmt: skip
    checkpoint = log.latest_checkpoint()
    signed = 0 if checkpoint is None else checkpoint[0]
    if below > signed:
        raise _refused(below, f"only {signed} entries are signed; the minimum index must not pass")
    if first_index <= start:
        raise LogPruned(
            f"cannot prune the event log below {below}: its minimum index is {start} already, and "
            f"whole tiles of {TILE_HASHES} entries are pruned"
        )
    for name, cursor in sorted(rules.cursors.items()):
        if cursor < first_index:
            raise _refused(
                below, f"{name!r} needs entries from {cursor} on; let it go on, or remove it first"
            )
    newest = _recorded(log, first_index)
    floor = timedelta(days=rules.floor_days)
    if rules.floor_days and (newest is None or now - newest < floor):
        told = "unknown" if newest is None else f"{(now - newest).days} days"
        raise _refused(
            below, f"the age of entry {first_index - 1} is {told}, and event_log.prune_floor_days "
            f"is {rules.floor_days}; prune less",
        )  # fmt: skip
    return PrunePlan(first_index=first_index, start=start, newest=newest)


def prune(
    log: PrunedLog,
    plan: PrunePlan,
    warrant: Warrant,
    *,
    at: datetime,
    progress: Progress = no_progress,
) -> int:
    """Publish the plan's minimum index, then remove what lies below; return how many entries went.

    The entry tells the root over everything below the new minimum index, so that a copy which
    somebody kept elsewhere can be proven to be it.
    """
    root = stored_frontier(log, plan.first_index).root()
    told = {"start": plan.start, "first_index": plan.first_index, "root": root.hex()}
    draft = action_draft(EntryKind.PRUNE, ACTION, warrant, at=at, fields=told)
    log.prune(plan.first_index, draft)
    return sweep_all(log, total=plan.count, progress=progress)


def sweep_all(
    log: LogPruner,
    *,
    total: int = 0,
    progress: Progress = no_progress,
    go_on: Callable[[], bool] = lambda: True,
) -> int:
    """Remove everything below the minimum index that is still stored; return how many entries."""
    removed = 0
    while go_on() and (count := log.sweep(SWEEP_COUNT)):
        removed += count
        progress(removed, max(total, removed))
    return removed


class Sweeper:
    """Removes what a pruning that was killed has left."""

    def __init__(self, log: LogPruner, *, observer: Observer | None = None) -> None:
        self._log = log
        self._observer = observer or SilentObserver()

    def run(self, stop: threading.Event) -> None:
        """Look now and then until `stop`; a store that cannot be used is waited out."""
        wait_s = 0.0
        while not stop.wait(wait_s):
            wait_s = SWEEP_INTERVAL_S
            try:
                removed = sweep_all(self._log, go_on=lambda: not stop.is_set())
            except Unavailable as exc:
                self._observer.note("sweep_delayed", error=str(exc))
                continue
            if removed:
                self._observer.note("swept", entries=removed)


def _recorded(log: EventLogReader, first_index: int) -> datetime | None:
    """Return when the newest of the last entries below `first_index` was recorded, if they say.

    Entries are appended soon after they are recorded, by several appenders: of the last tile the
    newest is taken.
    """
    entries = log.read(first_index - TILE_HASHES, TILE_HASHES)
    times = [time for time in map(_time, entries) if time is not None]
    if entries and entries[0].leaf_index != first_index - TILE_HASHES:
        raise LogCorrupt(f"event log is not what was appended: entry {first_index - 1} is missing")
    return max(times, default=None)


def _time(entry: StoredEntry) -> datetime | None:
    said = orjson.loads(entry.leaf)["fields"].get("recordedtime")
    return None if said is None else datetime.fromisoformat(said)


def _refused(below: int, why: str) -> LimitExceeded:
    return LimitExceeded(f"cannot prune the event log below {below}: {why}")
