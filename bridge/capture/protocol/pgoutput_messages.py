"""What pgoutput says, as values, and the checked reading of one message's fields."""

from datetime import datetime
from typing import NamedTuple, TypeAlias

from bridge.capture.protocol.tuples import Malformed, short
from bridge.capture.protocol.walsender import PAYLOAD_OFFSET, decode_clock
from bridge.model.change import LogicalMessage, Relation, RowChange


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


class Origin(NamedTuple):
    """Where the source itself got the transaction from."""

    name: str


class StandaloneMessage(NamedTuple):
    """A message outside of any transaction; it says no time, so it has that of its sending."""

    message: LogicalMessage
    sent_at: datetime


class StreamStart(NamedTuple):
    """A block of changes of a transaction that is still open begins (protocol 2)."""

    xid: int
    first: bool


class StreamStop(NamedTuple):
    """The block ends; anything may come before the transaction's next one."""


class StreamedFrame(NamedTuple):
    """A row change, truncate or message inside a block, not decoded: it may yet be undone."""

    xid: int
    """The sub-transaction's own for rows; always the top one's for messages (15 to 18)."""
    frame: bytes
    change_count: int


class StreamedRelation(NamedTuple):
    """A table's shape inside a block: holds for the rows that follow in its transaction."""

    relation: Relation


class StreamCommit(NamedTuple):
    """The streamed transaction `xid` is committed."""

    xid: int
    commit_lsn: int
    end_lsn: int
    commit_time: datetime


class StreamAbort(NamedTuple):
    """Sub-transaction `sub_xid` of `xid` is undone; all of it when they are equal."""

    xid: int
    sub_xid: int


Message: TypeAlias = (
    RowChange
    | LogicalMessage
    | Begin
    | Commit
    | Truncate
    | Relation
    | Origin
    | StandaloneMessage
    | StreamStart
    | StreamStop
    | StreamedFrame
    | StreamedRelation
    | StreamCommit
    | StreamAbort
    | None
)
"""None: a message that changes nothing for us (the name of a type)."""


class MessageCursor:
    """Checked reads over one frame, for all messages but the cells of a row."""

    def __init__(self, frame: bytes, *, offset: int = PAYLOAD_OFFSET + 1) -> None:
        self._frame = frame
        self.offset = offset

    def integer(self, size: int, what: str, *, signed: bool = False) -> int:
        """Return the next `size` bytes as a number."""
        return int.from_bytes(self.raw(size, what), signed=signed)

    def raw(self, size: int, what: str) -> bytes:
        """Return the next `size` bytes."""
        start, end = self.offset, self.offset + size
        if end > len(self._frame):
            raise short(self._frame, start, what, size)
        self.offset = end
        return self._frame[start:end]

    def text(self, what: str, *, errors: str = "strict") -> str:
        """Return the text up to the next zero byte."""
        start = self.offset
        end = self._frame.find(b"\0", start)
        if end < 0:
            raise Malformed(start, f"{what} has no end")
        self.offset = end + 1
        try:
            return self._frame[start:end].decode(errors=errors)
        except UnicodeDecodeError as exc:
            raise Malformed(start, f"{what} is not UTF-8") from exc

    def time(self, what: str) -> datetime:
        """Return the next eight bytes as a time."""
        start = self.offset
        try:
            return decode_clock(self.integer(8, what, signed=True))
        except OverflowError as exc:
            raise Malformed(start, f"{what} is beyond the year 9999") from exc
