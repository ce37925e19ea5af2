"""Keep streamed transactions apart until they commit (protocol 2), undoing what was undone.

PostgreSQL streams a large transaction while it is still open, in blocks between other
transactions. Its frames are kept in a stage, undecoded, and become parts only when its commit is
read: with the same ordinals that the ordinary form would give, because what a savepoint took back
is cut out of the stage before.

A sub-transaction is undone by cutting the stage off where that one began: a transaction is a
stack, so everything behind belongs to it or to a sub-transaction inside it. And because xids are
given in order of time, it began at the first frame whose xid is not older than its own.

Stages are disposable: after a reconnect the server sends open transactions again, whole.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol
from zlib import crc32

from bridge.capture.protocol.pgoutput import PgOutputDecoder
from bridge.capture.protocol.pgoutput_messages import StreamCommit, StreamedFrame, Truncate
from bridge.capture.protocol.stage_records import append_record, record_xid, split_records
from bridge.capture.protocol.walsender import PAYLOAD_OFFSET
from bridge.model.change import Change, LogicalMessage, Relation, RowChange, TransactionPart
from bridge.model.errors import DecodeError, StorageUnavailable
from bridge.model.lsn import format_lsn

# What is written, checked and read at once. Larger would make a rollback to a savepoint read
# more to find its place, smaller would keep more of these in memory for a very long transaction.
SEGMENT_BYTES_MAX: Final = 256 * 1024

_XID_MASK: Final = 0xFFFF_FFFF
_MESSAGE: Final = ord("M")
_NEVER: Final = (0, None)
"""Stands behind the last shape."""


class StageFile(Protocol):
    """The bytes of one open transaction, somewhere with more room than memory."""

    def append(self, data: bytes) -> None:
        """Write `data` behind what is there.

        Raises:
            StorageUnavailable: there is no room now.
            LimitExceeded: all stages together reached their limit.
        """

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`, fewer at the end; raises `StorageUnavailable`."""

    def cut(self, size: int) -> None:
        """Forget everything behind the first `size` bytes; raises `StorageUnavailable`."""

    def rest(self) -> None:
        """Hold nothing open until the next call."""

    def remove(self) -> None:
        """Forget everything, for good. May be repeated."""


class StageStore(Protocol):
    """Makes stages."""

    def create(self, xid: int) -> StageFile:
        """Return the empty stage of a transaction."""

    def clear(self) -> None:
        """Forget the stages of a stream that is gone; raises `StorageUnavailable`."""


# Some 100 bytes each in memory, and one query of a second for all of them.
SUB_XIDS_MAX: Final = 100_000


class OwnerUnknown(Exception):
    """Whether a message was undone is not in the stream: read the transaction in ordinary form.

    A message carries the xid of the whole transaction even when it was sent under a savepoint. If
    that savepoint is rolled back, a message right before its first row may be inside or before it.
    """


class _Segment(NamedTuple):
    """A stretch of a stage that was written at once, and what was true at its begin."""

    offset: int
    size: int
    crc: int
    state: "_State"


class _State(NamedTuple):
    """What is known of a stage behind its last frame."""

    change_count: int
    age_max: int
    """The youngest xid so far, as a distance from the transaction's own."""
    after_message: bool
    """Whether the last frame is a message."""


