"""Broken wires, dead servers, failing logs: nothing is lost, repeated or confirmed too early."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from bridge.demo.servers import PrivatePostgres
from bridge.model.errors import SourceUnfit, StaleCursor, StorageUnavailable
from bridge.model.lsn import parse_lsn
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.faults import CheckedSource, FaultyLog, Gate
from tests.capture.oracle import Oracle
from tests.capture.running import (
    await_position,
    await_streaming,
    capturing,
    cursor_of,
    ids_of,
    make_source,
    start,
)
from tests.conftest import Database
from tests.waiting import wait_until
from tests.wire import Wire

T = "public.t"


@pytest.fixture
def oracle(database: Database, sql: psycopg.Connection) -> Oracle:
    """An empty table `t`, its slot, and an oracle that sees all that follows."""
    sql.execute("create table t (id int primary key, note text)")
    make_source(database.dsn, database.name, T).prepare(None)
    return Oracle(sql, database.name, database.name)


def insert(sql: psycopg.Connection, first: int, count: int) -> None:
    sql.execute(
        "insert into t select x, 'new' from generate_series(%s::int, %s::int) x",
        (first, first + count - 1),
    )


def test_a_cut_wire(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    log: MemoryEventLog,
    tmp_path: Path,
    wire: Callable[[int | str], Wire],
) -> None:
    cable = wire(database.dsn)
    source = make_source(cable.through(database.dsn), database.name, T)
    with capturing(CheckedSource(source, log), log, tmp_path, T) as running:
        await_streaming(running, log, T)
        for number in range(3):
            running.observer.clear()
            insert(sql, number * 5_000, 5_000)
            cable.cut()
            running.observer.await_note("capture_interrupted")
            running.observer.await_note("streaming")
        await_position(running, sql, log)
    assert ids_of(log) == oracle.ids(0)


def test_a_half_open_wire(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    log: MemoryEventLog,
    tmp_path: Path,
    wire: Callable[[int | str], Wire],
) -> None:
    cable = wire(database.dsn)
    source = make_source(cable.through(database.dsn), database.name, T, silence_s_max=1.0)
    with capturing(CheckedSource(source, log), log, tmp_path, T) as running:
        await_streaming(running, log, T)
        insert(sql, 1, 10)
        cable.deaf()
        insert(sql, 11, 10)
        told = running.observer.await_note("capture_interrupted")
        assert "no answer for" in str(told["error"])
        cable.cut()
        cable.resume()
        await_position(running, sql, log)
    assert ids_of(log) == oracle.ids(0)


def test_a_killed_server(
    postgres: PrivatePostgres,
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    source = make_source(database.dsn, database.name, T)
    with capturing(CheckedSource(source, log), log, tmp_path, T) as running:
        await_streaming(running, log, T)
        insert(sql, 1, 3_000)
        postgres.kill()
        told = running.observer.await_note("capture_interrupted")
        assert "127.0.0.1" in str(told["error"])
        postgres.restart()
        with psycopg.connect(database.dsn, autocommit=True) as again:
            insert(again, 10_000, 7)
            await_position(running, again, log)
            assert ids_of(log) == oracle.ids(0, again)


def test_a_log_that_fails_and_one_whose_answer_is_lost(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    def fault(number: int, moment: str) -> None:
        if number % 6 == 2 and moment == "before":
            raise StorageUnavailable("disk full")
        if number % 6 == 5 and moment == "after":
            raise StorageUnavailable("the answer was lost")

    source = CheckedSource(make_source(database.dsn, database.name, T), log)
    faulty = FaultyLog(log, fault)
    with capturing(source, faulty, tmp_path, T, batch_changes_max=10) as running:
        await_streaming(running, log, T)
        for number in range(8):
            insert(sql, number * 100, 100)
        insert(sql, 1_000, 12_000)
        await_position(running, sql, log)
    assert len(running.observer.notes("capture_interrupted")) >= 2
    streamed = [entry_id for entry_id in ids_of(log) if ":R" not in entry_id]
    assert streamed == oracle.ids(0)


def test_the_source_is_answered_while_the_log_blocks(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    sql.execute(f"alter database {database.name} set wal_sender_timeout = '2s'".encode())
    gate = Gate()
    source = CheckedSource(make_source(database.dsn, database.name, T), log)
    with capturing(source, FaultyLog(log, gate), tmp_path, T, reads_ahead_max=2) as running:
        await_streaming(running, log, T)
        gate.close()
        confirmed = cursor_of(log).end_lsn
        # More than the bounded queue holds, so that the reader itself has to wait.
        for number in range(20):
            insert(sql, number * 1_000, 1_000)
        assert gate.held.wait(10)
        walsender = _active_pid(sql, database.name)
        until = sql.execute("select clock_timestamp() + interval '6 s'").fetchone()
        wait_until(
            lambda: sql.execute("select clock_timestamp() > %s", until).fetchone() == (True,), 20
        )
        assert _active_pid(sql, database.name) == walsender
        assert _confirmed(sql, database.name) <= confirmed
        gate.open()
        await_position(running, sql, log)
        assert _active_pid(sql, database.name) == walsender
    assert not running.observer.notes("capture_interrupted")
    assert ids_of(log) == oracle.ids(0)


def test_wal_of_other_tables_is_released(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key, note text)")
    sql.execute("create table other (n int)")
    source = CheckedSource(make_source(database.dsn, database.name, T), log)
    with capturing(source, log, tmp_path, T, idle_interval_s=0.2) as running:
        await_streaming(running, log, T)
        sql.execute("insert into other select generate_series(1, 20000)")
        row = sql.execute("select pg_current_wal_insert_lsn()::text").fetchone()
        assert row is not None
        target = parse_lsn(row[0])
        sql.execute("insert into other values (1)")
        wait_until(lambda: _confirmed(sql, database.name) >= target, 10, "the slot to move")
        assert _confirmed(sql, database.name) <= cursor_of(log).end_lsn
    assert log.head().size == 0


def test_a_stopped_capture_goes_on_where_it_was(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    for number in range(3):
        source = make_source(database.dsn, database.name, T)
        with capturing(source, log, tmp_path, T) as running:
            insert(sql, number * 100, 10)
            await_streaming(running, log, T)
            await_position(running, sql, log)
        # A clean stop tells the server the last durable position before it leaves.
        assert _confirmed(sql, database.name) == cursor_of(log).end_lsn
        insert(sql, number * 100 + 50, 10)
    streamed = [entry_id for entry_id in ids_of(log) if ":R" not in entry_id]
    assert len(streamed) == 50
    assert streamed == oracle.ids(0)[:50]


def test_a_second_capture_waits_and_takes_over(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    with capturing(make_source(database.dsn, database.name, T), log, tmp_path, T) as first:
        await_streaming(first, log, T)
        with capturing(make_source(database.dsn, database.name, T), log, tmp_path, T) as second:
            told = second.observer.await_note("capture_interrupted")
            assert "is active for PID" in str(told["error"])
            insert(sql, 1, 5)
            await_position(first, sql, log)
            first.end()
            insert(sql, 6, 5)
            await_position(second, sql, log)
    assert ids_of(log) == oracle.ids(0)


def test_a_process_that_was_taken_over_stops(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    gate = Gate()
    held = FaultyLog(log, gate)
    paused = start(make_source(database.dsn, database.name, T), held, tmp_path, T)
    await_streaming(paused, log, T)
    gate.close()
    insert(sql, 1, 5)
    assert gate.held.wait(10)
    sql.execute(
        "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots"
        " where slot_name = %s",
        (database.name,),
    )
    with capturing(make_source(database.dsn, database.name, T), log, tmp_path, T) as heir:
        await_position(heir, sql, log)
    gate.open()
    failure = paused.await_failure()
    assert isinstance(failure, StaleCursor)
    assert "only one capture may run" in str(failure)
    assert ids_of(log) == oracle.ids(0)


def test_a_gap_is_refused(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    source = make_source(database.dsn, database.name, T)
    with capturing(source, log, tmp_path, T) as running:
        await_streaming(running, log, T)
        insert(sql, 1, 5)
        await_position(running, sql, log)
    insert(sql, 6, 5)
    sql.execute("select pg_replication_slot_advance(%s, pg_current_wal_lsn())", (database.name,))
    with pytest.raises(SourceUnfit, match="by somebody else; changes in between may be lost"):
        source.prepare(cursor_of(log))
    sql.execute("select pg_drop_replication_slot(%s)", (database.name,))
    with pytest.raises(SourceUnfit, match="is gone; changes in between may be lost"):
        source.prepare(cursor_of(log))
    assert len(ids_of(log)) == 5


def _active_pid(sql: psycopg.Connection, slot: str) -> int | None:
    row = sql.execute(
        "select active_pid from pg_replication_slots where slot_name = %s", (slot,)
    ).fetchone()
    assert row is not None
    pid: int | None = row[0]
    return pid


def _confirmed(sql: psycopg.Connection, slot: str) -> int:
    row = sql.execute(
        "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %s", (slot,)
    ).fetchone()
    assert row is not None
    return parse_lsn(row[0])
