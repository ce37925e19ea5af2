"""Assemble pgoutput messages into transactions.

PostgreSQL (protocol version 1) sends a transaction only after it has committed, so parts of a
large one may leave before its Commit message is read: they cannot be undone any more. Memory is
bounded by `changes_max` and `bytes_max`; only the last part carries `final=True`, and only a
final part has an `end_lsn` that may be confirmed.
"""

from bridge.capture.pgoutput import Begin, Commit, Message, Truncate
from bridge.model.change import RowChange, TransactionPart
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
        self, *, changes_max: int = CHANGES_MAX_DEFAULT, bytes_max: int = BYTES_MAX_DEFAULT
    ) -> None:
        self._changes_max = changes_max
        self._bytes_max = bytes_max
        self._begin: Begin | None = None
        self._changes: list[RowChange] = []
        self._byte_count = 0
        self._first_ordinal = 0

    @property
    def in_transaction(self) -> bool:
        """Whether a Begin was read and its Commit was not."""
        return self._begin is not None

    def feed(self, message: Message, size: int) -> TransactionPart | None:
        """Take one message of `size` bytes; return the part that it completes, if any.

        Raises `DecodeError` for messages in an order that PostgreSQL never sends.
        """
        if type(message) is RowChange:
            if self._begin is None:
                raise DecodeError("cannot assemble a row change: no transaction has begun")
            self._changes.append(message)
            self._byte_count += size
            if len(self._changes) >= self._changes_max or self._byte_count >= self._bytes_max:
                return self._take(None)
            return None
        if isinstance(message, Commit):
            return self._close(message)
        if isinstance(message, Begin):
            self._open(message)
        elif isinstance(message, Truncate):
            if self._begin is None:
                raise DecodeError("cannot assemble a truncate: no transaction has begun")
            self._changes.extend(message.changes)
        return None

    def _open(self, begin: Begin) -> None:
        if self._begin is not None:
            raise DecodeError(
                f"cannot assemble the transaction at {format_lsn(begin.commit_lsn)}: the one "
                f"at {format_lsn(self._begin.commit_lsn)} has not ended"
            )
        self._begin = begin
        self._first_ordinal = 0

    def _close(self, commit: Commit) -> TransactionPart:
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
        part = TransactionPart(
            xid=self._begin.xid,
            commit_lsn=self._begin.commit_lsn,
            commit_time=self._begin.commit_time,
            first_ordinal=self._first_ordinal,
            changes=self._changes,
            final=end_lsn is not None,
            end_lsn=end_lsn,
        )
        self._first_ordinal += len(self._changes)
        self._changes = []
        self._byte_count = 0
        return part
