"""What is read ahead is bounded by what the reads hold, and comes out in order."""

import threading
from datetime import UTC, datetime

from bridge.capture.ports import Received
from bridge.capture.read_ahead import READS_MAX, ReadAhead
from bridge.model.change import BeforeImage, ChangeKind, Relation, RowChange, TransactionPart

RELATION = Relation(oid=1, schema="public", table="t", identity="d", columns=())
CHANGE = RowChange(ChangeKind.CREATED, RELATION, None, BeforeImage.NONE, ())


def read(number: int, *, changes: int = 1, size: int = 0) -> Received:
    part = TransactionPart(
        1, number, datetime(2024, 12, 1, tzinfo=UTC), 0, [CHANGE] * changes, True, number + 1
    )
    return Received([part], number, size)


def filled(ahead: ReadAhead, reads: list[Received]) -> int:
    """Put reads until there is no room; return how many went in."""
    return next((n for n, one in enumerate(reads) if not ahead.put(one, 0)), len(reads))


def test_small_reads_may_be_many() -> None:
    ahead = ReadAhead(changes_max=100, bytes_max=1_000)
    assert filled(ahead, [read(number) for number in range(200)]) == 100
    taken = [ahead.take(0) for _ in range(100)]
    assert [one.position for one in taken if one is not None] == list(range(100))
    assert ahead.take(0) is None
    assert ahead.is_empty


def test_bytes_and_positions_are_bounded_too() -> None:
    ahead = ReadAhead(changes_max=100, bytes_max=1_000)
    assert filled(ahead, [read(number, size=400) for number in range(9)]) == 3
    idle = ReadAhead(changes_max=100, bytes_max=1_000)
    assert filled(idle, [Received([], number) for number in range(READS_MAX + 5)]) == READS_MAX


def test_a_read_larger_than_the_bound_still_passes() -> None:
    ahead = ReadAhead(changes_max=100, bytes_max=1_000)
    assert ahead.put(read(1, changes=500, size=9_000), 0)
    assert not ahead.put(read(2), 0)
    assert ahead.take(0) is not None
    assert ahead.put(read(2), 0)


def test_who_waits_is_woken() -> None:
    ahead = ReadAhead(changes_max=1, bytes_max=1_000)
    taken: list[Received | None] = []
    taker = threading.Thread(target=lambda: taken.extend(ahead.take(30) for _ in range(3)))
    taker.start()
    assert all(ahead.put(read(number), 30) for number in range(3))
    taker.join(30)
    assert [one.position for one in taken if one is not None] == [0, 1, 2]
