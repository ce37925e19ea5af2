"""The guard on a real server: levels, events, alarms, the authorised drop, and idle WAL."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from adapters.postgres.source import PostgresSource
from bridge.capture.guard.guard_watch import GuardWatch
from bridge.capture.guard.wal_guard import GuardLevel, GuardLimits
from bridge.capture.mapping.own_events import OwnEvents
from bridge.contracts.product_schemas import product_schema
from bridge.demo.servers import PrivatePostgres
from bridge.model.entry import EntryKind, StoredEntry
from bridge.model.lsn import parse_lsn
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.faults import FaultyLog, Gate
from tests.capture.running import (
    SOURCE,
    await_position,
    await_streaming,
    capturing,
    cursor_of,
    make_source,
)
from tests.conftest import Database
from tests.waiting import RecordingObserver, wait_until

T = "public.t"
MB = 1 << 20


class Bell:
    """Keeps the alarms."""

    def __init__(self) -> None:
        self.alarms: list[Mapping[str, Any]] = []
        self.closed = False

    def ring(self, alarm: Mapping[str, Any]) -> None:
        """Keep it."""
        self.alarms.append(alarm)

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def watch(
    source: PostgresSource, observer: RecordingObserver, bell: Bell | None = None, **limits: Any
) -> GuardWatch:
    return GuardWatch(
        SOURCE,
        source.slot_reader(),
        limits=GuardLimits(**limits),
        events=OwnEvents(SOURCE, "com.example"),
        observer=observer,
        bell=bell,
        interval_s=0.05,
    )


def entries(log: MemoryEventLog, kind: EntryKind) -> list[StoredEntry]:
    return [entry for entry in log.read(0, log.head().size) if entry.kind is kind]


def guard_events(log: MemoryEventLog) -> list[dict[str, Any]]:
    found = [
        json.loads(entry.payload)["data"]
        for entry in entries(log, EntryKind.EVENT)
        if entry.routing_key == "bridge.shop.wal-guard.v1"
    ]
    assert {product_schema("bridge.wal-guard").reason(data) for data in found} <= {None}
    return found


def fill(sql: psycopg.Connection, megabytes: int) -> None:
    """Write that much WAL into a table that nobody captures."""
    sql.execute("create table if not exists other (n int, filling text)")
    # 1 kB a row, uncompressed.
    sql.execute(
        "insert into other select x, repeat('x', 1000) from generate_series(1, %s) x",
        (megabytes * 1000,),
    )


def retained(observer: RecordingObserver) -> int:
    """Return what the guard noted last."""
    notes = observer.notes("wal_guard")
    value = notes[-1].facts["retained_bytes"] if notes else 0
    assert isinstance(value, int)
    return value


def release(sql: psycopg.Connection) -> None:
    """Have the server look how far the slot has come."""
    sql.execute("checkpoint")


def slot(sql: psycopg.Connection, name: str) -> Any:
    return sql.execute(
        "select pg_current_wal_lsn() - restart_lsn, confirmed_flush_lsn::text"
        " from pg_replication_slots where slot_name = %s",
        (name,),
    ).fetchone()


def test_a_slot_that_stands_still_raises_the_alarm_and_a_released_one_ends_it(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key)")
    source = make_source(database.dsn, database.name, T)
    gate, bell, observer = Gate(), Bell(), RecordingObserver()
    guard = watch(source, observer, bell, warning_bytes=4 * MB, critical_bytes=8 * MB)
    faulty = FaultyLog(log, gate)
    with capturing(source, faulty, tmp_path, T, watches=[guard], idle_interval_s=0.1) as running:
        await_streaming(running, log, T)
        gate.close()  # The log takes nothing any more: the alarm must not need it.
        fill(sql, 6)
        told = observer.await_note("wal_guard_raised", 20)
        assert told["to_level"] == "warning"
        fill(sql, 6)
        observer.await_note("wal_guard_raised", 20, to_level="critical")
        assert [alarm["level"] for alarm in bell.alarms] == ["warning", "critical"]
        assert "the slot holds" in bell.alarms[1]["reasons"][0]
        gate.open()

        def calm() -> bool:
            sql.execute("insert into other values (0)")
            release(sql)
            return bool(observer.notes("wal_guard_lowered")) and cursor_of(log).watches[
                "wal-guard"
            ].endswith('"level": 0}')

        wait_until(calm, 30, "the alarm to end")
    levels = [event["level"] for event in guard_events(log)]
    assert levels[:2] == ["warning", "critical"]
    assert levels[-1] == "ok"
    ids = [alarm["id"] for alarm in bell.alarms]
    assert ids == [f"shop:wal-guard:{number:08X}" for number in range(1, len(ids) + 1)]
    assert bell.closed


def test_the_level_outlives_the_process(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key)")
    for _ in range(2):
        source = make_source(database.dsn, database.name, T)
        observer = RecordingObserver()
        guard = watch(source, observer, warning_bytes=1, critical_bytes=1 << 40)
        with capturing(source, log, tmp_path, T, watches=[guard]) as running:
            await_streaming(running, log, T)
            sql.execute("create table if not exists other (n int, filling text)")
            sql.execute("insert into other values (1)")
            wait_until(
                lambda: log.cursor(SOURCE) and "wal-guard" in cursor_of(log).watches, 20, "a level"
            )
            observer.await_note("wal_guard", 20, level=int(GuardLevel.WARNING))
            assert retained(observer) > 0
    assert [event["level"] for event in guard_events(log)] == ["warning"]


def test_an_authorised_limit_records_the_gap_and_then_drops_the_slot(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key)")
    dropped_after: list[int] = []
    source = make_source(database.dsn, database.name, T)
    gate, observer = Gate(), RecordingObserver()
    guard = watch(source, observer, drop_slot_bytes=8 * MB)
    drop = guard._reader.drop  # The real one, observed.

    def observed() -> None:
        dropped_after.append(len(entries(log, EntryKind.GAP)))
        drop()

    guard._reader.drop = observed  # type: ignore[method-assign]  # to see the order
    faulty = FaultyLog(log, gate)
    with capturing(source, faulty, tmp_path, T, watches=[guard]) as running:
        await_streaming(running, log, T)
        sql.execute("insert into t values (1)")
        await_position(running, sql, log)
        ours = cursor_of(log).end_lsn
        gate.close()
        fill(sql, 12)
        sql.execute("insert into t values (2)")
        wait_until(lambda: retained(observer) > 8 * MB, 20, "the limit")
        gate.open()
        running.observer.await_note("gap_waits", 20, cause="slot-given-up")
        wait_until(lambda: slot(sql, database.name) is None, 20, "the slot to go")
        assert running.failure is None
        found = json.loads(entries(log, EntryKind.GAP)[0].leaf)["fields"]
    assert found["cause"] == "slot-given-up"
    assert parse_lsn(found["from_lsn"]) >= ours
    assert dropped_after[0] == 1
    assert set(dropped_after) == {1}


def test_without_authority_nothing_is_ever_dropped(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key)")
    source = make_source(database.dsn, database.name, T)
    observer = RecordingObserver()
    guard = watch(source, observer, warning_bytes=1, critical_bytes=2)
    with capturing(source, log, tmp_path, T, watches=[guard]) as running:
        await_streaming(running, log, T)
        fill(sql, 3)
        observer.await_note("wal_guard_raised", 20, to_level="critical")
        await_position(running, sql, log)
    assert slot(sql, database.name) is not None
    assert not entries(log, EntryKind.GAP)


def test_idle_wal_is_released_without_a_write_to_the_source(
    postgres: PrivatePostgres,
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    sql.execute("create table t (id int primary key)")
    sql.execute(f"create database {database.name}_other".encode())
    source = make_source(database.dsn, database.name, T)
    reader = source.slot_reader()
    other = postgres.dsn(f"{database.name}_other")
    try:
        with capturing(source, log, tmp_path, T, idle_interval_s=0.1) as running:
            await_streaming(running, log, T)
            written_before = _writes(sql, database.name)
            with psycopg.connect(other, autocommit=True) as elsewhere:
                fill(elsewhere, 30)
                high = reader.read()
                assert high.restart_lsn is not None
                assert high.position - high.restart_lsn > 30 * MB

                def released() -> bool:
                    release(elsewhere)
                    now = reader.read()
                    assert now.restart_lsn is not None
                    return now.position - now.restart_lsn < MB

                wait_until(released, 30, "the WAL to be released")
            assert _writes(sql, database.name) == written_before
    finally:
        reader.close()
        sql.execute(f"drop database {database.name}_other with (force)".encode())
    assert log.head().size == 0


def _writes(sql: psycopg.Connection, database: str) -> Any:
    """Return what was ever written in the captured database."""
    sql.execute("select pg_stat_force_next_flush()")
    return sql.execute(
        "select tup_inserted, tup_updated, tup_deleted from pg_stat_database where datname = %s",
        (database,),
    ).fetchone()


def test_reading_needs_no_right_but_to_connect(database: Database, sql: psycopg.Connection) -> None:
    sql.execute("create table t (id int primary key)")
    source = make_source(database.dsn, database.name, T)
    source.prepare(None)
    role = f"clerk_{database.name}"
    sql.execute(f"create role {role} login".encode())
    clerk = make_source(
        database.dsn.replace(database.dsn.split("//")[1].split("@")[0], role), database.name, T
    )
    reader = clerk.slot_reader()
    try:
        reading = reader.read()
        assert reading.exists
        assert not reading.active
        assert reading.confirmed
    finally:
        reader.close()
        sql.execute(f"drop role {role}".encode())
