"""Why a store refuses an append, in the same words for every store."""

from collections.abc import Sequence

from bridge.eventlog.tree import EntryRow
from bridge.model.entry import CursorMove
from bridge.model.errors import LogCorrupt, StaleCursor


def stale_cursor(move: CursorMove, found_version: int) -> StaleCursor:
    """Return the error for a cursor that is not where the appender left it."""
    return StaleCursor(
        f"cannot append for source {move.source!r}: its cursor is at version {found_version}, "
        f"expected {move.expected_version}; another process took over this source"
    )


def repeated_entry(rows: Sequence[EntryRow], cause: Exception) -> LogCorrupt:
    """Return the error for entries of a source that the log already has.

    A cursor moves in the same commit as its entries, so this means that the two disagree.
    """
    return LogCorrupt(
        f"cannot append {len(rows)} entries from {rows[0][2]!r} to {rows[-1][2]!r}: the log "
        f"already has one of them ({type(cause).__name__}), so log and source cursor disagree; "
        "was either restored from a backup?"
    )
