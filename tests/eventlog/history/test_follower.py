"""The index keeps pace with the log, survives what happens to it, and notices another log."""

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.eventlog.history.follower import IndexFollower
from bridge.eventlog.history.ports import IndexDamaged, LogIndexWriter
from bridge.eventlog.history.query import LogQuery
from bridge.eventlog.history.search import LogSearch
from bridge.model.entry import EntryDraft, StoredEntry
from bridge.model.errors import StorageUnavailable
from bridge.model.search_role import Role
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.log_index.sqlite import SqliteLogIndex
from tests.conftest import Database
from tests.eventlog.history.logs import FIELDS, ORDER, URN, row_event
from tests.waiting import RecordingObserver, wait_until

Open = Callable[[], LogIndexWriter]


def orders(start: int, stop: int, total: str = "1") -> list[EntryDraft]:
    return [
        row_event(n, "created", {"order_id": n}, {"total": total, "customer_name": "c"})
        for n in range(start, stop)
    ]


def log_of(*drafts: EntryDraft) -> MemoryEventLog:
    log = MemoryEventLog()
    log.append(drafts)
    return log


def follower(log: Any, index: LogIndexWriter, **more: Any) -> IndexFollower:
    return IndexFollower(log, index, lambda: FIELDS, **{"batch_entries": 7, **more})


def indexed(index: LogIndexWriter) -> int:
    with index.view() as view:
        return view.state.next_index


def found(log: Any, index: LogIndexWriter) -> list[int]:
    page = LogSearch(log, index, FIELDS).search(LogQuery(newest_first=False))
    assert page.behind == 0
    return [hit.index for hit in page.hits]


def test_it_goes_on_where_it_was(open_index: Open) -> None:
    log = log_of(*orders(0, 20))
    follower(log, open_index()).catch_up()
    log.append(orders(20, 33))
    observer = RecordingObserver()
    follower(log, open_index(), observer=observer).catch_up()
    assert found(log, open_index()) == list(range(33))
    assert sum(int(note.facts["entries"]) for note in observer.notes("indexed")) == 13
    assert not observer.notes("index_made_again")


def test_a_running_follower_takes_in_what_is_appended(index: LogIndexWriter) -> None:
    log = log_of(*orders(0, 3))
    stop = threading.Event()
    thread = threading.Thread(target=follower(log, index).run, args=(stop,))
    thread.start()
    try:
        for size in (10, 30):
            log.append(orders(log.head().size, size))
            wait_until(lambda size=size: indexed(index) == size, what="the index")  # type: ignore[misc] # A default argument has no type here.
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def test_an_answer_says_what_the_index_lacks(index: LogIndexWriter) -> None:
    log = log_of(*orders(0, 10))
    follower(log, index).catch_up()
    log.append(orders(10, 14))
    page = LogSearch(log, index, FIELDS).search(LogQuery())
    assert (page.indexed, page.log_size, page.behind) == (10, 14, 4)


@pytest.mark.parametrize("size", [20, 40])
def test_another_log_under_it_is_noticed(open_index: Open, size: int) -> None:
    """Shorter or longer than the one before: its entries hash to something else."""
    follower(log_of(*orders(0, 30)), open_index()).catch_up()
    other = log_of(*orders(0, size, total="2"))
    observer = RecordingObserver()
    follower(other, open_index(), observer=observer).catch_up()
    [note] = observer.notes("index_made_again")
    assert note.facts["reason"] == "the log is not the one that it was made from"
    assert found(other, open_index()) == list(range(size))


def test_it_is_made_again_when_other_fields_are_declared(open_index: Open) -> None:
    log = log_of(*orders(0, 20))
    follower(log, open_index()).catch_up()
    fields = {**FIELDS, URN.format(ORDER): (("total", Role.AMOUNT),)}
    observer = RecordingObserver()
    IndexFollower(log, open_index(), lambda: fields, observer=observer).catch_up()
    [note] = observer.notes("index_made_again")
    assert "other fields are declared" in str(note.facts["reason"])
    # A contract that no entry has yet is no reason.
    more = {**fields, URN.format("shop.new"): (("total", Role.AMOUNT),)}
    observer.clear()
    IndexFollower(log, open_index(), lambda: more, observer=observer).catch_up()
    assert observer.notes("index_made_again") == []


def test_a_contract_that_comes_later_is_read_then(index: LogIndexWriter) -> None:
    log = log_of(*orders(0, 5))
    declared = [{URN.format(ORDER): FIELDS[URN.format(ORDER)]}]
    follow = IndexFollower(log, index, lambda: declared[-1])
    follow.catch_up()
    declared.append(dict(FIELDS))
    log.append(
        [row_event(5, "created", {"payment_id": 1}, {"amount": "7"}, subject="shop.payment")]
    )
    follow.catch_up()
    with index.view() as view:
        slots = [slot.field for form in view.forms() for slot in form.slots]
    assert slots[-2:] == ["amount", "paid_at"]


class Pruned:
    """A log without its first entries."""

    def __init__(self, log: MemoryEventLog, first: int) -> None:
        self._log = log
        self.first = first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def first_index(self) -> int:
        return self.first

    def read(self, start: int, count_max: int) -> list[StoredEntry]:
        start = max(start, self.first)
        return self._log.read(start, count_max)


def test_a_pruned_log_is_indexed_from_where_it_begins(index: LogIndexWriter) -> None:
    log = Pruned(log_of(*orders(0, 30)), 13)
    follower(log, index).catch_up()
    assert found(log, index) == list(range(13, 30))


