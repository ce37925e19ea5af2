"""Cursor, frames, ids, spool and backoff: what goes in comes out."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.capture.cursor import (
    CaptureCursor,
    PartMark,
    SnapshotMark,
    SpoolMark,
    TableMark,
    format_cursor,
    parse_cursor,
)
from bridge.capture.mapping.change_mapper import ChangeMapper
from bridge.capture.ports import Received
from bridge.capture.protocol.walsender import decode_keepalive, encode_status
from bridge.capture.service import backoff_s
from bridge.capture.snapshot.keyless import split
from bridge.capture.snapshot.spool import RowSpool
from bridge.model.change import (
    BeforeImage,
    Cell,
    ChangeKind,
    Column,
    Relation,
    Row,
    RowChange,
    TransactionPart,
)
from bridge.model.errors import DecodeError, LogCorrupt
from tests.capture.running import PlainContracts

TIME = datetime(2026, 3, 4, 5, 6, 7, 890, tzinfo=UTC)
LSNS = st.integers(0, 2**64 - 1)
TEXTS = st.text(max_size=20)

MARKS = st.builds(
    SnapshotMark,
    done=st.lists(TEXTS, max_size=3).map(tuple),
    next_ordinal=st.integers(0, 2**32),
    table=st.none()
    | st.builds(TableMark, table=TEXTS, after=st.lists(TEXTS, max_size=3).map(tuple)),
    spool=st.none()
    | st.builds(
        SpoolMark, table=TEXTS, position=LSNS, taken_at=st.just(TIME), offset=st.integers(0)
    ),
)
CURSORS = st.builds(
    CaptureCursor,
    system_id=TEXTS,
    timeline=st.integers(0),
    end_lsn=LSNS,
    part=st.none() | st.builds(PartMark, commit_lsn=LSNS, next_ordinal=st.integers(0)),
    snapshot=MARKS,
    shapes=st.none() | TEXTS,
)


@given(CURSORS)
def test_a_cursor_comes_back(cursor: CaptureCursor) -> None:
    assert parse_cursor(format_cursor(cursor)) == cursor


@given(st.binary(max_size=30) | st.sampled_from([b"{}", b"[]", b"null", b'{"part":1}']))
def test_a_damaged_cursor_is_named(state: bytes) -> None:
    with pytest.raises(LogCorrupt, match="cannot read a source's cursor"):
        parse_cursor(state)


def test_a_cursor_never_goes_back() -> None:
    with pytest.raises(AssertionError, match="went back"):
        CaptureCursor(system_id="1", timeline=1, end_lsn=5).moved(end_lsn=4)


def test_a_status_reports_one_position_three_times() -> None:
    status = encode_status(0x1_0000_0002, unix_time_us=946_684_800_000_003, reply_now=True)
    position = b"\0\0\0\1\0\0\0\2"
    assert status == b"r" + position * 3 + b"\0\0\0\0\0\0\0\3" + b"\1"


@given(st.binary(max_size=40))
def test_a_keepalive_or_an_error(noise: bytes) -> None:
    frame = b"k" + noise
    if len(noise) == 17:
        assert decode_keepalive(frame).position == int.from_bytes(noise[:8])
    else:
        with pytest.raises(DecodeError):
            decode_keepalive(frame)


CELLS: st.SearchStrategy[Cell] = TEXTS | st.none()
ROWS: st.SearchStrategy[list[Row]] = st.lists(st.lists(CELLS, max_size=4).map(tuple), max_size=30)


@settings(max_examples=30)
@given(ROWS, st.integers(1, 7))
def test_a_spool_gives_its_rows_from_any_place(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], rows_max: int
) -> None:
    spool = RowSpool(tmp_path_factory.mktemp("spool"), "shop", "public.t")
    spool.write(RELATION, [rows[:10], rows[10:]])
    assert spool.relation() == RELATION
    offsets = [(0, 0)]
    read: list[Row] = []
    for chunk, offset in spool.read(0, rows_max):
        read += chunk
        offsets.append((len(read), offset))
    assert read == rows
    for count, offset in offsets:
        assert [row for chunk, _ in spool.read(offset, rows_max) for row in chunk] == rows[count:]


def test_a_spool_is_private_and_can_go_missing(tmp_path: Path) -> None:
    spool = RowSpool(tmp_path, "shop", "public.t")
    spool.write(RELATION, [[("1",)]])
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    spool.remove()
    with pytest.raises(LogCorrupt, match=r"its spool .* is gone"):
        list(spool.read(0, 1))


RELATION = Relation(
    oid=1,
    schema="public",
    table="t",
    identity="d",
    columns=(Column(name="id", type_oid=23, type_modifier=-1, is_key=True),),
)


def part(commit_lsn: int, count: int, first_ordinal: int = 0) -> TransactionPart:
    changes = [
        RowChange(ChangeKind.CREATED, RELATION, None, BeforeImage.NONE, (str(n),))
        for n in range(count)
    ]
    return TransactionPart(9, commit_lsn, TIME, first_ordinal, changes, True, commit_lsn + 1)


def test_ids_come_from_the_source_alone() -> None:
    """Golden: consumers keep these ids; they must never change."""
    mapper = ChangeMapper("shop", PlainContracts("public.t"))
    drafts = mapper.part_drafts(part(0x16_B374D848, 3, 255), "2026-01-01T00:00:00Z")
    assert [draft.entry_id for draft in drafts] == [
        "shop:00000016B374D848:000000FF",
        "shop:00000016B374D848:00000100",
        "shop:00000016B374D848:00000101",
    ]
    assert drafts[0].fields == {
        "actor": {"known": "unknown"},
        "source": "urn:legacy-bridge:shop",
        "type": "com.example.plain",
        "dataschema": "urn:legacy-bridge:contract:shop.plain:1.0",
        "time": "2026-03-04T05:06:07.000890Z",
        "recordedtime": "2026-01-01T00:00:00Z",
        "legacy": {
            "system": "postgresql",
            "lsn": "16/B374D848",
            "xid": 9,
            "table": "public.t",
            "op": "created",
        },
    }
    (read,) = mapper.read_drafts(
        RELATION,
        [("1",)],
        position=0x16_B374D848,
        first_ordinal=10,
        taken_at=TIME,
        recorded_time="2026-01-01T00:00:00Z",
    )
    assert read.entry_id == "shop:00000016B374D847:R0000000A"


def test_skipped_changes_keep_their_numbers() -> None:
    mapper = ChangeMapper("shop", PlainContracts("public.t"))
    drafts = mapper.part_drafts(part(1, 5), "", skip_before=3)
    assert [draft.entry_id[-1] for draft in drafts] == ["3", "4"]
    assert mapper.part_drafts(part(1, 5), "", skip_tables=frozenset({"public.t"})) == []


def test_a_read_is_split_before_the_first_later_commit() -> None:
    parts = [part(10, 1), part(20, 1), part(30, 1)]
    received = Received(parts, 31)
    assert split(received, 20) == (Received(parts[:1], None), Received(parts[1:], 31))
    assert split(received, 5) == (Received([], None), received)
    assert split(received, 31) == (received, None)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_is_bounded(attempt: int, chance: float) -> None:
    assert 0.1 <= backoff_s(attempt, chance) <= 10
