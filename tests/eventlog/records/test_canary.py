"""A canary a day for each way into the log; one that does not come is an alarm."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from bridge.capture.canary_watch import CanaryWatch
from bridge.eventlog.records.attempt import log_tell
from bridge.eventlog.records.canary import (
    CANARY_AGE_S_MAX,
    CanaryCheck,
    CanaryWriter,
    canary_draft,
    look_for_canaries,
)
from bridge.eventlog.sequencer import Sequencer
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import StorageUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.journal.memory import MemoryJournal
from bridge.storage.journal.memory_desk import MemoryJournalDesk
from tests.waiting import RecordingObserver

START = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_hours(self, hours: float) -> None:
        """Move on."""
        self.now += timedelta(hours=hours)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def categories(log: MemoryEventLog) -> list[tuple[str, str]]:
    return [
        (entry.entry_id, json.loads(entry.leaf)["fields"]["category"])
        for entry in log.read(0, 100)
        if entry.kind is EntryKind.CANARY
    ]


def checker(
    log: MemoryEventLog, clock: Clock, *names: str
) -> tuple[CanaryCheck, RecordingObserver]:
    observer = RecordingObserver()
    expected = dict.fromkeys(names, clock())
    return CanaryCheck(log, lambda _now: expected, observer=observer, clock=clock), observer


def test_a_canary_a_day_comes_by_the_way_of_its_entries(clock: Clock) -> None:
    log, journal = MemoryEventLog(), MemoryJournal()
    desk = MemoryJournalDesk(journal.state)
    sequencer = Sequencer(desk, log)
    writer = CanaryWriter("route", desk.tell, observer=RecordingObserver(), clock=clock)
    for _ in range(3):
        writer.step()
        assert categories(log) == [], "not before the sequencer moves it"
    sequencer.step()
    assert categories(log) == [("canary:route:2026-11-21", "route")]
    clock.pass_hours(11)
    writer.step()
    # Another process on the same day: the log passes over the second one.
    CanaryWriter("route", desk.tell, observer=RecordingObserver(), clock=clock).step()
    sequencer.step()
    assert [entry_id for entry_id, _ in categories(log)] == [
        "canary:route:2026-11-21", "canary:route:2026-11-22",
    ]  # fmt: skip


def test_a_canary_that_does_not_come_is_an_alarm_until_it_comes(clock: Clock) -> None:
    log = MemoryEventLog()
    check, observer = checker(log, clock, "direct", "route")
    writers = {
        name: CanaryWriter(name, log_tell(log), observer=observer, clock=clock)
        for name in ("direct", "route")
    }
    for writer in writers.values():
        writer.step()
    assert [state.missing for state in check.step()] == [False, False]
    clock.pass_hours(26)
    writers["direct"].step()
    assert [state.missing for state in check.step()] == [False, False]
    clock.pass_hours(0.1)
    assert [(s.category, s.missing) for s in check.step()] == [("direct", False), ("route", True)]
    observer.await_note("canary_lost", 0, category="route")
    observer.await_note("canary.route", 0, missing=1)
    writers["route"].step()
    assert not any(state.missing for state in check.step())
    observer.await_note("canary_back", 0, category="route")


def test_what_never_came_is_missed_a_day_after_it_was_first_expected(clock: Clock) -> None:
    log = MemoryEventLog()
    check, _ = checker(log, clock, "capture:shop")
    assert [(s.age_s, s.missing) for s in check.step()] == [(None, False)]
    clock.pass_hours(CANARY_AGE_S_MAX / 3600 + 0.1)
    assert [(s.age_s, s.missing) for s in check.step()] == [(None, True)]


@pytest.mark.parametrize("broken", ["sequencer", "desk"])
def test_a_way_that_is_broken_is_found(clock: Clock, broken: str) -> None:
    """The sequencer stands still, or the journal takes nothing: either way nothing arrives."""
    log, journal = MemoryEventLog(), MemoryJournal()
    desk = MemoryJournalDesk(journal.state)

    def full(_draft: EntryDraft) -> None:
        raise StorageUnavailable("disk is full")

    tell: Callable[[EntryDraft], None] = full if broken == "desk" else desk.tell
    check, observer = checker(log, clock, "route")
    writer = CanaryWriter("route", tell, observer=observer, clock=clock)
    writer.step()
    clock.pass_hours(27)
    writer.step()
    assert [state.missing for state in check.step()] == [True]
    if broken == "desk":
        observer.await_note("canary_failed", 0, category="route")


def test_the_age_is_of_the_newest_canary(clock: Clock) -> None:
    log = MemoryEventLog()
    log.append([canary_draft("direct", START - timedelta(days=1))])
    (state,) = look_for_canaries(log, {"direct": START - timedelta(days=9)}, START)
    assert (state.age_s, state.missing) == (24 * 3600, False)
    (later,) = look_for_canaries(log, {"direct": START}, START + timedelta(days=30))
    assert (later.age_s, later.missing) == (None, True)


def test_capture_sends_one_with_its_own_commits(clock: Clock) -> None:
    watch = CanaryWatch("shop", clock=clock)
    first = watch.look(None)
    (draft,) = first.drafts
    assert (draft.kind, draft.fields["category"]) == (EntryKind.CANARY, "capture:shop")
    assert draft.fields["actor"]["type"] == "gateway"
    assert watch.look(first.state).drafts == ()
    clock.pass_hours(24)
    again = watch.look(first.state)
    assert [one.entry_id for one in again.drafts] == ["canary:capture:shop:2026-11-22"]
