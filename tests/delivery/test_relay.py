"""The relay against a twin of the sink, with every fault of the grammar."""

import random
import threading
from pathlib import Path

import pytest

from bridge.delivery.backoff import Backoff
from bridge.delivery.relay import Relay
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, LogCorrupt, LogPruned, StorageUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sink_cursors import SqliteSinkCursors
from tests.delivery.events import append, drafts, events_of
from tests.delivery.memory_sink import ActThenFail, Hold, MemorySink, Pass, Reject
from tests.delivery.running import running
from tests.waiting import RecordingObserver, wait_until


class MemoryCursors:
    """`SinkCursors` in memory that can be told to fail, and that check what they are told."""

    def __init__(self) -> None:
        self.stored: list[int] = [0]
        self.failures = 0

    def load(self, sink: str) -> int:
        assert sink == "broker"
        return self.stored[-1]

    def store(self, sink: str, next_index: int) -> None:
        if self.failures:
            self.failures -= 1
            raise StorageUnavailable("cannot move sink cursors: told to fail")
        assert next_index > self.stored[-1]
        self.stored.append(next_index)


class Stand:
    def __init__(self) -> None:
        self.log = MemoryEventLog()
        self.sink = MemorySink()
        self.cursors = MemoryCursors()
        self.observer = RecordingObserver()

    def relay(self) -> Relay:
        return Relay(
            "broker",
            self.log,
            self.sink,
            self.cursors,
            self.observer,
            batch_max=50,
            backoff=Backoff(first_ms=1, longest_ms=4),
        )

    def await_cursor(self, next_index: int) -> None:
        wait_until(lambda: self.cursors.stored[-1] == next_index, what=f"cursor at {next_index}")

    def assert_arrived_once(self) -> None:
        assert self.sink.arrived == events_of(self.log)


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_publishes_events_only_and_moves_over_the_rest(stand: Stand) -> None:
    append(stand.log, drafts(0, 333, parked_each=3))
    with running(stand.relay()):
        stand.await_cursor(333)
        append(stand.log, drafts(333, 10, parked_each=1))
        stand.await_cursor(343)
    stand.assert_arrived_once()
    assert {entry.kind for entry in stand.sink.arrived} == {EntryKind.EVENT}
    published = stand.observer.notes("published")
    assert sum(int(note.facts["entries"]) for note in published) == 343
    assert published[-1].facts["lag_entries"] == 0


def test_starts_at_its_cursor(stand: Stand) -> None:
    append(stand.log, drafts(0, 100))
    stand.cursors.stored = [60]
    with running(stand.relay()):
        stand.await_cursor(100)
    assert stand.sink.arrived == events_of(stand.log)[60:]


def test_the_cursor_waits_for_the_confirm(stand: Stand) -> None:
    append(stand.log, drafts(0, 30))
    stand.sink.inject("publish", Pass(10), Hold())
    with running(stand.relay()):
        wait_until(lambda: len(stand.sink.arrived) == 30)
        stand.await_cursor(10)
        append(stand.log, drafts(30, 30))
        wait_until(lambda: len(stand.sink.arrived) == 60)
        assert stand.cursors.stored[-1] == 10
        stand.sink.release()
        stand.await_cursor(60)
    stand.assert_arrived_once()


def test_stopping_waits_for_what_is_under_way_and_stores_it(stand: Stand) -> None:
    append(stand.log, drafts(0, 30))
    stand.sink.inject("publish", Pass(10), Hold())
    with running(stand.relay()) as run:
        wait_until(lambda: len(stand.sink.arrived) == 30)
        releasing = threading.Timer(0.2, stand.sink.release)
        releasing.start()
        run.stop()
        releasing.join()
    assert stand.cursors.stored[-1] == 30


def test_a_refused_connect_is_tried_again(stand: Stand) -> None:
    append(stand.log, drafts(0, 20))
    stand.sink.inject("connect", Reject(), Reject(), Reject())
    with running(stand.relay()):
        facts = stand.observer.await_note("reconnected")
        assert (facts["attempts"], facts["next_index"]) == (3, 0)
        stand.await_cursor(20)
    stand.assert_arrived_once()
    assert len(stand.observer.notes("sink_lost")) == 3


def test_a_refused_entry_is_sent_again_in_its_place(stand: Stand) -> None:
    append(stand.log, drafts(0, 20))
    stand.sink.inject("publish", Pass(7), Reject(), Reject())
    with running(stand.relay()):
        stand.await_cursor(20)
    stand.assert_arrived_once()


