"""What watches see enters the log once, whatever breaks between looking and appending."""

from pathlib import Path

import psycopg
import pytest

from bridge.capture.watches import Sighting, Watches
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import SourceUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.faults import Crash, FaultyLog, crash_at
from tests.capture.running import (
    await_position,
    await_streaming,
    capturing,
    cursor_of,
    ids_of,
    make_source,
    start,
)
from tests.conftest import Database
from tests.waiting import RecordingObserver, wait_until

T = "public.t"


class Counting:
    """Counts its looks up to `count_max`, with an entry for each; its state is the number."""

    name = "counting"
    interval_s = 0.05

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self.closed = False

    def look(self, state: str | None) -> Sighting:
        """Say the next number."""
        number = int(state or 0) + 1
        if number > self._count_max:
            return Sighting()
        return Sighting([draft(f"count-{number}")], str(number))

    def close(self) -> None:
        """Remember it."""
        self.closed = True


class Bad:
    """Raises at each look."""

    interval_s = 0.05

    def __init__(self, name: str, error: Exception) -> None:
        self.name = name
        self._error = error

    def look(self, state: str | None) -> Sighting:
        """Raise."""
        raise self._error

    def close(self) -> None:
        """Raise here too."""
        raise self._error


def draft(entry_id: str) -> EntryDraft:
    return EntryDraft(EntryKind.CONTROL, entry_id, {}, b"{}")


@pytest.fixture
def table(sql: psycopg.Connection) -> None:
    sql.execute("create table t (id int primary key)")


def test_sightings_enter_the_log_beside_the_stream(
    table: None, database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    watch = Counting(3)
    source = make_source(database.dsn, database.name, T)
    with capturing(source, log, tmp_path, T, watches=[watch]) as running:
        await_streaming(running, log, T)
        sql.execute("insert into t values (1)")
        wait_until(lambda: cursor_of(log).watches == {"counting": "3"}, 10, "three looks")
        await_position(running, sql, log)
    assert watch.closed
    assert sorted(ids_of(log))[:3] == ["count-1", "count-2", "count-3"]
    assert len(ids_of(log)) == 4


def test_a_bad_watch_stops_nobody(
    table: None, database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    watches = [
        Bad("away", SourceUnavailable("cannot look: away")),
        Bad("broken", ZeroDivisionError("canary")),
        Counting(1),
    ]
    source = make_source(database.dsn, database.name, T)
    with capturing(source, log, tmp_path, T, watches=watches) as running:
        await_streaming(running, log, T)
        away = running.observer.await_note("watch_failed", watch="away")
        broken = running.observer.await_note("watch_failed", watch="broken")
        sql.execute("insert into t values (1)")
        await_position(running, sql, log)
        wait_until(lambda: "count-1" in ids_of(log), 10, "the good watch")
    assert away["error"] == "cannot look: away"
    assert broken["error"] == "ZeroDivisionError"
    assert len(ids_of(log)) == 2


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_append_repeats_no_entry(
    moment: str, table: None, database: Database, log: MemoryEventLog, tmp_path: Path
) -> None:
    for number in (2, 3, 5):
        faulty = FaultyLog(log, crash_at({number}, moment))
        source = make_source(database.dsn, database.name, T)
        running = start(source, faulty, tmp_path, T, watches=[Counting(20)])
        assert isinstance(running.await_failure(), Crash)
    source = make_source(database.dsn, database.name, T)
    with capturing(source, log, tmp_path, T, watches=[Counting(20)]):
        wait_until(lambda: cursor_of(log).watches == {"counting": "20"}, 10, "twenty looks")
    assert ids_of(log) == [f"count-{number}" for number in range(1, 21)]


def test_a_log_that_is_away_keeps_a_bounded_number_waiting() -> None:
    observer = RecordingObserver()
    watches = Watches("shop", [Counting(10)], observer=observer, sightings_max=3)
    watches.start({})
    try:
        told = observer.await_note("watch_failed", watch="counting")
        assert told["error"] == "3 sightings wait for the log"
        waiting = watches.waiting()
        assert [seen.sighting.state for seen in waiting] == ["1", "2", "3"]
        watches.appended(3)
        first = wait_until(watches.waiting, 10, "the next look")[0]
        assert first.sighting.state == "4"
    finally:
        watches.close()
