"""Transactions come out whole or in parts, always in order, never mixed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.assembler import TransactionAssembler
from bridge.capture.pgoutput import PgOutputDecoder
from bridge.model.change import RowChange, TransactionPart
from bridge.model.errors import DecodeError
from tests.capture import frames

OID = 1


def assemble(messages: list[bytes], **limits: int) -> list[TransactionPart]:
    decoder, assembler = PgOutputDecoder(), TransactionAssembler(**limits)
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
