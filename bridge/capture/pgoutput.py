"""Decode pgoutput messages (protocol version 1, text mode).

The decoder knows only what the stream said: shapes come from Relation messages, never from the
catalog, so an old row is read with the shape that it was written under. Each relation gets its
own row decoder when its shape arrives; that one runs once per row and does nothing else.

Whatever the bytes are, the result is a message or a `DecodeError` that names the message's tag,
its LSN and the offset in the message.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple, NoReturn, TypeAlias

from bridge.capture.tuples import Malformed, RowDecoder, row_decoder, short
from bridge.capture.walsender import (
    PAYLOAD_OFFSET,
    XLOG_DATA,
    decode_clock,
    frame_position,
)
from bridge.model.change import (
    UNSENT,
    BeforeImage,
    ChangeKind,
    Column,
    Relation,
    Row,
    RowChange,
)
from bridge.model.errors import DecodeError
from bridge.model.lsn import format_lsn


class Begin(NamedTuple):
    """A committed transaction follows; its commit record stands at `commit_lsn`."""

    commit_lsn: int
    commit_time: datetime
    xid: int


class Commit(NamedTuple):
    """The transaction is complete; confirm `end_lsn`, never `commit_lsn`."""

    commit_lsn: int
    end_lsn: int


class Truncate(NamedTuple):
    """One TRUNCATE statement: a change per table, in the statement's order."""

    changes: tuple[RowChange, ...]


Message: TypeAlias = RowChange | Begin | Commit | Truncate | Relation | None
"""None: a message that changes nothing for us (origin, type name)."""

_OID_OFFSET: Final = PAYLOAD_OFFSET + 1
_TUPLE_OFFSET: Final = PAYLOAD_OFFSET + 5
_ROW_OFFSET: Final = PAYLOAD_OFFSET + 6

_NEW: Final = b"N"
_OLD_KEY: Final = b"K"
_OLD_FULL: Final = b"O"


class _Cursor:
    """Checked reads over one frame, for all messages but the cells of a row."""

    def __init__(self, frame: bytes) -> None:
        self._frame = frame
        self.offset = PAYLOAD_OFFSET + 1

    def integer(self, size: int, what: str, *, signed: bool = False) -> int:
        start, end = self.offset, self.offset + size
        if end > len(self._frame):
            raise short(self._frame, start, what, size)
        self.offset = end
        return int.from_bytes(self._frame[start:end], signed=signed)

    def text(self, what: str) -> str:
        start = self.offset
        end = self._frame.find(b"\0", start)
        if end < 0:
            raise Malformed(start, f"{what} has no end")
        self.offset = end + 1
        try:
            return self._frame[start:end].decode()
        except UnicodeDecodeError as exc:
            raise Malformed(start, f"{what} is not UTF-8") from exc

    def time(self, what: str) -> datetime:
        start = self.offset
        try:
            return decode_clock(self.integer(8, what, signed=True))
        except OverflowError as exc:
            raise Malformed(start, f"{what} is beyond the year 9999") from exc


