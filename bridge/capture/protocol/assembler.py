"""Assemble pgoutput messages into transactions.

PostgreSQL sends an ordinary transaction only after it has committed, so parts of a large one may
leave before its Commit message is read: they cannot be undone any more. A streamed one (protocol
2) is kept in a stage until its commit and then leaves in parts of the same kind, with the same
ordinals. Memory is bounded by `changes_max` and `bytes_max`; only the last part carries
`final=True`, and only a final part has an `end_lsn` that may be confirmed.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeAlias

from bridge.capture.protocol.pgoutput_messages import (
    Begin,
    Commit,
    Message,
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
from bridge.capture.protocol.staging import OwnerUnknown, StagedTransaction, StageStore
from bridge.model.change import Change, LogicalMessage, RowChange, TransactionPart
from bridge.model.errors import DecodeError
from bridge.model.lsn import format_lsn

# A part becomes one commit of the event log: 5,000 small changes take about 100 ms there.
CHANGES_MAX_DEFAULT = 5_000

# Wide rows reach this first. Decoded cells take about three times their bytes on the wire, so a
# part stays near 25 MB (but for a single row larger than that, which cannot be split).
BYTES_MAX_DEFAULT = 8 * 1024 * 1024


class TransactionAssembler:
    """Takes messages in stream order, gives parts in commit order."""

    def __init__(
        self,
        *,
        changes_max: int = CHANGES_MAX_DEFAULT,
        bytes_max: int = BYTES_MAX_DEFAULT,
        stages: StageStore | None = None,
        any_undone: Callable[[Collection[int]], bool] | None = None,
    ) -> None:
        """Without `stages` no streamed transaction may come.

        `any_undone` says whether one of some sub-transactions was rolled back.
        """
        self._any_undone = any_undone
        self._changes_max = changes_max
        self._bytes_max = bytes_max
        self._begin: Begin | None = None
        self._origin: str | None = None
        self._changes: list[Change] = []
        self._byte_count = 0
        self._first_ordinal = 0
        self._stages = stages
        self._staged: dict[int, StagedTransaction] = {}
        self._block: StagedTransaction | None = None
        self._leaving: StagedTransaction | None = None
        self._leaving_parts: Iterator[TransactionPart] = iter(())

    @property
    def in_transaction(self) -> bool:
        """Whether something is half received, or half given.

        An open transaction that is only staged does not count: the source sends it again, whole.
        """
        return not (self._begin is None and self._block is None and self._leaving is None)

    @property
    def is_leaving(self) -> bool:
        """Whether `next_part` has more of a streamed transaction that has committed."""
        return self._leaving is not None

    def feed(self, message: Message, size: int) -> TransactionPart | None:
        """Take one message of `size` bytes; return the part that it completes, if any.

        While `is_leaving`, nothing may be fed: the parts are taken first.

        Raises:
            DecodeError: PostgreSQL never sends messages in this order.
            OwnerUnknown: this transaction can only be read in the ordinary form.
            StorageUnavailable: a stage cannot be written or read.
            LimitExceeded: the stages have reached their limit.
        """
        if type(message) is RowChange:
            return self._add(message, size)
        if type(message) is StreamedFrame:
            if self._block is None:
                raise DecodeError("cannot assemble a streamed change: no block has begun")
            self._block.add(message)
            return None
        handler = _HANDLERS.get(type(message))
        return handler(self, message, size) if handler else None

    def next_part(self) -> TransactionPart | None:
        """Return the next part of a streamed transaction that has committed, None after the last.

        Raises as `feed`, and `DecodeError` when a row of it cannot be decoded.
        """
        if self._leaving is None:
            return None
        part = next(self._leaving_parts)
        if part.final:
            self._leaving.remove()
            self._leaving = None
        return part

    def close(self) -> None:
        """Forget every open transaction."""
        for staged in (*self._staged.values(), self._leaving):
            if staged is not None:
                staged.remove()
        self._staged.clear()
        self._block = self._leaving = None

    def _add(self, change: Change, size: int) -> TransactionPart | None:
        if self._begin is None:
            raise DecodeError("cannot assemble a change: no transaction has begun")
        self._changes.append(change)
        self._byte_count += size
        if len(self._changes) >= self._changes_max or self._byte_count >= self._bytes_max:
            return self._take(None)
        return None

    def _truncate(self, truncate: Truncate, size: int) -> None:
        if self._begin is None:
            raise DecodeError("cannot assemble a truncate: no transaction has begun")
        self._changes.extend(truncate.changes)

    def _stand_alone(self, standalone: StandaloneMessage, size: int) -> TransactionPart:
        if self.in_transaction:
            raise DecodeError("cannot assemble a message outside of transactions: one is open")
        # A message's LSN is the end of its record, and the next record may be the commit of the
        # transaction that wrote it: the byte before tells the two apart, in their order, and a
        # stream started at the end skips the message but not that commit.
        lsn = standalone.message.lsn
        return TransactionPart(
            xid=0,
            commit_lsn=lsn - 1,
            commit_time=standalone.sent_at,
            first_ordinal=0,
            changes=[standalone.message],
            final=True,
            end_lsn=lsn,
            change_count=1,
        )

    def _open(self, begin: Begin, size: int) -> None:
        if self.in_transaction:
            what = "a streamed block"
            if self._begin is not None:
                what = f"the one at {format_lsn(self._begin.commit_lsn)}"
            raise DecodeError(
                f"cannot assemble the transaction at {format_lsn(begin.commit_lsn)}: {what} "
                "has not ended"
            )
        self._begin = begin
        self._origin = None
        self._first_ordinal = 0

    def _close(self, commit: Commit, size: int) -> TransactionPart:
        if self._begin is None or self._begin.commit_lsn != commit.commit_lsn:
            begun = format_lsn(self._begin.commit_lsn) if self._begin else "none"
            raise DecodeError(
                f"cannot assemble the commit at {format_lsn(commit.commit_lsn)}: the open "
                f"transaction is {begun}"
            )
        part = self._take(commit.end_lsn)
        self._begin = None
        return part

    def _take(self, end_lsn: int | None) -> TransactionPart:
        assert self._begin is not None, "a part is taken only inside a transaction"
        final = end_lsn is not None
        reached = self._first_ordinal + len(self._changes)
        part = TransactionPart(
            xid=self._begin.xid,
            commit_lsn=self._begin.commit_lsn,
            commit_time=self._begin.commit_time,
            first_ordinal=self._first_ordinal,
            changes=self._changes,
            final=final,
            end_lsn=end_lsn,
            origin=self._origin,
            change_count=reached if final else None,
        )
        self._first_ordinal = reached
        self._changes = []
        self._byte_count = 0
        return part

    def _take_origin(self, origin: Origin, size: int) -> None:
        if self._block is not None:
            self._block.origin = origin.name
        else:
            self._origin = origin.name

    def _start_block(self, start: StreamStart, size: int) -> None:
        if (
            self.in_transaction
            or self._stages is None
            or start.first == (start.xid in self._staged)
        ):
            raise DecodeError(
                f"cannot assemble streamed transaction {start.xid}: a block of it may not begin "
                "here"
            )
        if start.first:
            staged = StagedTransaction(start.xid, self._stages.create(start.xid))
            self._staged[start.xid] = staged
        self._block = self._staged[start.xid]
        self._block.settle()

    def _stop_block(self, stop: StreamStop, size: int) -> None:
        if self._block is None:
            raise DecodeError("cannot assemble the end of a streamed block: none has begun")
        self._block.pause()
        self._block = None

    def _learn(self, streamed: StreamedRelation, size: int) -> None:
        if self._block is None:
            raise DecodeError("cannot assemble a streamed relation: no block has begun")
        self._block.learn(streamed.relation)

    def _undo(self, abort: StreamAbort, size: int) -> None:
        if self.in_transaction:
            raise DecodeError(f"cannot undo transaction {abort.xid}: another one is open")
        # One that is unknown here was streamed to an earlier session, if at all.
        if abort.xid == abort.sub_xid:
            staged = self._staged.pop(abort.xid, None)
            if staged is not None:
                staged.remove()
        elif abort.xid in self._staged:
            self._staged[abort.xid].undo(abort.sub_xid)

    def _close_streamed(self, commit: StreamCommit, size: int) -> TransactionPart | None:
        if self.in_transaction or commit.xid not in self._staged:
            raise DecodeError(
                f"cannot assemble the commit at {format_lsn(commit.commit_lsn)}: no block of "
                f"streamed transaction {commit.xid} came before it, or one is open"
            )
        staged = self._staged[commit.xid]
        staged.settle()
        # The server is to tell every rollback of a savepoint. Once in some thousand runs it did
        # not (15.18, a start in the middle of the transaction), and the rows looked committed.
        if staged.sub_xids and self._any_undone is not None and self._any_undone(staged.sub_xids):
            raise OwnerUnknown(
                f"transaction {commit.xid} was streamed with rows of a savepoint that was rolled "
                "back, and the server did not say so"
            )
        self._leaving = self._staged.pop(commit.xid)
        self._leaving_parts = staged.parts(commit, self._changes_max, self._bytes_max)
        return self.next_part()


_Handler: TypeAlias = Callable[[TransactionAssembler, Any, int], TransactionPart | None]

_HANDLERS: dict[type, _Handler] = {
    Begin: TransactionAssembler._open,
    Commit: TransactionAssembler._close,
    Truncate: TransactionAssembler._truncate,
    Origin: TransactionAssembler._take_origin,
    LogicalMessage: TransactionAssembler._add,
    StandaloneMessage: TransactionAssembler._stand_alone,
    StreamStart: TransactionAssembler._start_block,
    StreamStop: TransactionAssembler._stop_block,
    StreamedRelation: TransactionAssembler._learn,
    StreamAbort: TransactionAssembler._undo,
    StreamCommit: TransactionAssembler._close_streamed,
}
