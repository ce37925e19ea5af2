"""Why a store refuses an append, in the same words for every store."""

from collections.abc import Sequence

from bridge.eventlog.tree import TILE_HASHES, EntryRow
from bridge.model.entry import CursorMove
from bridge.model.errors import LogCorrupt, LogPruned, StaleCursor


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


def pruned_hashes(start: int, stop: int) -> LogPruned:
    """Return the error for leaf hashes that the store does not have any more."""
    return LogPruned(
        f"cannot read the leaf hashes of entries {start} to {stop}: the event log was pruned; "
        "ask for entries from its minimum index on"
    )


def check_minimum(first_index: int, *, present: int, size: int) -> None:
    """Assert that a minimum index is one that a log may be given."""
    assert first_index % TILE_HASHES == 0, f"minimum index {first_index} splits a tile"
    assert present <= first_index <= size, f"minimum {first_index} is not in {present}..{size}"
