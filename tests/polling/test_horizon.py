"""What a run may rely on: nothing that it cannot see was stamped before its settled time."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.polling.horizon import (
    MARKS_MAX,
    Growth,
    Mark,
    Moment,
    OpenTransactions,
    OpenWork,
    Ordering,
    lateness_s,
    next_lower,
    with_mark,
)

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


TRANSACTIONS = st.lists(
    st.tuples(st.integers(1, 100), st.integers(0, 60), st.integers(0, 20)), max_size=12
)
"""Of each: when it started, for how long it waited before it was a transaction, how long it ran."""


@given(TRANSACTIONS, st.lists(st.integers(1, 150), min_size=1, max_size=12), st.integers(0, 150))
def test_nothing_unseen_started_before_the_settled_time(
    transactions: list[tuple[int, int, int]], looks: list[int], restart: int
) -> None:
    tracker = OpenTransactions(None)
    settled: datetime | None = None
    restarted = False
    for look in sorted(set(looks)):
        if look >= restart and not restarted:
            tracker, restarted = OpenTransactions(settled), True
        found = {}
        for number, (start, waited, ran) in enumerate(transactions):
            if start <= look < start + waited:
                found[f"q{number}"] = OpenWork(None, str(number), True)
            elif start + waited <= look < start + waited + ran:
                half = ran // 2
                found |= _written(number, look - start - waited >= half, number % 3)
        told = tracker.settle(at(look), found)
        unseen = [start for start, waited, ran in transactions if start + waited + ran > look]
        if told is not None:
            assert told <= at(look)
            assert all(told <= at(start) for start in unseen), (told, unseen)
            settled = told


def _written(number: int, is_late: bool, kind: int) -> dict[str, OpenWork]:
    """Return how a transaction is listed: some change their names while they are open."""
    if kind == 1 and is_late:
        return {f"prepared {number}": OpenWork(is_renamed=True)}
    if kind == 2 and not is_late:  # Its statement runs, it has no number of its own yet.
        listed = {f"x{number}": OpenWork(None, str(number))}
        return listed | {f"q{number}": OpenWork(None, str(number), True)}
    return {f"t{number}": OpenWork(None, str(number))}


def test_a_transaction_that_was_open_before_the_first_look_holds_until_it_ends() -> None:
    tracker = OpenTransactions(None)
    assert tracker.settle(at(10), {"t1": OpenWork()}) is None
    assert tracker.settle(at(20), {"t1": OpenWork(), "t2": OpenWork()}) is None
    assert tracker.settle(at(30), {"t2": OpenWork()}) == at(10)
    assert tracker.settle(at(40), {}) == at(40)


def test_a_start_that_the_database_tells_is_enough_at_first() -> None:
    tracker = OpenTransactions(None)
    assert tracker.settle(at(10), {"t1": OpenWork(at(-500))}) == at(-500)


def _moment(settled: float | None, clock: float = 1_000, exact: bool = True) -> Moment:
    return Moment(at(clock), None if settled is None else at(settled), exact)


def test_a_clock_column_is_read_from_the_settled_time_less_the_overlap() -> None:
    ordering = Ordering(growth=Growth.CLOCK)
    assert next_lower(ordering, None, _moment(100), (), 2) == at(98)
    assert next_lower(ordering, at(50), _moment(None), (), 2) == at(50)
    # Columns without fractions cut them off, so the bound does too.
    assert next_lower(ordering, None, _moment(100.9), (), 2) == at(98)
    # It never goes back.
    assert next_lower(ordering, at(99), _moment(90), (), 2) == at(99)


def test_a_row_with_a_time_in_the_future_does_not_move_the_bound() -> None:
    marks = (Mark(at(1_000), at(9_999_999)),)
    assert next_lower(Ordering(growth=Growth.CLOCK), None, _moment(100), marks, 0) == at(100)


def test_local_times_follow_their_zone() -> None:
    tokyo = Ordering(growth=Growth.LOCAL_CLOCK, zone="Asia/Tokyo")
    assert next_lower(tokyo, None, _moment(100), (), 0) == datetime.fromisoformat(
        "2026-03-01T09:01:40"
    )
    days = Ordering(growth=Growth.LOCAL_DATE, zone="Asia/Tokyo")
    late = Moment(datetime(2026, 3, 1, 16, tzinfo=UTC), datetime(2026, 3, 1, 16, tzinfo=UTC), True)
    assert next_lower(days, None, late, (), 0) == date(2026, 3, 2)


def test_when_clocks_go_back_the_hour_is_read_twice() -> None:
    berlin = Ordering(growth=Growth.LOCAL_CLOCK, zone="Europe/Berlin")
    # On 25 October 2026 at 01:00 UTC, 03:00 becomes 02:00 again.
    change = datetime(2026, 10, 25, 1, tzinfo=UTC)
    before, after = change - timedelta(minutes=5), change + timedelta(minutes=5)
    bound = next_lower(
        berlin, datetime.fromisoformat("2026-10-25T02:54"), Moment(after, before, True), (), 0
    )
    # Stamps of the minutes since: 02:55 to 03:00, then 02:00 to 02:05.
    assert isinstance(bound, datetime)
    assert bound <= datetime.fromisoformat("2026-10-25T02:00")
    later = Moment(after + timedelta(hours=1), after, True)
    assert next_lower(berlin, bound, later, (), 0) == datetime.fromisoformat("2026-10-25T02:05")


@given(st.lists(st.integers(0, 3_600), min_size=1, max_size=300, unique=True), st.data())
def test_a_sequence_is_read_above_what_a_settled_run_saw(
    clocks: list[int], data: st.DataObject
) -> None:
    ordering = Ordering(growth=Growth.SEQUENCE)
    marks: tuple[Mark, ...] = ()
    lower = None
    for clock in sorted(clocks):
        settled = data.draw(st.integers(0, clock))
        marks = with_mark(marks, Mark(at(clock), clock * 10), at(settled))
        bound = next_lower(ordering, lower, _moment(settled, clock), marks, 0)
        assert len(marks) <= MARKS_MAX + 1
        assert all(a.clock <= b.clock for a, b in pairwise(marks))
        if bound is not None:
            # What a transaction that began at `settled` was handed out is above.
            assert isinstance(bound, int)
            assert lower is None or bound >= lower
            assert bound <= max(settled * 10, lower or 0)
        lower = bound


def test_a_value_horizon_needs_no_clock() -> None:
    moment = Moment(at(10), at(10), True, "4711")
    assert next_lower(Ordering(growth=Growth.SEQUENCE), "12", moment, (), 60) == "4711"


def test_lateness_is_what_the_look_before_should_have_seen() -> None:
    clock = Ordering(growth=Growth.CLOCK)
    assert lateness_s(clock, at(90), at(100), ()) == 10
    assert lateness_s(clock, at(110), at(100), ()) == 0
    assert lateness_s(clock, "infinity", at(100), ()) == 0
    marks = (Mark(at(50), 500), Mark(at(90), 900))
    sequence = Ordering(growth=Growth.SEQUENCE)
    assert lateness_s(sequence, 400, at(100), marks) == 50
    assert lateness_s(sequence, 950, at(100), marks) == 0
