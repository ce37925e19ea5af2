"""Decode pgoutput messages (protocol versions 1 and 2, text mode).

The decoder knows only what the stream said: shapes come from Relation messages, never from the
catalog, so an old row is read with the shape that it was written under. Each relation gets its
own row decoder when its shape arrives; that one runs once per row and does nothing else.

Inside a block of a streamed transaction (protocol 2) rows are handed on undecoded: the
transaction, or the part of it that they belong to, may yet be undone.

Whatever the bytes are, the result is a message or a `DecodeError` that names the message's tag,
its LSN and the offset in the message.
"""

import struct
from collections.abc import Callable
from typing import Final, NoReturn, TypeAlias

from bridge.capture.protocol.pgoutput_messages import (
    Begin,
    Commit,
    Message,
    MessageCursor,
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
from bridge.capture.protocol.tuples import Malformed, RowDecoder, row_decoder, short
from bridge.capture.protocol.walsender import (
    CLOCK_MAX,
    CLOCK_MIN,
    CLOCK_OFFSET,
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
    LogicalMessage,
    Relation,
    Row,
    RowChange,
    Truncation,
)
from bridge.model.errors import DecodeError
from bridge.model.lsn import format_lsn

_OID_OFFSET: Final = PAYLOAD_OFFSET + 1
_TUPLE_OFFSET: Final = PAYLOAD_OFFSET + 5
_ROW_OFFSET: Final = PAYLOAD_OFFSET + 6
_XID_END: Final = PAYLOAD_OFFSET + 5
"""Inside a block an xid stands between a message's tag and its body."""

# The fields of the two messages that come with every transaction.
_FIELDS_OFFSET: Final = PAYLOAD_OFFSET + 1
_BEGIN: Final = struct.Struct(">QqI")
_BEGIN_END: Final = _FIELDS_OFFSET + _BEGIN.size
_COMMIT: Final = struct.Struct(">BQQq")
_COMMIT_END: Final = _FIELDS_OFFSET + _COMMIT.size

_NEW: Final = b"N"
_OLD_KEY: Final = b"K"
_OLD_FULL: Final = b"O"


class PgOutputDecoder:
    """Turns XLogData frames into messages; remembers the shapes of one replication session."""

    def __init__(self) -> None:
        # By the four bytes of the OID, as each row message repeats them.
        self._relations: dict[bytes, tuple[Relation, RowDecoder]] = {}
        self._handlers = _HANDLERS

    def decode(self, frame: bytes) -> Message:
        """Return the message in an XLogData `frame`, or raise `DecodeError`."""
        try:
            if len(frame) <= PAYLOAD_OFFSET or frame[0] != XLOG_DATA:
                raise Malformed(0, "not an XLogData frame with a message in it")
            handler = self._handlers.get(frame[PAYLOAD_OFFSET])
            if handler is None:
                where = " in a streamed block" if self._handlers is _BLOCK_HANDLERS else ""
                raise Malformed(PAYLOAD_OFFSET, f"unknown message{where}")
            message, end = handler(self, frame)
            if end != len(frame):
                raise Malformed(end, f"{len(frame) - end} bytes too many")
        except Malformed as exc:
            _refuse(frame, exc)
        return message

    def learn(self, relation: Relation) -> None:
        """Decode the rows of this table in this shape from now on."""
        self._relations[relation.oid.to_bytes(4)] = (relation, row_decoder(len(relation.columns)))

    def _begin(self, frame: bytes) -> tuple[Begin, int]:
        if len(frame) == _BEGIN_END:
            # Of whole length, as always but for a fault: read in one step, six times as quick.
            lsn, clock, xid = _BEGIN.unpack_from(frame, _FIELDS_OFFSET)
            if CLOCK_MIN <= clock <= CLOCK_MAX:
                return Begin(lsn, decode_clock(clock), xid), _BEGIN_END
        cursor = MessageCursor(frame)
        commit_lsn = cursor.integer(8, "commit LSN")
        commit_time = cursor.time("commit time")
        return Begin(commit_lsn, commit_time, cursor.integer(4, "xid")), cursor.offset

    def _commit(self, frame: bytes) -> tuple[Commit, int]:
        if len(frame) == _COMMIT_END:
            _flags, lsn, end_lsn, clock = _COMMIT.unpack_from(frame, _FIELDS_OFFSET)
            if CLOCK_MIN <= clock <= CLOCK_MAX:
                return Commit(lsn, end_lsn), _COMMIT_END
        cursor = MessageCursor(frame)
        cursor.integer(1, "flags")
        commit_lsn = cursor.integer(8, "commit LSN")
        end_lsn = cursor.integer(8, "end LSN")
        cursor.time("commit time")
        return Commit(commit_lsn, end_lsn), cursor.offset

    def _origin(self, frame: bytes) -> tuple[Origin, int]:
        cursor = MessageCursor(frame)
        cursor.integer(8, "origin LSN")
        return Origin(cursor.text("origin name")), cursor.offset

    def _message(self, frame: bytes) -> tuple[LogicalMessage | StandaloneMessage, int]:
        cursor = MessageCursor(frame)
        transactional = cursor.integer(1, "flags") & 1 == 1
        lsn = cursor.integer(8, "message LSN")
        # An application may write any bytes here; one odd prefix must not end the stream.
        prefix = cursor.text("prefix", errors="backslashreplace")
        content = cursor.raw(cursor.integer(4, "content length"), "content")
        message = LogicalMessage(transactional, prefix, content, lsn)
        if transactional:
            return message, cursor.offset
        sent_at = MessageCursor(frame, offset=CLOCK_OFFSET).time("clock")
        return StandaloneMessage(message, sent_at), cursor.offset

    def _type(self, frame: bytes) -> tuple[None, int]:
        cursor = MessageCursor(frame)
        cursor.integer(4, "type OID")
        cursor.text("type schema")
        cursor.text("type name")
        return None, cursor.offset

    def _relation(self, frame: bytes) -> tuple[Relation, int]:
        cursor = MessageCursor(frame)
        return self._described(cursor), cursor.offset

    def _described(self, cursor: MessageCursor) -> Relation:
        oid_bytes = cursor.raw(4, "relation OID")
        oid = int.from_bytes(oid_bytes)
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
            return known[0]
        self.learn(relation)
        return relation

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
        cursor = MessageCursor(frame)
        count = cursor.integer(4, "relation count")
        options = cursor.integer(1, "options")
        truncation = Truncation(cascade=options & 1 == 1, restart_identity=options & 2 == 2)
        changes = []
        for _ in range(count):
            relation, _ = self._known(frame, cursor.offset)
            cursor.integer(4, "relation OID")
            changes.append(
                RowChange(ChangeKind.TRUNCATED, relation, None, BeforeImage.NONE, None, truncation)
            )
        return Truncate(tuple(changes)), cursor.offset

    def _stream_start(self, frame: bytes) -> tuple[StreamStart, int]:
        cursor = MessageCursor(frame)
        xid = cursor.integer(4, "xid")
        self._handlers = _BLOCK_HANDLERS
        return StreamStart(xid, cursor.integer(1, "first segment flag") == 1), cursor.offset

    def _stream_stop(self, frame: bytes) -> tuple[StreamStop, int]:
        self._handlers = _HANDLERS
        return StreamStop(), PAYLOAD_OFFSET + 1

    def _stream_commit(self, frame: bytes) -> tuple[StreamCommit, int]:
        cursor = MessageCursor(frame)
        xid = cursor.integer(4, "xid")
        cursor.integer(1, "flags")
        commit_lsn = cursor.integer(8, "commit LSN")
        end_lsn = cursor.integer(8, "end LSN")
        commit = StreamCommit(xid, commit_lsn, end_lsn, cursor.time("commit time"))
        return commit, cursor.offset

    def _stream_abort(self, frame: bytes) -> tuple[StreamAbort, int]:
        cursor = MessageCursor(frame)
        xid = cursor.integer(4, "xid")
        return StreamAbort(xid, cursor.integer(4, "sub-transaction xid")), cursor.offset

    def _streamed(self, frame: bytes) -> tuple[StreamedFrame, int]:
        if len(frame) < _XID_END:
            raise short(frame, _OID_OFFSET, "xid", 4)
        return StreamedFrame(int.from_bytes(frame[_OID_OFFSET:_XID_END]), frame, 1), len(frame)

    def _streamed_truncate(self, frame: bytes) -> tuple[StreamedFrame, int]:
        cursor = MessageCursor(frame)
        xid = cursor.integer(4, "xid")
        count = cursor.integer(4, "relation count")
        return StreamedFrame(xid, frame, count), len(frame)

    def _streamed_relation(self, frame: bytes) -> tuple[StreamedRelation, int]:
        cursor = MessageCursor(frame, offset=_XID_END)
        # It counts for the transactions after this block as well: at the commit the server takes
        # it for known, and after anything that may change a shape it describes the table again.
        return StreamedRelation(self._described(cursor)), cursor.offset

    def _streamed_type(self, frame: bytes) -> tuple[None, int]:
        return None, len(frame)


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
    ord("M"): PgOutputDecoder._message,
    ord("S"): PgOutputDecoder._stream_start,
    ord("c"): PgOutputDecoder._stream_commit,
    ord("A"): PgOutputDecoder._stream_abort,
}

_BLOCK_HANDLERS: dict[int, _Handler] = {
    ord("I"): PgOutputDecoder._streamed,
    ord("U"): PgOutputDecoder._streamed,
    ord("D"): PgOutputDecoder._streamed,
    ord("M"): PgOutputDecoder._streamed,
    ord("T"): PgOutputDecoder._streamed_truncate,
    ord("R"): PgOutputDecoder._streamed_relation,
    ord("Y"): PgOutputDecoder._streamed_type,
    ord("O"): PgOutputDecoder._origin,
    ord("E"): PgOutputDecoder._stream_stop,
}
