"""Whatever the bytes are, decoding gives a message or a `DecodeError`, never anything else."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.protocol.pgoutput import PgOutputDecoder
from bridge.capture.protocol.pgoutput_messages import (
    Begin,
    Commit,
    Origin,
    StandaloneMessage,
    StreamAbort,
    StreamCommit,
    StreamedFrame,
    StreamedRelation,
    StreamStart,
    StreamStop,
    Truncate,
)
from bridge.capture.protocol.walsender import EPOCH
from bridge.model.change import (
    UNSENT,
    BeforeImage,
    Cell,
    ChangeKind,
    LogicalMessage,
    Relation,
    RowChange,
    Truncation,
)
from bridge.model.errors import DecodeError
from tests.capture import frames

OID = 16_385
COLUMNS = [("id", 23, True), ("name", 25, False), ("note", 25, False)]


def primed() -> PgOutputDecoder:
    decoder = PgOutputDecoder()
    decoder.decode(frames.relation(OID, COLUMNS))
    return decoder


def row_change(message: object) -> RowChange:
    assert isinstance(message, RowChange)
    return message


def test_begin_and_commit() -> None:
    decoder = PgOutputDecoder()
    assert decoder.decode(frames.begin(100, xid=42, clock_us=1_500_000)) == Begin(
        100, datetime(2000, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC), 42
    )
    assert decoder.decode(frames.commit(100, 140)) == Commit(100, 140)


def test_relation_says_shape_and_identity() -> None:
    message = PgOutputDecoder().decode(frames.relation(OID, COLUMNS, identity=b"f"))
    assert isinstance(message, Relation)
    assert (message.oid, message.name, message.identity) == (OID, "public.t", "f")
    assert [(c.name, c.type_oid, c.is_key) for c in message.columns] == COLUMNS


def test_a_repeated_relation_is_the_same_object() -> None:
    decoder = PgOutputDecoder()
    first = decoder.decode(frames.relation(OID, COLUMNS))
    assert decoder.decode(frames.relation(OID, COLUMNS)) is first
    assert decoder.decode(frames.relation(OID, COLUMNS[:2])) is not first


def test_insert_keeps_null_apart_from_empty_text() -> None:
    change = row_change(primed().decode(frames.insert(OID, ["1", "", None])))
    assert change.kind is ChangeKind.CREATED
    assert change.after == ("1", "", None)
    assert (change.before, change.before_image) == (None, BeforeImage.NONE)


def test_update_with_unchanged_toast() -> None:
    change = row_change(primed().decode(frames.update(OID, ["1", "ä", UNSENT])))
    assert change.kind is ChangeKind.UPDATED
    assert change.after == ("1", "ä", UNSENT)
    assert change.before is None


def test_key_change_sends_only_the_key_of_the_old_row() -> None:
    message = frames.update(OID, ["2", "a", None], old=["1", None, None])
    change = row_change(primed().decode(message))
    assert change.before == ("1", UNSENT, UNSENT)
    assert change.before_image is BeforeImage.KEY
    assert change.after == ("2", "a", None)


def test_full_identity_sends_the_old_row_with_its_nulls() -> None:
    message = frames.update(OID, ["1", "b", None], old=["1", "a", None], how=b"O")
    change = row_change(primed().decode(message))
    assert change.before == ("1", "a", None)
    assert change.before_image is BeforeImage.FULL


def test_a_full_old_row_fills_what_is_unchanged() -> None:
    message = frames.update(OID, ["1", "b", UNSENT], old=["1", None, "long"], how=b"O")
    assert row_change(primed().decode(message)).after == ("1", "b", "long")


def test_delete() -> None:
    change = row_change(primed().decode(frames.delete(OID, ["1", None, None])))
    assert change.kind is ChangeKind.DELETED
    assert (change.before, change.after) == (("1", UNSENT, UNSENT), None)


def test_truncate_is_a_change_per_table() -> None:
    decoder = primed()
    decoder.decode(frames.relation(OID + 1, COLUMNS, table="u"))
    message = decoder.decode(frames.truncate(OID, OID + 1))
    assert isinstance(message, Truncate)
    assert [(c.kind, c.relation.table) for c in message.changes] == [
        (ChangeKind.TRUNCATED, "t"),
        (ChangeKind.TRUNCATED, "u"),
    ]


def test_a_truncate_says_how() -> None:
    for options, truncation in enumerate(
        [
            Truncation(cascade=False, restart_identity=False),
            Truncation(cascade=True, restart_identity=False),
            Truncation(cascade=False, restart_identity=True),
            Truncation(cascade=True, restart_identity=True),
        ]
    ):
        message = primed().decode(frames.truncate(OID, options=options))
        assert isinstance(message, Truncate)
        assert message.changes[0].truncation == truncation


def test_messages_of_both_kinds() -> None:
    inside = frames.message(b"app", b"\x00\xff", lsn=90)
    assert PgOutputDecoder().decode(inside) == LogicalMessage(True, "app", b"\x00\xff", 90)
    outside = frames.message(b"\xfcber", b"x", lsn=90, transactional=False)
    assert PgOutputDecoder().decode(outside) == StandaloneMessage(
        LogicalMessage(False, "\\xfcber", b"x", 90), EPOCH
    )


def test_what_is_not_utf_8_is_bytes_and_the_rest_is_text() -> None:
    row: list[Cell] = ["1", b"caf\xe9", None]
    assert row_change(primed().decode(frames.insert(OID, row))).after == ("1", b"caf\xe9", None)
    change = row_change(
        primed().decode(frames.update(OID, ["1", UNSENT, b"\xff"], old=row, how=b"O"))
    )
    assert change.before == ("1", b"caf\xe9", None)
    assert change.after == ("1", b"caf\xe9", b"\xff")


def test_a_block_hands_rows_on_undecoded() -> None:
    decoder = primed()
    assert decoder.decode(frames.stream_start(700)) == StreamStart(700, True)
    row = frames.streamed(701, frames.insert(OID, ["1"]))
    assert decoder.decode(row) == StreamedFrame(701, row, 1)
    truncate = frames.streamed(701, frames.truncate(OID, OID))
    assert decoder.decode(truncate) == StreamedFrame(701, truncate, 2)
    shape = decoder.decode(frames.streamed(701, frames.relation(OID, COLUMNS)))
    assert isinstance(shape, StreamedRelation)
    assert decoder.decode(frames.streamed(701, frames.type_name())) is None
    with pytest.raises(DecodeError, match="unknown message in a streamed block"):
        decoder.decode(frames.begin(100))
    assert decoder.decode(frames.stream_stop()) == StreamStop()
    assert decoder.decode(frames.stream_commit(700, 100, 140)) == StreamCommit(700, 100, 140, EPOCH)
    assert decoder.decode(frames.stream_abort(700, 701)) == StreamAbort(700, 701)


def test_an_origin_is_told_and_a_type_name_changes_nothing() -> None:
    assert PgOutputDecoder().decode(frames.origin("berlin")) == Origin("berlin")
    assert PgOutputDecoder().decode(frames.type_name()) is None


MESSAGES = {
    "begin": frames.begin(100),
    "commit": frames.commit(100, 140),
    "relation": frames.relation(OID, COLUMNS),
    "insert": frames.insert(OID, ["1", "näme", None]),
    "update": frames.update(OID, ["1", "name", UNSENT]),
    "update with key": frames.update(OID, ["2", "name", UNSENT], old=["1", None, None]),
    "update with old row": frames.update(OID, ["2", "n", None], old=["1", "o", None], how=b"O"),
    "delete": frames.delete(OID, ["1", None, None]),
    "truncate": frames.truncate(OID),
    "origin": frames.origin(),
    "type": frames.type_name(),
    "not UTF-8": frames.insert(OID, ["1", b"\xff", b"n\xc3"]),
    "message": frames.message(b"app", b"content"),
    "message outside": frames.message(b"app", b"content", transactional=False),
    "stream start": frames.stream_start(700),
    "stream commit": frames.stream_commit(700, 100, 140),
    "stream abort": frames.stream_abort(700, 701),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_cut_at_every_byte(name: str) -> None:
    whole = MESSAGES[name]
    for length in range(len(whole)):
        with pytest.raises(DecodeError):
            primed().decode(whole[:length])


@pytest.mark.parametrize("name", MESSAGES)
def test_one_byte_too_many(name: str) -> None:
    with pytest.raises(DecodeError, match="1 bytes too many"):
        primed().decode(MESSAGES[name] + b"\0")


@given(st.binary(max_size=80))
def test_random_frames(noise: bytes) -> None:
    with contextlib.suppress(DecodeError):
        primed().decode(frames.frame(noise))


@given(st.sampled_from(sorted(MESSAGES)), st.data())
def test_one_wrong_byte(name: str, data: st.DataObject) -> None:
    damaged = bytearray(MESSAGES[name])
    place = data.draw(st.integers(25, len(damaged) - 1))
    damaged[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        primed().decode(bytes(damaged))


def _is_text(value: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        value.decode()
        return True
    return False


CELLS = st.one_of(
    st.none(),
    st.just(UNSENT),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.binary(max_size=9).filter(lambda value: not _is_text(value)),
)


@given(st.lists(CELLS, max_size=40))
def test_rows_come_back_as_they_were_sent(row: list[Cell]) -> None:
    decoder = PgOutputDecoder()
    decoder.decode(frames.relation(OID, [(f"c{n}", 25, False) for n in range(len(row))]))
    assert row_change(decoder.decode(frames.insert(OID, row))).after == tuple(row)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (
            frames.frame(b"U" + OID.to_bytes(4) + b"N\0\3n"),
            r"'U' at 16/B374D848: the row goes on beyond the end of the message \(offset 9\)",
        ),
        (
            frames.frame(b"I\0\0"),
            r"'I' at 16/B374D848: 2 bytes left, relation OID needs 4 \(offset 1\)",
        ),
        (frames.insert(99, []), "relation 99 was never described"),
        (frames.insert(OID, ["1"]), "1 columns, the relation has 3"),
        (frames.frame(b"I" + OID.to_bytes(4) + b"K\0\0"), "tuple kind 'K' where 'N' is due"),
        (frames.frame(b"I" + OID.to_bytes(4) + b"N\0\3x"), "unknown cell kind 'x'"),
        (frames.frame(b"!"), "unknown message"),
        (frames.begin(1, clock_us=2**62), "commit time is beyond the year 9999"),
    ],
)
def test_errors_say_what_and_where(message: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        primed().decode(message)


def test_an_error_does_not_quote_the_row() -> None:
    message = frames.insert(OID, ["1", "canary", None])[:-1] + b"x"
    with pytest.raises(DecodeError) as caught:
        primed().decode(message)
    assert "canary" not in str(caught.value)