class PgOutputDecoder:
    """Turns XLogData frames into messages; remembers the shapes of one replication session."""

    def __init__(self) -> None:
        # By the four bytes of the OID, as each row message repeats them.
        self._relations: dict[bytes, tuple[Relation, RowDecoder]] = {}

    def decode(self, frame: bytes) -> Message:
        """Return the message in an XLogData `frame`, or raise `DecodeError`."""
        try:
            if len(frame) <= PAYLOAD_OFFSET or frame[0] != XLOG_DATA:
                raise Malformed(0, "not an XLogData frame with a message in it")
            handler = _HANDLERS.get(frame[PAYLOAD_OFFSET])
            if handler is None:
                raise Malformed(PAYLOAD_OFFSET, "unknown message")
            message, end = handler(self, frame)
            if end != len(frame):
                raise Malformed(end, f"{len(frame) - end} bytes too many")
        except Malformed as exc:
            _refuse(frame, exc)
        return message

    def _begin(self, frame: bytes) -> tuple[Begin, int]:
        cursor = _Cursor(frame)
        commit_lsn = cursor.integer(8, "commit LSN")
        commit_time = cursor.time("commit time")
        return Begin(commit_lsn, commit_time, cursor.integer(4, "xid")), cursor.offset

    def _commit(self, frame: bytes) -> tuple[Commit, int]:
        cursor = _Cursor(frame)
        cursor.integer(1, "flags")
        commit_lsn = cursor.integer(8, "commit LSN")
        end_lsn = cursor.integer(8, "end LSN")
        cursor.time("commit time")
        return Commit(commit_lsn, end_lsn), cursor.offset

    def _origin(self, frame: bytes) -> tuple[None, int]:
        cursor = _Cursor(frame)
        cursor.integer(8, "origin LSN")
        cursor.text("origin name")
        return None, cursor.offset

    def _type(self, frame: bytes) -> tuple[None, int]:
        cursor = _Cursor(frame)
        cursor.integer(4, "type OID")
        cursor.text("type schema")
        cursor.text("type name")
        return None, cursor.offset

    def _relation(self, frame: bytes) -> tuple[Relation, int]:
        cursor = _Cursor(frame)
        oid = cursor.integer(4, "relation OID")
        oid_bytes = frame[cursor.offset - 4 : cursor.offset]
        # pgoutput abbreviates this one schema to nothing.
        schema = cursor.text("schema name") or "pg_catalog"
        table = cursor.text("table name")
        identity = chr(cursor.integer(1, "replica identity"))
        columns = []
        for _ in range(cursor.integer(2, "column count")):
            is_key = cursor.integer(1, "column flags") & 1 == 1
            name = cursor.text("column name")
            type_oid = cursor.integer(4, "type OID")
            modifier = cursor.integer(4, "type modifier", signed=True)
            columns.append(
                Column(name=name, type_oid=type_oid, type_modifier=modifier, is_key=is_key)
            )
        relation = Relation(
            oid=oid, schema=schema, table=table, identity=identity, columns=tuple(columns)
        )
        known = self._relations.get(oid_bytes)
        # Relation messages are repeated after any cache invalidation; keeping the first object
        # lets everybody downstream compare shapes by identity.
        if known is not None and known[0] == relation:
            return known[0], cursor.offset
        self._relations[oid_bytes] = (relation, row_decoder(len(columns)))
        return relation, cursor.offset

    def _known(self, frame: bytes, offset: int) -> tuple[Relation, RowDecoder]:
        found = self._relations.get(frame[offset : offset + 4])
        if found is None:
            if len(frame) < offset + 4:
                raise short(frame, offset, "relation OID", 4)
            oid = int.from_bytes(frame[offset : offset + 4])
            raise Malformed(offset, f"relation {oid} was never described")
        return found

    def _insert(self, frame: bytes) -> tuple[RowChange, int]:
        relation, decode_row = self._known(frame, _OID_OFFSET)
        if frame[_TUPLE_OFFSET:_ROW_OFFSET] != _NEW:
            raise _wrong_kind(frame, _TUPLE_OFFSET, "'N'")
        row, end = decode_row(frame, _ROW_OFFSET)
        return RowChange(ChangeKind.CREATED, relation, None, BeforeImage.NONE, row), end

    def _update(self, frame: bytes) -> tuple[RowChange, int]:
        relation, decode_row = self._known(frame, _OID_OFFSET)
        before, image, offset = None, BeforeImage.NONE, _TUPLE_OFFSET
        if frame[_TUPLE_OFFSET:_ROW_OFFSET] in (_OLD_KEY, _OLD_FULL):
            before, image, offset = _old_row(frame, relation, decode_row)
        if frame[offset : offset + 1] != _NEW:
            raise _wrong_kind(frame, offset, "'N'" if before else "'N', 'K' or 'O'")
        row, end = decode_row(frame, offset + 1)
        if image is BeforeImage.FULL and before is not None and UNSENT in row:
            # "Unchanged" refers to the old row, and that one was sent whole.
            row = tuple(old if new is UNSENT else new for old, new in zip(before, row, strict=True))
        return RowChange(ChangeKind.UPDATED, relation, before, image, row), end

    def _delete(self, frame: bytes) -> tuple[RowChange, int]:
        relation, decode_row = self._known(frame, _OID_OFFSET)
        if frame[_TUPLE_OFFSET:_ROW_OFFSET] not in (_OLD_KEY, _OLD_FULL):
            raise _wrong_kind(frame, _TUPLE_OFFSET, "'K' or 'O'")
        before, image, end = _old_row(frame, relation, decode_row)
        return RowChange(ChangeKind.DELETED, relation, before, image, None), end

    def _truncate(self, frame: bytes) -> tuple[Truncate, int]:
        cursor = _Cursor(frame)
        count = cursor.integer(4, "relation count")
        cursor.integer(1, "options")
        changes = []
        for _ in range(count):
            relation, _ = self._known(frame, cursor.offset)
            cursor.integer(4, "relation OID")
            changes.append(RowChange(ChangeKind.TRUNCATED, relation, None, BeforeImage.NONE, None))
        return Truncate(tuple(changes)), cursor.offset


def _old_row(
    frame: bytes, relation: Relation, decode_row: RowDecoder
) -> tuple[Row, BeforeImage, int]:
    row, end = decode_row(frame, _ROW_OFFSET)
    if frame[_TUPLE_OFFSET:_ROW_OFFSET] == _OLD_FULL:
        return row, BeforeImage.FULL, end
    # A key tuple says null for every column outside the identity, which are not real nulls.
    key = tuple(
        cell if column.is_key else UNSENT
        for cell, column in zip(row, relation.columns, strict=True)
    )
    return key, BeforeImage.KEY, end


def _wrong_kind(frame: bytes, offset: int, wanted: str) -> Malformed:
    if offset >= len(frame):
        return short(frame, offset, "tuple", 1)
    return Malformed(offset, f"tuple kind {chr(frame[offset])!r} where {wanted} is due")


def _refuse(frame: bytes, malformed: Malformed) -> NoReturn:
    tag = chr(frame[PAYLOAD_OFFSET]) if len(frame) > PAYLOAD_OFFSET else ""
    offset = malformed.offset - PAYLOAD_OFFSET
    raise DecodeError(
        f"cannot decode pgoutput message {tag!r} at {format_lsn(frame_position(frame))}: "
        f"{malformed.why} (offset {offset})"
    ) from malformed.__cause__


_Handler: TypeAlias = Callable[[PgOutputDecoder, bytes], tuple[Message, int]]

_HANDLERS: dict[int, _Handler] = {
    ord("I"): PgOutputDecoder._insert,
    ord("U"): PgOutputDecoder._update,
    ord("D"): PgOutputDecoder._delete,
    ord("B"): PgOutputDecoder._begin,
    ord("C"): PgOutputDecoder._commit,
    ord("R"): PgOutputDecoder._relation,
    ord("T"): PgOutputDecoder._truncate,
    ord("Y"): PgOutputDecoder._type,
    ord("O"): PgOutputDecoder._origin,
}
