"""Canaries: an entry a day for each way by which entries come into the log.

Recording that has stopped is silent. So each way carries one entry of its own a day, made where the
real ones are made and moved as they are; who keeps the log misses it when it does not come.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Protocol

import orjson

from bridge.eventlog.records.action_record import action_draft
from bridge.eventlog.records.attempt import Tell
from bridge.model.entry import EntryDraft, EntryKind, StoredEntry
from bridge.model.errors import BridgeError
from bridge.model.observer import Observer

CANARY_AGE_S_MAX: Final = 26 * 3600.0
"""A day, and two hours for whoever is restarted or waits for a store just then."""

LOOK_INTERVAL_S: Final = 60.0

_DAYS_BACK: Final = 2

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time (aware, UTC)."""
    return datetime.now(UTC)


def canary_id(category: str, day: date) -> str:
    """Return the id of a day's canary, the same for whoever writes it."""
    return f"canary:{category}:{day.isoformat()}"


def canary_draft(category: str, at: datetime) -> EntryDraft:
    """Return the canary of a category for the day (UTC) of `at`."""
    return action_draft(
        EntryKind.CANARY,
        "canary",
        None,
        at=at,
        fields={"category": category},
        entry_id=canary_id(category, at.astimezone(UTC).date()),
    )


class CanaryWriter:
    """Writes one category's canary, once a day (UTC), by the way of that category's entries."""

    def __init__(
        self, category: str, tell: Tell, *, observer: Observer, clock: Clock = utc_now
    ) -> None:
        self._category = category
        self._tell = tell
        self._observer = observer
        self._clock = clock
        self._told: date | None = None

    def due(self) -> EntryDraft | None:
        """Return today's canary, or None once `told`."""
        now = self._clock().astimezone(UTC)
        return None if self._told == now.date() else canary_draft(self._category, now)

    def told(self) -> None:
        """Note that what was due is on its way."""
        self._told = self._clock().astimezone(UTC).date()

    def step(self) -> None:
        """Write today's canary unless it is written; the log passes over a second one."""
        draft = self.due()
        if draft is None:
            return
        try:
            self._tell(draft)
        except BridgeError as exc:
            self._observer.note("canary_failed", category=self._category, error=str(exc))
        else:
            self.told()

    def run(self, stop: threading.Event) -> None:
        """Write a canary each day until `stop` is set."""
        wait_s = 0.0
        while not stop.wait(wait_s):
            self.step()
            wait_s = LOOK_INTERVAL_S


class FindsEntries(Protocol):
    """The part of a log that is asked for canaries."""

    def find(self, entry_id: str) -> StoredEntry | None:
        """Return the entry with this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryState:
    """How one category fares."""

    category: str
    age_s: float | None
    """Since its newest canary; None when there is none of the last days."""
    missing: bool
    """Whether it is an alarm."""


def look_for_canaries(
    log: FindsEntries, expected: Mapping[str, datetime], now: datetime
) -> list[CanaryState]:
    """Return the state of each category; `expected` says since when each should have canaries."""
    found = []
    for category, since in sorted(expected.items()):
        newest = _newest(log, category, now)
        age_s = None if newest is None else max((now - newest).total_seconds(), 0.0)
        # What nobody expected a day ago cannot be missed yet.
        missing_s = (now - since).total_seconds() if age_s is None else age_s
        found.append(
            CanaryState(category=category, age_s=age_s, missing=missing_s > CANARY_AGE_S_MAX)
        )
    return found


def _newest(log: FindsEntries, category: str, now: datetime) -> datetime | None:
    today = now.astimezone(UTC).date()
    for days in range(_DAYS_BACK + 1):
        entry = log.find(canary_id(category, today - timedelta(days=days)))
        if entry is not None:
            return datetime.fromisoformat(orjson.loads(entry.leaf)["fields"]["time"])
    return None


class CanaryCheck:
    """Looks for canaries again and again, and raises the alarm for one that is missing."""

    def __init__(
        self,
        log: FindsEntries,
        expected: Callable[[datetime], Mapping[str, datetime]],
        *,
        observer: Observer,
        clock: Clock = utc_now,
    ) -> None:
        """`expected` returns since when each category should have canaries, given the time."""
        self._log = log
        self._expected = expected
        self._observer = observer
        self._clock = clock
        self._missing: frozenset[str] = frozenset()

    def step(self) -> Sequence[CanaryState]:
        """Look once; note each state, and an alarm when one begins or ends."""
        now = self._clock()
        states = look_for_canaries(self._log, self._expected(now), now)
        for state in states:
            age_s = -1.0 if state.age_s is None else state.age_s
            self._observer.note(f"canary.{state.category}", age_s=age_s, missing=int(state.missing))
        missing = frozenset(state.category for state in states if state.missing)
        for category in sorted(missing - self._missing):
            self._observer.note("canary_lost", category=category)
        for category in sorted(self._missing - missing):
            self._observer.note("canary_back", category=category)
        self._missing = missing
        return states

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        wait_s = 0.0
        while not stop.wait(wait_s):
            try:
                self.step()
            except BridgeError as exc:
                self._observer.note("canary_check_failed", error=str(exc))
            wait_s = LOOK_INTERVAL_S
