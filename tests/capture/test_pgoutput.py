"""Whatever the bytes are, decoding gives a message or a `DecodeError`, never anything else."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.pgoutput import PgOutputDecoder
from bridge.capture.pgoutput_messages import Begin, Commit, Origin, Truncate
from bridge.model.change import UNSENT, BeforeImage, Cell, ChangeKind, Relation, RowChange
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


CELLS = st.one_of(
    st.none(), st.just(UNSENT), st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
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
