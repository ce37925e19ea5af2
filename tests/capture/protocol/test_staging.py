"""Streamed frames become the parts that the ordinary form of the transaction would give."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import count
from typing import TypeAlias
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.protocol import staging
from bridge.capture.protocol.assembler import TransactionAssembler
from bridge.capture.protocol.pgoutput import PgOutputDecoder
from bridge.capture.protocol.staging import OwnerUnknown
from bridge.model.change import RowChange, TransactionPart
from bridge.model.errors import DecodeError, StorageUnavailable
from tests.capture import frames
from tests.capture.protocol.memory_stages import MemoryStages

OID = 16_385
NARROW = [("id", 23, True)]
WIDE = [("id", 23, True), ("note", 25, False)]


class Assembly:
    """A decoder, an assembler and stages in memory."""

    def __init__(
        self, *, any_undone: Callable[[Collection[int]], bool] | None = None, **limits: int
    ) -> None:
        self.decoder = PgOutputDecoder()
        self.stages = MemoryStages()
        self.assembler = TransactionAssembler(stages=self.stages, any_undone=any_undone, **limits)

    def feed(self, *messages: bytes) -> list[TransactionPart]:
        """Feed frames; return all parts that come of it."""
        parts = []
        for message in messages:
            part = self.assembler.feed(self.decoder.decode(message), len(message))
            while part is not None:
                parts.append(part)
                part = self.assembler.next_part()
        return parts


def rows(parts: list[TransactionPart]) -> list[tuple[int, object]]:
    return [
        (part.first_ordinal + place, change.after if isinstance(change, RowChange) else change)
        for part in parts
        for place, change in enumerate(part.changes)
    ]


def block(xid: int, *inside: bytes, first: bool = True) -> list[bytes]:
    return [frames.stream_start(xid, first=first), *inside, frames.stream_stop()]


def described(xid: int, columns: list[tuple[str, int, bool]] = NARROW) -> bytes:
    return frames.streamed(xid, frames.relation(OID, columns))


def row(xid: int, *cells: str) -> bytes:
    return frames.streamed(xid, frames.insert(OID, list(cells)))


def test_a_streamed_transaction_comes_at_its_commit() -> None:
    assembly = Assembly()
    assert not assembly.feed(*block(700, described(700), row(700, "1")))
    assert not assembly.assembler.in_transaction, "the acknowledgement does not wait for it"
    assert not assembly.feed(*block(700, row(701, "2"), first=False))
    (part,) = assembly.feed(frames.stream_commit(700, 100, 140))
    assert (part.xid, part.commit_lsn, part.end_lsn, part.final) == (700, 100, 140, True)
    assert (part.first_ordinal, part.change_count) == (0, 2)
    assert rows([part]) == [(0, ("1",)), (1, ("2",))]
    assert assembly.stages.kept == 0


def test_nothing_is_acknowledged_in_the_middle_of_a_block_or_of_giving_parts() -> None:
    assembly = Assembly(changes_max=1)
    decode, assembler = assembly.decoder.decode, assembly.assembler
    states: list[tuple[bool, bool]] = []

    def note() -> None:
        states.append((assembler.in_transaction, assembler.is_leaving))

    assembler.feed(decode(frames.stream_start(700)), 0)
    note()
    assembly.feed(described(700), row(700, "1"), row(700, "2"), frames.stream_stop())
    note()
    parts = [assembler.feed(decode(frames.stream_commit(700, 100, 140)), 0)]
    note()
    parts.append(assembler.next_part())
    note()
    assert states == [(True, False), (False, False), (True, True), (False, False)]
    assert [part and part.final for part in parts] == [False, True]
    assert assembler.next_part() is None


def test_two_streamed_transactions_and_an_ordinary_one_are_kept_apart() -> None:
    assembly = Assembly()
    assembly.feed(*block(700, described(700), row(700, "1")))
    assembly.feed(*block(800, described(800), row(800, "2")))
    begun = assembly.feed(
        frames.begin(90, xid=750), frames.insert(OID, ["3"]), frames.commit(90, 95)
    )
    assert [(part.xid, rows([part])) for part in begun] == [(750, [(0, ("3",))])]
    assembly.feed(*block(700, row(700, "4"), first=False))
    (late,) = assembly.feed(frames.stream_commit(800, 100, 140))
    assert rows([late]) == [(0, ("2",))]
    (later,) = assembly.feed(frames.stream_commit(700, 150, 190))
    assert rows([later]) == [(0, ("1",)), (1, ("4",))]


def test_a_rollback_of_the_whole_leaves_nothing() -> None:
    assembly = Assembly()
    assembly.feed(*block(700, described(700), row(700, "1")), frames.stream_abort(700, 700))
    assert assembly.stages.kept == 0
    with pytest.raises(DecodeError, match="no block of streamed transaction 700"):
        assembly.feed(frames.stream_commit(700, 100, 140))


def test_a_shape_outlives_the_savepoint_that_it_came_in() -> None:
    assembly = Assembly()
    assembly.feed(*block(700, described(701, WIDE), row(701, "1", "a")))
    assembly.feed(frames.stream_abort(700, 701))
    assembly.feed(*block(700, row(700, "2", "b"), first=False))
    (part,) = assembly.feed(frames.stream_commit(700, 100, 140))
    assert rows([part]) == [(0, ("2", "b"))]


def test_each_row_is_decoded_in_the_shape_of_its_place() -> None:
    assembly = Assembly()
    assembly.feed(
        *block(700, described(700), row(700, "1"), described(701, WIDE), row(701, "2", "b"))
    )
    assembly.feed(frames.stream_abort(700, 701))
    assembly.feed(*block(700, described(700), row(700, "3"), first=False))
    # Meanwhile another transaction is described differently.
    assembly.feed(frames.relation(OID, WIDE))
    (part,) = assembly.feed(frames.stream_commit(700, 100, 140))
    assert rows([part]) == [(0, ("1",)), (1, ("3",))]


def test_xids_that_wrap_around_keep_their_order() -> None:
    top, sub = 2**32 - 2, 5
    assembly = Assembly()
    assembly.feed(*block(top, described(top), row(top, "1"), row(sub, "2"), row(sub + 1, "3")))
    assembly.feed(frames.stream_abort(top, sub + 1), frames.stream_abort(top, sub))
    (part,) = assembly.feed(frames.stream_commit(top, 100, 140))
    assert (part.xid, rows([part])) == (top, [(0, ("1",))])


def test_rows_of_a_savepoint_are_looked_up_at_the_commit() -> None:
    asked: list[Collection[int]] = []
    undone: set[int] = set()

    def any_undone(xids: Collection[int]) -> bool:
        asked.append(set(xids))
        return not undone.isdisjoint(xids)

    assembly = Assembly(any_undone=any_undone)
    assembly.feed(*block(700, described(700), row(700, "1")), frames.stream_commit(700, 100, 140))
    assert asked == []
    rows_of_four = [row(700, "1"), row(701, "2"), row(702, "3"), row(703, "4")]
    assembly.feed(*block(700, described(700), *rows_of_four), frames.stream_abort(700, 702))
    assembly.feed(frames.stream_commit(700, 200, 240))
    assert asked == [{701}]
    # Nobody told that 701 was rolled back.
    undone.add(701)
    assembly.feed(*block(700, described(700), row(700, "1"), row(701, "2")))
    with pytest.raises(OwnerUnknown, match="the server did not say so"):
        assembly.feed(frames.stream_commit(700, 300, 340))


def test_more_savepoints_than_can_be_looked_up_are_not_trusted() -> None:
    assembly = Assembly()
    with patch.object(staging, "SUB_XIDS_MAX", 2):
        assembly.feed(*block(700, described(700), *(row(700 + n, "1") for n in range(4))))
        with pytest.raises(OwnerUnknown, match="sub-transactions"):
            assembly.feed(frames.stream_commit(700, 100, 140))


def test_a_message_that_may_have_been_undone_is_not_guessed() -> None:
    assembly = Assembly()
    told = frames.streamed(700, frames.message(b"app", b"x"))
    assembly.feed(*block(700, described(700), row(700, "1"), told, row(701, "2")))
    assembly.feed(frames.stream_abort(700, 701))
    with pytest.raises(OwnerUnknown, match="right before a savepoint that was rolled back"):
        assembly.feed(frames.stream_commit(700, 100, 140))


def test_a_message_between_rows_belongs_where_they_do() -> None:
    assembly = Assembly()
    told = frames.streamed(700, frames.message(b"app", b"x"))
    kept, undone = [told, row(700, "1")], [row(701, "2"), told, row(702, "3")]
    assembly.feed(*block(700, described(700), *kept, *undone))
    # The inner one alone would leave the second message in doubt; the outer one settles it.
    assembly.feed(frames.stream_abort(700, 702), frames.stream_abort(700, 701))
    (part,) = assembly.feed(frames.stream_commit(700, 100, 140))
    assert [type(change).__name__ for change in part.changes] == ["LogicalMessage", "RowChange"]


def test_a_truncate_counts_a_change_per_table() -> None:
    assembly = Assembly()
    assembly.feed(frames.relation(OID + 1, NARROW, table="u"))
    inside = [described(700), frames.streamed(700, frames.relation(OID + 1, NARROW, table="u"))]
    truncate = frames.streamed(700, frames.truncate(OID, OID + 1, options=3))
    assembly.feed(*block(700, *inside, truncate, row(701, "1"), row(702, "2")))
    assembly.feed(frames.stream_abort(700, 702))
    (part,) = assembly.feed(frames.stream_commit(700, 100, 140))
    assert (part.change_count, len(part.changes)) == (3, 3)


def test_the_origin_of_a_streamed_transaction() -> None:
    assembly = Assembly()
    assembly.feed(*block(700, frames.origin("berlin"), described(700), row(700, "1")))
    (part,) = assembly.feed(frames.stream_commit(700, 100, 140))
    assert part.origin == "berlin"


def test_a_damaged_stage_is_noticed_and_read_again() -> None:
    assembly = Assembly()
    assembly.feed(*block(700, described(700), row(700, "1234")))
    assembly.stages.stages[700].data[-1] ^= 1
    with pytest.raises(StorageUnavailable, match=r"are not the \d+ that were written"):
        assembly.feed(frames.stream_commit(700, 100, 140))


def test_a_row_that_cannot_be_decoded_is_named_with_its_place() -> None:
    assembly = Assembly()
    bad = frames.streamed(700, frames.frame(b"I" + OID.to_bytes(4) + b"N\0\1x", lsn=0xAB))
    assembly.feed(*block(700, described(700), bad))
    with pytest.raises(DecodeError, match="'I' at 0/AB: unknown cell kind 'x'"):
        assembly.feed(frames.stream_commit(700, 100, 140))


@pytest.mark.parametrize(
    "messages",
    [
        [frames.stream_stop()],
        [frames.stream_commit(700, 100, 140)],
        [*block(700), *block(700)],
        block(700, first=False),
        [frames.begin(90), frames.stream_start(700)],
        [frames.stream_start(700), frames.begin(90)],
        [frames.begin(90), frames.stream_abort(700, 701)],
        [frames.begin(90), frames.message(b"p", b"", transactional=False)],
        [frames.message(b"p", b"")],
    ],
)
def test_an_impossible_order_is_refused(messages: list[bytes]) -> None:
    with pytest.raises(DecodeError):
        Assembly().feed(*messages)


class Wire:
    """What a server sends of one transaction with savepoints, in both forms."""

    def __init__(self, columns: list[tuple[str, int, bool]]) -> None:
        self.xids = count(700)
        self.top = next(self.xids)
        self.streamed: list[bytes] = block(self.top, described(self.top, columns))
        self._values = count()

    def write(self, xid: int, number: int) -> list[str]:
        """Stream a block of rows; return them."""
        values = [str(next(self._values)) for _ in range(number)]
        inside = [row(xid, value) for value in values]
        self.streamed += block(self.top, *inside, first=False)
        return values


Life: TypeAlias = tuple[int, Sequence["Life"], bool]
"""A savepoint's: how many rows it writes, what happens inside, whether it is kept."""