def test_what_is_pruned_later_is_found_no_more_and_the_rest_still(open_index: Open) -> None:
    log = Pruned(log_of(*orders(0, 20)), 0)
    follower(log, open_index()).catch_up()
    # The last entry that the index has is gone as well: its hash is left.
    log.append(orders(20, 25))
    log.first = 20
    observer = RecordingObserver()
    follower(log, open_index(), observer=observer).catch_up()
    assert observer.notes("index_made_again") == []
    assert found(log, open_index()) == list(range(20, 25))
    # Beyond what the index has: what is between would never be looked for again.
    log.append(orders(25, 40))
    log.first = 30
    follower(log, open_index(), observer=observer).catch_up()
    [note] = observer.notes("index_made_again")
    assert note.facts["reason"] == "the log was pruned beyond it"
    assert found(log, open_index()) == list(range(30, 40))


def test_who_clears_it_meanwhile_makes_the_follower_begin_again(open_index: Open) -> None:
    log = log_of(*orders(0, 20))
    follow = follower(log, open_index())
    follow.catch_up()
    open_index().clear()
    log.append(orders(20, 22))
    follow.catch_up()
    assert found(log, open_index()) == list(range(22))


def test_each_row_can_be_compared_with_the_log(index: LogIndexWriter) -> None:
    log = log_of(*orders(0, 20))
    follow = follower(log, index)
    follow.catch_up()
    assert follow.verify() is None
    with index.view() as view:
        rows, forms = view.rows(0, 100), view.forms()
        state = view.state
    index.clear()
    rows[12] = rows[12]._replace(actor=5)
    assert index.take(rows, forms, state)
    assert follower(log, index).verify() == (
        "entry 12 is indexed wrongly; make the index again with --rebuild"
    )


@pytest.mark.parametrize("where", [0, 5_000])
def test_a_damaged_file_is_thrown_away_and_made_again(tmp_path: Path, where: int) -> None:
    """Damage in the header shows at once, damage of a page when it is written to."""
    path = tmp_path / "index.db"
    log = log_of(*orders(0, 600))
    first = SqliteLogIndex(path, segment_entries=64)
    follower(log, first).catch_up()
    first.close()
    data = bytearray(path.read_bytes())
    data[where : where + 60_000] = b"\xaa" * (min(len(data), where + 60_000) - where)
    path.write_bytes(data)
    log.append(orders(600, 700))
    index = SqliteLogIndex(path, segment_entries=64)
    observer = RecordingObserver()
    follower(log, index, observer=observer, batch_entries=50).catch_up()
    assert observer.notes("index_made_again")
    page = LogSearch(log, index, FIELDS).search(LogQuery(limit=1_000))
    assert len(page.hits) == 700
    index.close()


def test_an_index_of_another_version_or_form_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    log = log_of(*orders(0, 20))
    first = SqliteLogIndex(path, segment_entries=8)
    follower(log, first).catch_up()
    first.close()
    index = SqliteLogIndex(path, segment_entries=16)
    with pytest.raises(IndexDamaged, match="its segments have 8 entries"), index.view():
        pass
    follower(log, index).catch_up()
    index.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    index = SqliteLogIndex(path, segment_entries=16)
    follower(log, index).catch_up()
    assert found(log, index) == list(range(20))
    index.close()


def test_a_lost_table_is_made_again(open_index: Open, database: Database) -> None:
    log = log_of(*orders(0, 20))
    index = open_index()
    follower(log, index).catch_up()
    if isinstance(index, SqliteLogIndex):
        with sqlite3.connect(index.path) as connection:
            connection.execute("DROP TABLE postings")
        connection.close()
    else:
        with psycopg.connect(database.dsn, autocommit=True) as other:
            other.execute("DROP TABLE bridge_index.postings")
    log.append(orders(20, 40))
    follower(log, open_index()).catch_up()
    assert found(log, open_index()) == list(range(40))


def test_an_outage_is_waited_out(index: LogIndexWriter) -> None:
    log = log_of(*orders(0, 5))
    observer = RecordingObserver()

    class Failing(Pruned):
        fails = True

        def read(self, start: int, count_max: int) -> list[StoredEntry]:
            if self.fails:
                raise StorageUnavailable("cannot read the log: a test")
            return super().read(start, count_max)

    failing = Failing(log, 0)
    stop = threading.Event()
    thread = threading.Thread(target=follower(failing, index, observer=observer).run, args=(stop,))
    thread.start()
    try:
        observer.await_note("index_delayed")
        failing.fails = False
        wait_until(lambda: indexed(index) == 5, what="the index")
    finally:
        stop.set()
        thread.join(10)


def test_a_wrong_index_hides_at_most_but_never_shows_a_wrong_entry(index: LogIndexWriter) -> None:
    """Rows that say the wrong actor: whoever searches is shown what the log says."""
    log = log_of(*orders(0, 20), row_event(20, "created", {"order_id": 1}, actor={"id": "ana"}))
    follow = follower(log, index)
    follow.catch_up()
    with index.view() as view:
        rows, forms, state = view.rows(0, 100), view.forms(), view.state
    index.clear()
    assert index.take([row._replace(actor=rows[20].actor) for row in rows], forms, state)
    page = LogSearch(log, index, FIELDS).search(LogQuery(actor="ana"))
    assert [hit.index for hit in page.hits] == [20]
    assert replace(page, hits=()).behind == 0
