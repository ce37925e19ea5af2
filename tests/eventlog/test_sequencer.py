"""Pending entries reach the log once, in order, whatever breaks in between."""

import json
import threading

import pytest

from bridge.eventlog.sequencer import Sequencer
from bridge.model.entry import EntryDraft
from bridge.model.errors import StorageUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import draft, drafts


class Book:
    """Pending entries as the write journal keeps them; can be told to fail."""

    def __init__(self, entries: list[EntryDraft]) -> None:
        self.rows = list(enumerate(entries, start=1))
        self.discards_to_fail = 0
        self.emptied = threading.Event()

    def pending(self, count_max: int) -> list[tuple[int, EntryDraft]]:
        return self.rows[:count_max]

    def discard(self, through: int) -> None:
        if self.discards_to_fail:
            self.discards_to_fail -= 1
            raise StorageUnavailable("cannot discard: locked")
        self.rows = [row for row in self.rows if row[0] > through]
        if not self.rows:
            self.emptied.set()


class Notes:
    """Remembers what a service did."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def note(self, name: str, **facts: int | float | str) -> None:
        self.names.append(name)


def test_pending_entries_are_moved_in_batches() -> None:
    book, log = Book(drafts(0, 25)), MemoryEventLog()
    sequencer = Sequencer(book, log, batch_count_max=10)
    assert [sequencer.step() for _ in range(4)] == [10, 10, 5, 0]
    assert [entry.entry_id for entry in log.read(0, 99)] == [d.entry_id for d in drafts(0, 25)]


def test_a_lost_discard_repeats_nothing() -> None:
    book, log = Book(drafts(0, 8)), MemoryEventLog()
    book.discards_to_fail = 1
    sequencer = Sequencer(book, log)
    with pytest.raises(StorageUnavailable):
        sequencer.step()
    assert len(book.rows) == 8
    assert sequencer.step() == 8
    assert log.head().size == 8
    assert book.rows == []


def test_an_oversized_entry_is_kept_and_hinders_nobody() -> None:
    large = draft(2)._replace(
        fields={"action": "write-skip", "ticket": "T-1", "type": "y" * 900, "note": "x" * 70_000},
        payload=b'{"reason":"by hand"}',
    )
    book, log, notes = Book([draft(1), large, draft(3)]), MemoryEventLog(), Notes()
    book.discards_to_fail = 1
    sequencer = Sequencer(book, log, observer=notes)
    with pytest.raises(StorageUnavailable):
        sequencer.step()
    assert sequencer.step() == 3
    assert [entry.entry_id for entry in log.read(0, 9)] == [
        each.entry_id for each in (draft(1), large, draft(3))
    ]
    entry = log.read(1, 1)[0]
    leaf = json.loads(entry.leaf)
    assert leaf["fields"]["oversized"]["bytes"] > 70_000
    assert (leaf["fields"]["action"], leaf["fields"]["ticket"]) == ("write-skip", "T-1")
    assert json.loads(entry.payload) == {
        "fields": large.fields, "payload": {"reason": "by hand"},
    }  # fmt: skip
    assert notes.names.count("entry_oversized") == 1


def test_run_goes_on_after_a_failure_and_ends_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.eventlog.sequencer.RETRY_INTERVAL_S", 0.01)
    book, log, notes, stop = Book(drafts(0, 8)), MemoryEventLog(), Notes(), threading.Event()
    book.discards_to_fail = 2
    thread = threading.Thread(target=Sequencer(book, log, observer=notes).run, args=(stop,))
    thread.start()
    assert book.emptied.wait(10)
    stop.set()
    thread.join(10)
    assert log.head().size == 8
    assert notes.names.count("sequencer_delayed") == 2
    assert "sequenced" in notes.names