SAVEPOINTS = st.recursive(
    st.tuples(st.integers(0, 4), st.just(()), st.booleans()),
    lambda inner: st.tuples(st.integers(0, 4), st.lists(inner, max_size=3), st.booleans()),
    max_leaves=12,
)


def live(wire: Wire, xid: int, life: Life, gone: list[int]) -> list[str]:
    """Send a sub-transaction; return the rows that are left, name in `gone` what it undoes."""
    number, inner, keep = life
    mine = [xid]
    values = wire.write(xid, number)
    for inside in inner:
        below: list[int] = []
        values += live(wire, next(wire.xids), inside, below)
        mine = [*below, *mine]
        values += wire.write(xid, number)
    if keep:
        gone += mine
        return values
    # Children first, as the server does, released ones among them.
    wire.streamed += [frames.stream_abort(wire.top, sub) for sub in mine]
    return []


def parted(values: list[str], changes_max: int) -> Iterator[int]:
    left = len(values)
    while left > changes_max:
        yield changes_max
        left -= changes_max
    yield left


@given(st.lists(SAVEPOINTS, max_size=5), st.integers(1, 9), st.sampled_from([40, 300, 256 * 1024]))
def test_savepoints_leave_what_was_kept(lives: list[Life], changes_max: int, segment: int) -> None:
    wire = Wire(NARROW)
    values: list[str] = []
    for life in lives:
        values += wire.write(wire.top, 1)
        values += live(wire, next(wire.xids), life, [])
    with patch.object(staging, "SEGMENT_BYTES_MAX", segment):
        assembly = Assembly(changes_max=changes_max)
        assert not assembly.feed(*wire.streamed)
        parts = assembly.feed(frames.stream_commit(wire.top, 100, 140))
    assert rows(parts) == [(ordinal, (value,)) for ordinal, value in enumerate(values)]
    assert [len(part.changes) for part in parts] == list(parted(values, changes_max))
    assert {part.change_count for part in parts} == {len(values)}
    assert [part.final for part in parts] == [False] * (len(parts) - 1) + [True]