class StagedTransaction:
    """One streamed transaction that is open."""

    def __init__(self, xid: int, file: StageFile) -> None:
        self.xid = xid
        self.origin: str | None = None
        self._file = file
        self._segments: list[_Segment] = []
        self._begun = _State(0, 0, False)  # At the begin of the buffer.
        self._buffer = bytearray()
        self._written = 0
        self._change_count = 0
        self._age_max = 0
        self._after_message = False
        # Shapes in the order in which they came, each with the place that it holds from.
        self._shapes: list[tuple[int, Relation]] = []
        self._shapes_now: dict[int, Relation] = {}
        self._doubtful = False
        self._sub_xids: set[int] = set()

    @property
    def sub_xids(self) -> frozenset[int]:
        """Sub-transactions whose rows are in the stage: none of them may have been undone."""
        return frozenset(self._sub_xids)

    def add(self, streamed: StreamedFrame) -> None:
        """Keep a frame."""
        xid, frame, count = streamed
        append_record(self._buffer, frame)
        self._change_count += count
        age = (xid - self.xid) & _XID_MASK
        if age:
            self._sub_xids.add(xid)
        if age > self._age_max:
            self._age_max = age
        self._after_message = age == 0 and frame[PAYLOAD_OFFSET] == _MESSAGE
        if len(self._buffer) >= SEGMENT_BYTES_MAX:
            self._flush()

    def learn(self, relation: Relation) -> None:
        """Keep a table's shape, which holds for the frames that follow.

        It outlives the sub-transaction that it came in: the server sends a shape once, and again
        only after something that may have changed it, such as undoing an ALTER TABLE.
        """
        if self._shapes_now.get(relation.oid) is not relation:
            self._shapes_now[relation.oid] = relation
            self._shapes.append((self._written + len(self._buffer), relation))

    def pause(self) -> None:
        """Hold no memory and nothing open until the next block."""
        self._flush()
        self._file.rest()

    def undo(self, sub_xid: int) -> None:
        """Cut out what sub-transaction `sub_xid` did."""
        age = (sub_xid - self.xid) & _XID_MASK
        assert age, "undoing the whole transaction is removing its stage"
        if age <= self._age_max:
            self._cut(age)
        self._doubtful = self._after_message

    def settle(self) -> None:
        """Have every undoing done: nothing of the same rollback follows.

        Raises `OwnerUnknown` when the stream does not say whether a message is part of it, or has
        more sub-transactions than can be looked up at the commit.
        """
        if len(self._sub_xids) > SUB_XIDS_MAX:
            raise OwnerUnknown(
                f"transaction {self.xid} has more than {SUB_XIDS_MAX} sub-transactions, too many "
                "to look each up at its commit"
            )
        if self._doubtful:
            raise OwnerUnknown(
                f"transaction {self.xid} has a message of the application right before a "
                "savepoint that was rolled back, and a streamed transaction does not say whether "
                "the message was under it"
            )

    def _cut(self, age: int) -> None:
        """Cut the stage off before the first frame of this age or younger."""
        self._flush()
        self._sub_xids = {xid for xid in self._sub_xids if (xid - self.xid) & _XID_MASK < age}
        while self._segments and self._segments[-1].state.age_max >= age:
            self._segments.pop()
        assert self._segments, "a segment that begins with older xids holds the first younger one"
        last = self._segments.pop()
        data = self._checked(last)
        count, age_max, after_message = self._begun = last.state
        end = len(data)
        for offset, frame in split_records(data):
            frame_age = (record_xid(data, offset) - self.xid) & _XID_MASK
            if frame_age >= age:
                end = offset
                break
            age_max = max(age_max, frame_age)
            count += _change_count(frame)
            after_message = frame_age == 0 and frame[PAYLOAD_OFFSET] == _MESSAGE
        self._file.cut(last.offset)
        self._written = last.offset
        self._buffer[:] = data[:end]
        self._change_count, self._age_max, self._after_message = count, age_max, after_message
        place = last.offset + end
        self._shapes = _latest([(min(offset, place), shape) for offset, shape in self._shapes])

    def _flush(self) -> None:
        if not self._buffer:
            return
        data = bytes(self._buffer)
        self._file.append(data)
        self._segments.append(_Segment(self._written, len(data), crc32(data), self._begun))
        self._written += len(data)
        self._buffer.clear()
        self._begun = _State(self._change_count, self._age_max, self._after_message)

    def _checked(self, segment: _Segment) -> bytes:
        data = self._file.read(segment.offset, segment.size)
        if len(data) != segment.size or crc32(data) != segment.crc:
            raise StorageUnavailable(
                f"cannot read the stage of transaction {self.xid}: {len(data)} bytes at "
                f"{segment.offset} are not the {segment.size} that were written; the transaction "
                "is read again from the source"
            )
        return data

    def parts(
        self, commit: StreamCommit, changes_max: int, bytes_max: int
    ) -> Iterator[TransactionPart]:
        """Yield the committed transaction, at least one part, the last one final."""
        self._flush()
        total = self._change_count
        changes: list[Change] = []
        first_ordinal = byte_count = 0
        for message, size in self._messages():
            if isinstance(message, Truncate):
                changes.extend(message.changes)
            else:
                changes.append(message)
            byte_count += size
            if len(changes) >= changes_max or byte_count >= bytes_max:
                reached = first_ordinal + len(changes)
                if reached < total:
                    yield self._part(commit, first_ordinal, changes, final=False)
                    changes, first_ordinal, byte_count = [], reached, 0
        reached = first_ordinal + len(changes)
        if reached != total:
            raise DecodeError(
                f"cannot assemble the streamed transaction at {format_lsn(commit.commit_lsn)}: "
                f"{reached} changes, {total} were announced"
            )
        yield self._part(commit, first_ordinal, changes, final=True)

    def _messages(self) -> Iterator[tuple[RowChange | LogicalMessage | Truncate, int]]:
        """Yield what the frames say, each with its size, decoded in the shapes of their place."""
        decoder = PgOutputDecoder()
        decode = decoder.decode
        shapes = iter(self._shapes)
        due, shape = next(shapes, _NEVER)
        for segment in self._segments:
            for offset, frame in split_records(self._checked(segment)):
                while shape is not None and due <= segment.offset + offset:
                    decoder.learn(shape)
                    due, shape = next(shapes, _NEVER)
                message = decode(frame)
                if type(message) is not RowChange:
                    assert isinstance(message, LogicalMessage | Truncate), "else it is not staged"
                yield message, len(frame)

    def _part(
        self, commit: StreamCommit, first_ordinal: int, changes: list[Change], *, final: bool
    ) -> TransactionPart:
        return TransactionPart(
            xid=self.xid,
            commit_lsn=commit.commit_lsn,
            commit_time=commit.commit_time,
            first_ordinal=first_ordinal,
            changes=changes,
            final=final,
            end_lsn=commit.end_lsn if final else None,
            origin=self.origin,
            change_count=self._change_count,
        )

    def remove(self) -> None:
        """Forget the transaction."""
        self._file.remove()


def _change_count(frame: bytes) -> int:
    """Return how many changes a record's frame stands for."""
    if frame[PAYLOAD_OFFSET] == ord("T"):
        return int.from_bytes(frame[PAYLOAD_OFFSET + 1 : PAYLOAD_OFFSET + 5])
    return 1


def _latest(shapes: list[tuple[int, Relation]]) -> list[tuple[int, Relation]]:
    """Return `shapes` without those that another one of the table replaces at the same place."""
    kept = {(offset, shape.oid): shape for offset, shape in shapes}
    return [(offset, shape) for (offset, _), shape in kept.items()]
