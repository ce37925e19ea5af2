"""Segments of the log in PostgreSQL: made ahead of need, unique ids over all, dropped whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from bridge.eventlog.inspection import inspect_log
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import LogCorrupt, StorageUnavailable
from bridge.storage.event_log.postgres import PostgresEventLog
from tests.conftest import Database
from tests.eventlog.drafts import draft, drafts, move

SEGMENT = 1_024
PRUNE = EntryDraft(EntryKind.PRUNE, "prune", {}, b"{}")


@contextmanager
def opened(database: Database, **options: int) -> Iterator[PostgresEventLog]:
    log = PostgresEventLog(database.dsn, segment_entries=SEGMENT, **options)
    try:
        yield log
    finally:
        log.close()


def asked(database: Database, question: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.dsn) as admin:
        return admin.execute(question).fetchall()


def partitions(database: Database) -> list[str]:
    rows = asked(
        database,
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'bridge_log.entries'::regclass ORDER BY 1",
    )
    return [name.removeprefix("bridge_log.entries_").lstrip("0") or "0" for (name,) in rows]


def test_segments_are_made_before_they_are_needed(database: Database) -> None:
    with opened(database) as log:
        log.append(drafts(0, 1))
        assert partitions(database) == ["0"]
        log.append(drafts(1, 511))
        assert partitions(database) == ["0"]
        log.append(drafts(511, 513))
        assert partitions(database) == ["0", "1024"]
        # One append may be longer than any segment.
        log.append(drafts(513, 4_500))
        assert partitions(database) == ["0", "1024", "2048", "3072", "4096"]
        assert inspect_log(log).size == 4_500
        # Where one index per segment is enough to find the rows, no other is looked at.
        assert [entry.leaf_index for entry in log.read(2_046, 4)] == [2_046, 2_047, 2_048, 2_049]


def test_another_size_of_segments_continues_after_the_last(database: Database) -> None:
    with opened(database) as log:
        log.append(drafts(0, 600))
    log = PostgresEventLog(database.dsn, segment_entries=512)
    log.append(drafts(600, 2_300))
    assert partitions(database) == ["0", "1024", "2048"]
    log.append(drafts(2_300, 2_400))
    assert partitions(database) == ["0", "1024", "2048", "2560"]
    assert inspect_log(log).size == 2_400
    log.close()


def test_a_repeated_id_is_found_over_segments(database: Database) -> None:
    with opened(database) as log:
        log.append(drafts(0, 3_000), cursor=move(0))
        with pytest.raises(LogCorrupt, match="already has one of them"):
            log.append([draft(3_000), draft(5)], cursor=move(1))
        assert log.append([draft(3_000), draft(5)]).head.size == 3_001
        assert inspect_log(log).size == 3_001


def test_a_reader_of_hours_stops_no_append(database: Database) -> None:
    """A dump holds a lock on every table that it reads until it ends."""
    with opened(database, lock_timeout_ms=500) as log, psycopg.connect(database.dsn) as reader:
        log.append(drafts(0, 100))
        reader.execute("LOCK TABLE bridge_log.entries IN ACCESS SHARE MODE")
        log.append(drafts(100, 2_500))
        assert inspect_log(log).size == 2_500
        assert len(partitions(database)) == 3


def test_a_segment_that_cannot_be_made_ahead_hinders_no_append(database: Database) -> None:
    with opened(database, lock_timeout_ms=200) as log, psycopg.connect(database.dsn) as holder:
        log.append(drafts(0, 100))
        holder.execute("LOCK TABLE bridge_log.entries IN SHARE UPDATE EXCLUSIVE MODE")
        log.append(drafts(100, 1_000))
        assert partitions(database) == ["0"]
        with pytest.raises(StorageUnavailable, match="lock timeout"):
            log.append(drafts(1_000, 1_100))
        assert log.head().size == 1_000
        holder.rollback()
        log.append(drafts(1_000, 1_100))
        assert inspect_log(log).size == 1_100


def test_whole_segments_are_dropped_and_the_rest_goes_by_rows(database: Database) -> None:
    with opened(database) as log:
        log.append(drafts(0, 4_000))
        log.prune(2_560, PRUNE)
        assert partitions(database)[:3] == ["0", "1024", "2048"]
        assert [log.sweep(256), log.sweep(256)] == [1_024, 1_024]
        assert partitions(database)[0] == "2048"
        assert [log.sweep(256) for _ in range(3)] == [256, 256, 0]
        assert asked(database, "SELECT count(*), min(leaf_index) FROM bridge_log.ids") == [
            (4_001 - 2_560, 2_560)
        ]
        assert inspect_log(log).size == 4_001
        # The id may come again: nothing knows it any more.
        assert log.append([draft(7)]).head.size == 4_002


def test_a_drop_gives_way_to_readers_and_goes_on_later(database: Database) -> None:
    with opened(database) as log, psycopg.connect(database.dsn) as reader:
        log.append(drafts(0, 2_000))
        log.prune(1_024, PRUNE)
        reader.execute("LOCK TABLE bridge_log.entries IN ACCESS SHARE MODE")
        with pytest.raises(StorageUnavailable, match="cannot prune event log"):
            log.sweep(1_000)
        assert log.append(drafts(2_000, 2_100)).head.size == 2_101
        reader.rollback()
        assert [log.sweep(1_000), log.sweep(1_000)] == [1_024, 0]
        assert inspect_log(log).size == 2_101


def test_reading_looks_only_at_the_segments_asked_for(database: Database) -> None:
    with opened(database) as log:
        log.append(drafts(0, 8_000))
    plan = asked(
        database,
        "EXPLAIN SELECT * FROM bridge_log.entries WHERE leaf_index >= 2000 AND leaf_index < 2500"
        " AND leaf_index >= (SELECT minimum FROM bridge_log.head) ORDER BY leaf_index",
    )
    read = {
        segment
        for (line,) in plan
        for segment in ("0", "1024", "2048", "3072", "7168")
        if f"on entries_{segment:0>15} " in line
    }
    assert read == {"1024", "2048"}
