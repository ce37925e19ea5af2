"""The log's disk is full: capture waits with little in memory, the slot waits, nothing is lost."""

import resource
from contextlib import closing
from pathlib import Path

import psycopg

from bridge.eventlog.inspection import inspect_log
from bridge.model.lsn import format_lsn
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.faults import CheckedSource
from tests.capture.running import (
    await_position,
    await_streaming,
    capturing,
    cursor_of,
    ids_of,
    make_source,
)
from tests.conftest import Database

T = "public.t"
GROWTH_KB_MAX = 60_000


def limit(log: SqliteEventLog, pages_more: int) -> None:
    """Let the log's file grow by so many pages: beyond them, SQLite says that the disk is full."""
    with log._append_lock:
        writer = log._writing()
        [(pages,)] = writer.execute("PRAGMA page_count")
        writer.execute(f"PRAGMA max_page_count={pages + pages_more}")


def confirmed(sql: psycopg.Connection, slot: str) -> str:
    row = sql.execute(
        "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %s", (slot,)
    ).fetchone()
    assert row is not None
    return str(row[0])


def test_capture_waits_and_goes_on(
    database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key, note text)")
    make_source(database.dsn, database.name, T).prepare(None)
    (tmp_path / "log").mkdir()
    with closing(SqliteEventLog(tmp_path / "log" / "log.db")) as log:
        source = CheckedSource(make_source(database.dsn, database.name, T), log)
        with capturing(source, log, tmp_path, T) as running:
            await_streaming(running, log, T)
            limit(log, 3)
            sql.execute("insert into t select x, repeat('n', 500) from generate_series(1, 6000) x")
            told = running.observer.await_note("capture_interrupted")
            assert "disk is full; free space" in str(told["error"])
            memory_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            size, at = log.head().size, cursor_of(log)
            # It tries again and again; neither log, slot nor memory moves.
            for number in range(2):
                sql.execute("insert into t values (%s, 'later')", (100_000 + number,))
                running.observer.clear()
                running.observer.await_note("capture_interrupted", 60)
            assert (log.head().size, cursor_of(log)) == (size, at)
            row = sql.execute(
                "select %s::pg_lsn <= %s::pg_lsn",
                (confirmed(sql, database.name), format_lsn(at.end_lsn)),
            ).fetchone()
            assert row == (True,)
            grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kb
            assert grown_kb < GROWTH_KB_MAX
            limit(log, 1_000_000)
            await_position(running, sql, log)
        assert inspect_log(log).size == len(ids_of(log)) == 6_002
