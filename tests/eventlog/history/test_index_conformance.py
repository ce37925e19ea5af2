"""What every index promises, whatever it is kept in."""

from collections.abc import Callable

import pytest

from bridge.eventlog.history.follower import IndexFollower
from bridge.eventlog.history.index_rows import Form, FormBook, IndexRow, RowMaker
from bridge.eventlog.history.ports import Column, IndexState, LogIndexWriter, Posted, Selection
from bridge.eventlog.history.query import EntityKey, LogQuery
from bridge.eventlog.history.search import LogSearch
from bridge.model.errors import StorageUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.history.conftest import SEGMENT
from tests.eventlog.history.logs import FIELDS, ORDER, key_text, row_event

Open = Callable[[], LogIndexWriter]
ALL = range(1_000)


def rows_of(count: int) -> tuple[list[IndexRow], FormBook]:
    log = MemoryEventLog()
    log.append(
        [
            row_event(
                n,
                "created" if n % 3 else "deleted",
                {"order_id": n % 5},
                {"total": str(n), "customer_name": f"c{n % 2}"},
                actor={"id": f"a{n % 4}"},
            )
            for n in range(count)
        ]
    )
    book = FormBook((), lambda: FIELDS)
    maker = RowMaker(book)
    return [maker.row(entry) for entry in log.read(0, count)], book


def taken(index: LogIndexWriter, count: int, batch: int = 7) -> list[IndexRow]:
    rows, book = rows_of(count)
    for start in range(0, count, batch):
        some = rows[start : start + batch]
        moved = IndexState(next_index=start + len(some), anchor=b"x" * 32, first_index=0)
        assert index.take(some, book.fresh, moved)
        book.fresh.clear()
    return rows


def test_rows_forms_and_state_are_there_after_opening_again(open_index: Open) -> None:
    rows = taken(open_index(), 20)
    with open_index().view() as view:
        assert view.state == IndexState(next_index=20, anchor=b"x" * 32, first_index=0)
        assert view.rows(0, 100) == rows
        assert view.rows(18, 1) == rows[18:19]
        forms = {form.form_id: form for form in view.forms()}
        slots = [(slot.field, slot.role) for slot in forms[rows[0].form].slots]
        assert slots[0] == ("ordered_at", "date")
        assert [span.segment for span in view.spans()] == [0, 1]
        assert view.spans()[0].time_low == rows[0].time
        assert view.spans()[1].time_high == rows[2 * SEGMENT - 1].time


