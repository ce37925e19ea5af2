"""Reads and failed logins of a service are entries, in a bounded number."""

import json
from typing import Any

import pytest

from bridge.eventlog.ports import EventLogWriter
from bridge.eventlog.records.access import AccessNotRecorded
from bridge.eventlog.records.access_book import LOGINS_MAX, WINDOW_S, AccessBook
from bridge.model.errors import StorageUnavailable
from bridge.model.warrant import Actor, ActorType, Known
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.records.test_access import FullDisk

INES = Actor(id="ines", type=ActorType.PERSON, known=Known.TOKEN)
BEN = Actor(id="ben", type=ActorType.PERSON, known=Known.TOKEN)


class Timer:
    """Seconds that are set."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def log() -> MemoryEventLog:
    return MemoryEventLog()


@pytest.fixture
def book(log: MemoryEventLog, timer: Timer) -> AccessBook:
    return AccessBook(lambda: log, timer=timer)


def told(log: MemoryEventLog) -> list[dict[str, Any]]:
    return [json.loads(entry.leaf)["fields"] for entry in log.read(0, 1_000)]


def test_equal_reads_are_counted_and_none_is_forgotten(
    book: AccessBook, log: MemoryEventLog, timer: Timer
) -> None:
    for second in range(50):
        timer.s = second
        book.read(INES, "writes-list", found=2, query={"limit": 100})
    book.read(INES, "writes-list", found=1, query={"limit": 5})
    book.read(BEN, "writes-list", found=2, query={"limit": 100})
    assert [(one["actor"]["id"], one["query"]["limit"]) for one in told(log)] == [
        ("ines", 100), ("ines", 5), ("ben", 100),
    ]  # fmt: skip
    timer.s = WINDOW_S
    book.flush()
    summary = told(log)[3]
    assert (summary["times"], summary["found"], summary["action"]) == (49, 98, "writes-list")
    assert summary["since"] <= summary["time"]
    book.flush(everything=True)
    assert len(told(log)) == 4, "single reads have no count"


def test_a_new_window_begins_with_an_entry(
    book: AccessBook, log: MemoryEventLog, timer: Timer
) -> None:
    for timer.s in (0, 1, WINDOW_S + 1, WINDOW_S + 2):
        book.read(INES, "list", found=1)
    assert [one.get("times") for one in told(log)] == [None, 1, None]


def test_failed_logins_are_entries_and_then_a_count(
    book: AccessBook, log: MemoryEventLog, timer: Timer
) -> None:
    for _ in range(1_000):
        book.login_failed()
    entries = told(log)
    assert len(entries) == LOGINS_MAX
    for one in entries:
        assert (one["action"], one["outcome"], one["error"]) == ("login", "refused", "WrongToken")
        assert one["actor"] == {"known": "unknown"}
    timer.s = WINDOW_S
    book.flush()
    assert told(log)[-1]["times"] == 1_000 - LOGINS_MAX


def test_what_a_role_may_not_do_is_told(book: AccessBook, log: MemoryEventLog) -> None:
    book.refused(INES, "POST /api/groups/{group}/switch", "RoleForbids")
    (one,) = told(log)
    assert (one["actor"]["id"], one["outcome"], one["error"]) == ("ines", "refused", "RoleForbids")


def test_what_cannot_be_recorded_is_refused(timer: Timer) -> None:
    def away() -> EventLogWriter:
        raise StorageUnavailable("it is away")

    for open_log in (FullDisk, away):
        book = AccessBook(open_log, timer=timer)
        with pytest.raises(AccessNotRecorded):
            book.read(INES, "list", found=1)


def test_a_count_that_cannot_be_written_is_kept(timer: Timer, log: MemoryEventLog) -> None:
    logs: list[EventLogWriter] = [log]
    book = AccessBook(lambda: logs[-1], timer=timer)
    book.read(INES, "list", found=1)
    book.read(INES, "list", found=1)
    timer.s = WINDOW_S
    logs.append(FullDisk())
    with pytest.raises(AccessNotRecorded):
        book.flush()
    with pytest.raises(AccessNotRecorded):
        book.read(INES, "list", found=1)
    logs.pop()
    book.flush()
    assert told(log)[-1]["times"] == 1
