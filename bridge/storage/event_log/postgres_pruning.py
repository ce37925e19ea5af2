"""Take pruned entries out of PostgreSQL: whole segments are dropped, the rest goes row by row."""

from typing import Any

import psycopg

from bridge.eventlog.tree import TILE_HASHES
from bridge.storage.event_log.postgres_sql import (
    DELETE_ENTRIES,
    DROP_SEGMENT,
    FORGET_HASHES,
    FORGET_IDS,
    OLDEST_ENTRY,
    OLDEST_SEGMENT,
    UNLIST_SEGMENT,
)
from bridge.storage.event_log.postgres_steps import segment_sql

# Dropping a segment waits for who reads the log, and appends wait behind it: no longer than this.
DROP_LOCK_TIMEOUT_MS = 250


def sweep_entries(writer: psycopg.Connection[Any], count_max: int) -> int:
    """Remove up to `count_max` entries, or a whole segment, below the minimum; return how many.

    Every step may be repeated: a crash between two leaves something for the next call.
    """
    row = writer.execute(OLDEST_SEGMENT).fetchone()
    if row is None:
        return 0
    start, stop, minimum = row
    if stop <= minimum:
        return _drop_segment(writer, start, stop)
    row = writer.execute(OLDEST_ENTRY, (start, minimum)).fetchone()
    if row is None or row[0] is None:
        return 0
    first = row[0]
    # Whole tiles, so that hashes go with the entries that they are of.
    last = min(minimum, (first // TILE_HASHES + max(1, count_max // TILE_HASHES)) * TILE_HASHES)
    with writer.transaction():
        writer.execute(FORGET_IDS, (first, last))
        removed = writer.execute(DELETE_ENTRIES, (first, last)).rowcount
        _forget_hashes(writer, first, last)
    return removed


def _drop_segment(writer: psycopg.Connection[Any], start: int, stop: int) -> int:
    # The ids first and apart: it takes seconds, and hinders nobody.
    writer.execute(FORGET_IDS, (start, stop))
    with writer.transaction():
        writer.execute(f"SET LOCAL lock_timeout = {DROP_LOCK_TIMEOUT_MS:d}")
        writer.execute(segment_sql(DROP_SEGMENT, start, stop))
        writer.execute(UNLIST_SEGMENT, (start,))
        _forget_hashes(writer, start, stop)
    return stop - start


def _forget_hashes(writer: psycopg.Connection[Any], first: int, last: int) -> None:
    tiles = (first // TILE_HASHES, last // TILE_HASHES)
    writer.execute(FORGET_HASHES, (*tiles, first, last))