@pytest.mark.parametrize("newest_first", [True, False])
def test_reading_and_looking_up_find_the_same(index: LogIndexWriter, newest_first: bool) -> None:
    rows = taken(index, 40)
    complete = range(40 // SEGMENT * SEGMENT)
    segments = range(len(complete) // SEGMENT)
    chosen = rows[3]
    total = next(
        slot for form in _forms(index) for slot in form.slots if slot.field == "total"
    ).field_id
    cases: list[tuple[Posted, Selection, Callable[[IndexRow], bool]]] = [
        (
            Posted(Column.ACTOR, chosen.actor or 0, chosen.actor or 0),
            Selection(actor=chosen.actor),
            lambda row: row.actor == chosen.actor,
        ),
        (
            Posted(Column.ENTITY, chosen.entity or 0, chosen.entity or 0),
            Selection(entities=(chosen.entity or 0,)),
            lambda row: row.entity == chosen.entity,
        ),
        (
            Posted(total, 50_000, 200_000),
            Selection(),
            lambda row: row.v1 is not None and 50_000 <= row.v1 <= 200_000,
        ),
        (
            Posted(Column.FORM, 1, 1),
            Selection(forms=(1,), time=(rows[5].time or 0, rows[30].time or 0)),
            lambda row: row.form == 1 and 5 <= row.leaf_index <= 30,
        ),
    ]
    for posted, selection, fits in cases:
        expected = [row.leaf_index for row in rows if row.leaf_index in complete and fits(row)]
        if newest_first:
            expected.reverse()
        assert expected
        with index.view() as view:
            found = view.probe(
                segments, posted, selection, complete, newest_first=newest_first, count_max=100
            )
            assert found == expected
            if posted.column < total:
                assert expected == view.scan(
                    complete, selection, newest_first=newest_first, count_max=100
                )
            limited = view.probe(
                segments, posted, selection, complete, newest_first=newest_first, count_max=2
            )
            assert limited == expected[:2]
            inner = range(expected[1] if newest_first else 0, 1_000)
            assert set(
                view.probe(
                    segments, posted, selection, inner, newest_first=newest_first, count_max=100
                )
            ) == {at for at in expected if at in inner}


def _forms(index: LogIndexWriter) -> list[Form]:
    with index.view() as view:
        return list(view.forms())


def test_counting_stops_at_its_limit(index: LogIndexWriter) -> None:
    taken(index, 40)
    with index.view() as view:
        assert view.count([0, 1], Posted(Column.FORM, 0, 100), 1_000) == 2 * SEGMENT
        assert view.count([0, 1], Posted(Column.FORM, 0, 100), 5) == 5
        assert view.count([7], Posted(Column.FORM, 0, 100), 5) == 0


def test_who_is_not_where_the_index_is_writes_nothing(open_index: Open) -> None:
    rows = taken(open_index(), 10)
    other = open_index()
    assert not other.take(rows[3:5], [], IndexState(next_index=5, anchor=b"y", first_index=0))
    with other.view() as view:
        assert view.state.next_index == 10
        assert len(view.rows(0, 100)) == 10


def test_a_cleared_index_is_empty_and_can_be_filled_again(index: LogIndexWriter) -> None:
    rows = taken(index, 20)
    index.clear()
    with index.view() as view:
        assert view.state == IndexState(next_index=0, anchor=b"", first_index=0)
        assert (view.rows(0, 10), list(view.forms()), list(view.spans())) == ([], [], [])
    # What was on its way when somebody cleared it does not begin a new one in the middle.
    assert not index.take(rows[15:17], [], _state(17))
    assert taken(index, 20) == rows


def _state(next_index: int) -> IndexState:
    return IndexState(next_index=next_index, anchor=b"x" * 32, first_index=0)


def test_an_index_of_a_pruned_log_begins_where_the_log_does(index: LogIndexWriter) -> None:
    rows, book = rows_of(30)
    moved = IndexState(next_index=30, anchor=b"x" * 32, first_index=11)
    assert index.take(rows[11:], book.fresh, moved)
    with index.view() as view:
        assert view.state.first_index == 11
        assert [span.segment for span in view.spans()] == [1, 2]
        found = view.scan(ALL, Selection(), newest_first=False, count_max=100)
        assert found == list(range(11, 30))


def test_a_picture_does_not_change_while_it_is_held(open_index: Open) -> None:
    writer, reader = open_index(), open_index()
    rows = taken(writer, 10)
    more, book = rows_of(20)
    with reader.view() as view:
        assert view.state.next_index == 10
        assert writer.take(more[10:], book.fresh[:0], _state(20))
        assert view.rows(0, 100) == rows
        assert view.state.next_index == 10
    with reader.view() as view:
        assert view.state.next_index == 20


def test_searching_works_on_it(index: LogIndexWriter) -> None:
    log = MemoryEventLog()
    log.append(
        [
            row_event(n, "created", {"order_id": n % 6}, {"total": str(n), "customer_name": "山田"})
            for n in range(50)
        ]
    )
    IndexFollower(log, index, lambda: FIELDS, batch_entries=9).catch_up()
    search = LogSearch(log, index, FIELDS)
    one = EntityKey(subject=ORDER, key=key_text({"order_id": 4}))
    found = search.search(LogQuery(entity=one, limit=3))
    assert [hit.index for hit in found.hits] == [46, 40, 34]
    assert index.size_bytes() > 0


def test_the_place_moves_in_the_commit_of_the_rows_or_not_at_all(open_index: Open) -> None:
    index = open_index()
    rows = taken(index, 10)
    more, book = rows_of(20)
    # The second half fails: a row that is there already.
    broken = [*more[10:14], rows[3]]
    with pytest.raises(StorageUnavailable):
        index.take(broken, book.fresh[:0], _state(15))
    with open_index().view() as view:
        assert view.state == _state(10)
        assert view.rows(0, 100) == rows
    assert open_index().take(more[10:], [], _state(20))
