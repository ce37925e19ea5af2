"""Which transactions a database snapshot contains.

Commit order in the WAL is not the order in which transactions become visible: one that waits for a
synchronous standby is in the WAL, and in our stream, while every new snapshot still shows the rows
from before it. So what a reading of rows contains is decided by transaction, never by position.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_XID_BITS: Final = 32
_HALF: Final = 1 << (_XID_BITS - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """A snapshot as `pg_current_snapshot()` prints it; numbers are 64 bits wide.

    Once a transaction is contained in a snapshot, it is in every later one.
    """

    xmin: int
    """Everything below it has ended."""
    xmax: int
    """Nothing from here on had ended."""
    running: frozenset[int] | None
    """What between the two had not ended; None when it is not known (a standby does not tell):
    then everything from `xmin` on counts as running."""

    def contains(self, xid: int) -> bool:
        """Whether a transaction had ended; `xid` has 32 bits, as the stream and locks give it."""
        full = self._widened(xid)
        if full < self.xmin:
            return True
        return self.running is not None and full < self.xmax and full not in self.running

    def missing(self, xids: Iterable[int]) -> frozenset[int]:
        """Return those of `xids` that had not ended."""
        return frozenset(xid for xid in xids if not self.contains(xid))

    def _widened(self, xid: int) -> int:
        """Return the 64-bit number of `xid`: the one within half the number space of ours.

        The server keeps all transactions that matter within that distance of each other.
        """
        near = (self.xmax >> _XID_BITS << _XID_BITS) | xid
        if near > self.xmax + _HALF:
            return near - (1 << _XID_BITS)
        if near < self.xmax - _HALF:
            return near + (1 << _XID_BITS)
        return near


def parse_visibility(text: str, *, recovering: bool = False) -> Visibility:
    """Return what `xmin:xmax:xid,xid` means; `recovering` says that a standby printed it."""
    xmin, xmax, running = text.split(":")
    listed = frozenset(int(xid) for xid in running.split(",") if xid)
    return Visibility(xmin=int(xmin), xmax=int(xmax), running=None if recovering else listed)
