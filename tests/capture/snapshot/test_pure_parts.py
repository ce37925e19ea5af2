"""What a snapshot contains, what was touched, what a chunk may cost: values in, values out."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.cursor import TableMark
from bridge.capture.snapshot.pacing import CHUNK_ROWS_MIN, Pacing, SnapshotLimits
from bridge.capture.snapshot.sorting import AGAIN_KEYS_MAX, reread, sort_out
from bridge.capture.snapshot.visibility import Visibility, parse_visibility
from bridge.capture.snapshot.window import ChangeWindow, Touch, key_row
from bridge.model.change import (
    UNSENT,
    BeforeImage,
    Change,
    ChangeKind,
    Column,
    Relation,
    Row,
    RowChange,
    TransactionPart,
)

COLUMNS = tuple(
    Column(name=name, type_oid=25, type_modifier=-1, is_key=name in ("b", "a"))
    for name in ("a", "note", "b")
)
T = Relation(oid=1, schema="public", table="t", identity="d", columns=COLUMNS)
KEY = ("b", "a")
PLACES = (2, 0)


def part(xid: int, *changes: Change) -> TransactionPart:
    return TransactionPart(xid, 100, datetime(2026, 1, 1, tzinfo=UTC), 0, changes, True, 110)


def updated(after: Row, before: Row | None = None, relation: Relation = T) -> RowChange:
    image = BeforeImage.NONE if before is None else BeforeImage.KEY
    return RowChange(ChangeKind.UPDATED, relation, before, image, after)


def test_what_a_snapshot_contains() -> None:
    seen = parse_visibility("10:20:12,15")
    assert [xid for xid in range(8, 22) if not seen.contains(xid)] == [12, 15, 20, 21]
    assert seen.missing([9, 12, 19, 30]) == {12, 30}
    standby = parse_visibility("10:20:", recovering=True)
    assert [xid for xid in range(8, 22) if standby.contains(xid)] == [8, 9]


@given(
    epoch=st.integers(0, 5),
    low=st.integers(3, 2**32 - 1),
    ahead=st.integers(-(2**31) + 1, 2**31 - 1),
)
def test_numbers_of_32_bits_are_those_near_the_snapshot(epoch: int, low: int, ahead: int) -> None:
    xmax = (epoch + 1 << 32) + low
    seen = Visibility(xmin=xmax - 10, xmax=xmax, running=frozenset({xmax - 5}))
    full = xmax + ahead
    expected = full < xmax and full != xmax - 5
    assert seen.contains(full & 0xFFFF_FFFF) == expected


def test_a_window_remembers_until_a_snapshot_contains_it() -> None:
    window = ChangeWindow({"public.t": KEY})
    window.observe(part(7, updated(("1", "x", "2")), updated(("5", UNSENT, "6"), ("3", None, "4"))))
    window.observe(
        part(9, RowChange(ChangeKind.DELETED, T, ("8", None, "8"), BeforeImage.KEY, None))
    )
    assert window.touched("public.t").keys == {
        ("2", "1"): Touch.WHOLE,
        ("4", "3"): Touch.PARTIAL,
        ("6", "5"): Touch.MOVED,
        ("8", "8"): Touch.WHOLE,
    }
    assert window.key_count == 4
    window.forget(parse_visibility("8:9:"))
    assert set(window.touched("public.t").keys) == {("8", "8")}
    assert window.key_count == 1
    assert window.touched("public.other").keys == {}


def test_a_truncation_touches_everything() -> None:
    window = ChangeWindow({"public.t": KEY})
    window.observe(part(7, RowChange(ChangeKind.TRUNCATED, T, None, BeforeImage.NONE, None)))
    assert window.touched("public.t").emptied
    assert sort_out([("1", "x", "2")], PLACES, [], window.touched("public.t")) == ([], [])
    window.forget(parse_visibility("8:8:"))
    assert not window.touched("public.t").emptied


def test_a_key_that_is_too_large_to_be_sent_twice() -> None:
    window = ChangeWindow({"public.t": KEY})
    window.observe(part(7, updated((UNSENT, "x", "2"), ("long", None, "2"))))
    assert window.touched("public.t").keys == {("2", "long"): Touch.PARTIAL}


def test_a_full_old_row_leaves_nothing_to_be_read() -> None:
    full = Relation(oid=1, schema="public", table="t", identity="f", columns=COLUMNS)
    window = ChangeWindow({"public.t": KEY})
    window.observe(part(7, updated(("1", UNSENT, "2"), ("3", "long", "4"), full)))
    assert set(window.touched("public.t").keys.values()) == {Touch.WHOLE}


@pytest.mark.parametrize("reason", ["too much", "no key", "altered"])
def test_a_window_that_cannot_remember_says_so(reason: str) -> None:
    window = ChangeWindow({"public.t": KEY}, keys_max=10)
    if reason == "too much":
        window.observe(part(7, *(updated((str(x), "x", "2")) for x in range(10))))
        assert not window.lost
        change = updated(("11", "x", "2"))
    elif reason == "no key":
        change = updated((UNSENT, "x", "2"))
    else:
        renamed = Relation(oid=1, schema="public", table="t", identity="d", columns=COLUMNS[:2])
        change = updated(("1", "x"), None, renamed)
    window.observe(part(7, change))
    assert window.lost


def test_what_was_asked_for_in_vain_is_asked_for_again() -> None:
    window = ChangeWindow({"public.t": KEY})
    window.observe(part(7, updated(("1", UNSENT, "1")), updated(("2", "x", "2"))))
    touched = window.touched("public.t")
    rows: list[Row] = [("1", "old", "1"), ("2", "old", "2"), ("3", "old", "3")]
    assert sort_out(rows, PLACES, [("9", "9")], touched) == ([("3", "old", "3")], [("1", "1")])
    assert sort_out([], PLACES, [("1", "1"), ("2", "2")], touched) == ([], [("1", "1")])


def test_too_many_keys_to_be_read_again_are_the_whole_table() -> None:
    mark = TableMark(table="public.t", after=("5",), row_count=9)
    keys = [(str(x),) for x in range(AGAIN_KEYS_MAX)]
    assert reread(mark, keys + keys).again == tuple(keys)
    assert reread(mark, [*keys, ("more",)]) == TableMark(table="public.t", after=None)


def test_chunks_grow_towards_the_target_and_shrink_at_once() -> None:
    pacing = Pacing(SnapshotLimits(chunk_rows=1_000, query_ms_target=100, duty=0.25))
    assert pacing.rows == 200
    assert pacing.learn(10, full=True) == pytest.approx(0.03)
    assert pacing.rows == 400
    pacing.learn(10, full=False)
    assert pacing.rows == 400, "a chunk that is not full says little"
    for _ in range(4):
        pacing.learn(50, full=True)
    assert pacing.rows == 1_000
    pacing.learn(400, full=False)
    assert pacing.rows == 500
    for _ in range(9):
        pacing.shrink()
    assert pacing.rows == CHUNK_ROWS_MIN


def test_a_row_of_which_only_the_key_is_known() -> None:
    assert key_row(T, KEY, ("2", "1")) == ("1", UNSENT, "2")