def test_a_lost_answer_repeats_the_entry_and_loses_none(stand: Stand) -> None:
    append(stand.log, drafts(0, 20))
    stand.sink.inject("publish", Pass(7), ActThenFail())
    with running(stand.relay()):
        stand.await_cursor(20)
    events = events_of(stand.log)
    assert stand.sink.arrived == events[:8] + events[7:]


@pytest.mark.parametrize("seed", range(20))
def test_any_faults_lose_nothing_and_keep_the_order(stand: Stand, seed: int) -> None:
    chance = random.Random(seed)
    append(stand.log, drafts(0, 400, parked_each=7, seed=seed))
    for _ in range(12):
        stand.sink.inject("publish", Pass(chance.randrange(60) + 1))
        stand.sink.inject("publish", Reject() if chance.random() < 0.5 else ActThenFail())
        stand.sink.inject("connect", Pass(chance.randrange(3) + 1), Reject())
    stand.cursors.failures = chance.randrange(3)
    with running(stand.relay()):
        stand.await_cursor(400)
    # Without repetitions the arrivals are the log; each repetition goes back, never ahead.
    highest = -1
    firsts = []
    for entry in stand.sink.arrived:
        if entry.leaf_index > highest:
            firsts.append(entry)
            highest = entry.leaf_index
    assert firsts == events_of(stand.log)


def test_an_outage_of_the_store_is_waited_out(stand: Stand) -> None:
    append(stand.log, drafts(0, 20))
    stand.cursors.failures = 3
    with running(stand.relay()):
        stand.await_cursor(20)
    assert "cannot move sink cursors" in str(stand.observer.await_note("sink_lost")["error"])


def test_what_an_operator_must_change_ends_it(stand: Stand) -> None:
    class Misconfigured(MemorySink):
        def connect(self) -> None:
            raise ConfigInvalid("cannot log in: told so")

    stand.sink = Misconfigured()
    with pytest.raises(ConfigInvalid), running(stand.relay()) as run:
        wait_until(lambda: run.ended)


def test_another_log_is_refused(stand: Stand) -> None:
    append(stand.log, drafts(0, 5))
    stand.cursors.stored = [6]
    with (
        pytest.raises(LogCorrupt, match="cursor is at entry 6, but the event log ends at 5"),
        running(stand.relay()) as run,
    ):
        wait_until(lambda: run.ended)
    assert stand.sink.connects == 0


def test_a_log_pruned_beyond_the_cursor_is_refused(stand: Stand) -> None:
    append(stand.log, drafts(0, 600))
    stand.cursors.stored.append(200)
    stand.log.prune(256, drafts(600, 1)[0])
    with (
        pytest.raises(LogPruned, match="entries before 200, and the event log was pruned below 25"),
        running(stand.relay()) as run,
    ):
        wait_until(lambda: run.ended)
    assert stand.sink.connects == 0


def test_a_new_sink_begins_where_a_pruned_log_does(stand: Stand) -> None:
    append(stand.log, drafts(0, 600))
    stand.log.prune(256, drafts(600, 1)[0])
    with running(stand.relay()):
        stand.await_cursor(601)
    assert stand.sink.arrived == events_of(stand.log)
    assert stand.sink.arrived[0].leaf_index == 256
    assert stand.observer.notes("begins_after_pruned")


def test_sees_what_another_process_appends(stand: Stand, tmp_path: Path) -> None:
    """Through the change token, well before the full read of each second."""
    writer, reader = SqliteEventLog(tmp_path / "log.db"), SqliteEventLog(tmp_path / "log.db")
    cursors = SqliteSinkCursors(tmp_path / "state.db")
    relay = Relay("broker", reader, stand.sink, cursors, stand.observer)
    with running(relay):
        for start in range(5):
            append(writer, drafts(start, 1))
            wait_until(lambda: len(stand.sink.arrived) == writer.head().size, 0.5)
        wait_until(lambda: cursors.load("broker") == 5)
    assert stand.sink.arrived == events_of(writer)
    for store in (writer, reader, cursors):
        store.close()


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(first_ms=100, longest_ms=1_000, chance=random.Random(1))
    waits = [backoff.next_ms() for _ in range(40)]
    for attempt, wait in enumerate(waits):
        whole = min(100 * 2**attempt, 1_000)
        assert whole / 2 <= wait <= whole
    assert backoff.attempts == 40
    backoff.succeeded()
    assert backoff.next_ms() <= 100
