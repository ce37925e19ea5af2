"""Take pruned entries out of a SQLite file, and give their pages back, beside the appends."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager

from bridge.eventlog.tree import TILE_HASHES
from bridge.storage.event_log.sqlite_sql import DELETE_ENTRIES, FORGET_HASHES, OLDEST_ENTRY

Locked = Callable[[], AbstractContextManager[sqlite3.Connection]]
"""Gives the writing connection in a transaction of its own."""

# 4 MB: moving that many pages takes some 20 ms, for which appends wait.
VACUUM_PAGES = 1_000


def sweep_entries(locked: Locked, count_max: int) -> int:
    """Remove up to `count_max` entries below the minimum index; return how many.

    The pages that become free go back to the file system from the end of the file, some each call.
    """
    with locked() as writer:
        [(oldest, minimum)] = writer.execute(OLDEST_ENTRY)
        removed = 0
        if oldest is not None and oldest < minimum:
            # Whole tiles, so that hashes go with the entries that they are of.
            tile, tiles = oldest // TILE_HASHES, max(1, count_max // TILE_HASHES)
            last = min(minimum, (tile + tiles) * TILE_HASHES)
            removed = writer.execute(DELETE_ENTRIES, (last,)).rowcount
            writer.execute(FORGET_HASHES, (tile, last // TILE_HASHES, oldest, last))
    while _vacuum(locked) and removed == 0:
        # Nothing is left to delete: what was freed goes back whole.
        pass
    return removed


def _vacuum(locked: Locked) -> bool:
    """Return some free pages to the file system; whether there were any."""
    with locked() as writer:
        [(free,)] = writer.execute("PRAGMA freelist_count")
        if free:
            # Each row of the result is one page moved: it stops where nobody reads on.
            writer.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES:d})").fetchall()
    return bool(free)
