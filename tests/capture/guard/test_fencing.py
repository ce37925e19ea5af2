"""Nothing is acknowledged before it is durable; nobody appends who was taken over."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.faults import CheckedSource, FaultyLog, Gate
from tests.capture.oracle import Oracle
from tests.capture.running import (
    await_position,
    await_streaming,
    capturing,
    cursor_of,
    ids_of,
    make_source,
    read_tables,
)
from tests.child import end
from tests.conftest import Database
from tests.waiting import wait_until

T = "public.t"


def test_an_idle_position_is_acknowledged_only_once_it_is_durable(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key)")
    sql.execute("create table other (n int)")
    gate = Gate()
    source = make_source(database.dsn, database.name, T)
    reader = source.slot_reader()
    checked = CheckedSource(source, log)
    try:
        with capturing(checked, FaultyLog(log, gate), tmp_path, T, idle_interval_s=0.05) as running:
            await_streaming(running, log, T)
            gate.close()
            durable = cursor_of(log).end_lsn
            sql.execute("insert into other select generate_series(1, 20000)")
            behind = reader.read().position
            assert gate.held.wait(20), "the position was not about to be stored"
            # The keepalive has come; the server is told our old position again and again.
            until = sql.execute("select clock_timestamp() + interval '1 s'").fetchone()
            wait_until(
                lambda: sql.execute("select clock_timestamp() > %s", until).fetchone() == (True,)
            )
            confirmed = reader.read().confirmed
            assert confirmed is not None
            assert confirmed <= durable < behind
            gate.open()
            wait_until(lambda: (reader.read().confirmed or 0) >= behind, 20, "the slot to move")
            assert cursor_of(log).end_lsn >= behind
    finally:
        gate.open()
        reader.close()
    assert log.head().size == 0


def test_a_process_that_was_paused_cannot_append_after_it_was_taken_over(
    database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key)")
    make_source(database.dsn, database.name, T).prepare(None)
    oracle = Oracle(sql, database.name, database.name)
    command = [sys.executable, "-m", "tests.capture.guard.paused", database.dsn, database.name]
    paused = subprocess.Popen([*command, str(tmp_path), T], stderr=subprocess.PIPE, text=True)
    log = SqliteEventLog(tmp_path / "log.db")
    try:
        wait_until(lambda: T in read_tables(log), 30, "the first reading")
        sql.execute("insert into t select x from generate_series(1, 40) x")
        wait_until(lambda: _state(paused.pid) == "T", 30, "the process to pause")
        sql.execute(
            "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots"
            " where slot_name = %s",
            (database.name,),
        )
        with capturing(make_source(database.dsn, database.name, T), log, tmp_path, T) as heir:
            await_position(heir, sql, log)
            assert len(ids_of(log)) == 40
            os.kill(paused.pid, signal.SIGCONT)
            _, said = paused.communicate(timeout=30)
            sql.execute("insert into t values (41)")
            await_position(heir, sql, log)
        assert paused.returncode == 1
        assert "StaleCursor" in said
        assert "only one capture may run" in said
        assert ids_of(log) == oracle.ids(0)
    finally:
        paused.kill()  # Stopped, it would not hear SIGTERM.
        end(paused)
        log.close()


def _state(pid: int) -> str:
    """Return the process state that the kernel shows: `T` is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
