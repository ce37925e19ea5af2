"""Transactions come out whole or in parts, always in order, never mixed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.protocol.assembler import TransactionAssembler
from bridge.capture.protocol.pgoutput import PgOutputDecoder
from bridge.model.change import LogicalMessage, RowChange, TransactionPart
from bridge.model.errors import DecodeError
from tests.capture import frames

OID = 1


def assemble(messages: list[bytes], **limits: int) -> list[TransactionPart]:
    decoder = PgOutputDecoder()
    assembler = TransactionAssembler(**limits)  # type: ignore[arg-type]  # none is `stages`
    decoder.decode(frames.relation(OID, [("id", 23, True)]))
    fed = (assembler.feed(decoder.decode(message), len(message)) for message in messages)
    return [part for part in fed if part is not None]


def transaction(commit_lsn: int, count: int) -> list[bytes]:
    rows = [frames.insert(OID, [str(number)]) for number in range(count)]
    return [frames.begin(commit_lsn), *rows, frames.commit(commit_lsn, commit_lsn + 5)]


def test_a_small_transaction_is_one_final_part() -> None:
    (part,) = assemble(transaction(100, 3))
    assert (part.commit_lsn, part.end_lsn, part.final) == (100, 105, True)
    assert (part.first_ordinal, len(part.changes), part.xid) == (0, 3, 7)


def test_an_empty_transaction_still_has_an_end() -> None:
    (part,) = assemble(transaction(100, 0))
    assert (part.end_lsn, part.changes) == (105, [])


def test_a_wide_transaction_is_parted_by_bytes() -> None:
    parts = assemble(transaction(100, 6), bytes_max=80)
    assert len(parts) > 1
    assert sum(len(part.changes) for part in parts) == 6


def test_the_size_of_a_transaction_is_told_when_it_is_known() -> None:
    (part,) = assemble(transaction(100, 3))
    assert part.change_count == 3
    parts = assemble(transaction(100, 6), changes_max=4)
    assert [part.change_count for part in parts] == [None, 6]


def test_a_transaction_has_the_origin_that_it_was_told() -> None:
    with_origin = transaction(100, 1)
    with_origin.insert(1, frames.origin("berlin"))
    told = [part.origin for part in assemble([*with_origin, *transaction(200, 1)])]
    assert told == ["berlin", None]


def test_the_end_of_what_was_never_sent_changes_nothing() -> None:
    # PostgreSQL 18 sometimes tells it although streaming is off; the random workload met it.
    never_sent = [frames.stream_abort(825, 829), frames.stream_abort(825, 825)]
    messages = [*never_sent, *transaction(100, 2), *never_sent, *transaction(200, 1)]
    assert [part.commit_lsn for part in assemble(messages)] == [100, 200]


def test_a_message_takes_an_ordinal_like_a_row() -> None:
    first, message, second = (
        frames.insert(OID, ["1"]),
        frames.message(b"a", b"b"),
        frames.insert(OID, ["2"]),
    )
    (part,) = assemble([frames.begin(100), first, message, second, frames.commit(100, 105)])
    assert [type(change) for change in part.changes] == [RowChange, LogicalMessage, RowChange]


def test_a_message_outside_of_transactions_stands_for_itself() -> None:
    (part,) = assemble([frames.message(b"a", b"b", lsn=90, transactional=False)])
    assert (part.xid, part.commit_lsn, part.end_lsn, part.final) == (0, 89, 90, True)
    assert part.changes == [LogicalMessage(False, "a", b"b", 90)]


@given(st.lists(st.integers(0, 30), max_size=6), st.integers(1, 12))
def test_parts_are_bounded_and_lose_nothing(counts: list[int], changes_max: int) -> None:
    messages = [
        message
        for number, count in enumerate(counts)
        for message in transaction(100 * (number + 1), count)
    ]
    parts = assemble(messages, changes_max=changes_max)
    for number, count in enumerate(counts):
        mine = [part for part in parts if part.commit_lsn == 100 * (number + 1)]
        assert [part.final for part in mine] == [False] * (len(mine) - 1) + [True]
        assert all(len(part.changes) <= changes_max for part in mine)
        assert all((part.end_lsn is not None) == part.final for part in mine)
        numbered = [
            (part.first_ordinal + place, change.after)
            for part in mine
            for place, change in enumerate(part.changes)
            if isinstance(change, RowChange)
        ]
        assert numbered == [(ordinal, (str(ordinal),)) for ordinal in range(count)]


@pytest.mark.parametrize(
    "messages",
    [
        [frames.insert(OID, ["1"])],
        [frames.truncate(OID)],
        [frames.commit(100, 105)],
        [frames.begin(100), frames.begin(200)],
        [frames.begin(100), frames.commit(200, 205)],
    ],
)
def test_an_impossible_order_is_refused(messages: list[bytes]) -> None:
    with pytest.raises(DecodeError, match="cannot assemble"):
        assemble(messages)
