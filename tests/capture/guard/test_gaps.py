"""Each verdict on a real server; gaps are recorded, wait, and are closed with their exact range."""

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from bridge.capture.cursor import CaptureCursor, GapMark, format_cursor
from bridge.capture.guard.gaps import OnGap, accept
from bridge.contracts.product_schemas import product_schema
from bridge.demo.servers import PrivatePostgres
from bridge.model.entry import CursorMove, EntryKind, StoredEntry
from bridge.model.errors import SourceUnfit
from bridge.model.lsn import parse_lsn
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.faults import Crash, FaultyLog, crash_at
from tests.capture.running import (
    SOURCE,
    Running,
    await_position,
    await_streaming,
    capturing,
    cursor_of,
    make_source,
    start,
)
from tests.conftest import Database
from tests.waiting import wait_until
from tests.warrants import by

T = "public.t"


@pytest.fixture
def table(sql: psycopg.Connection) -> None:
    sql.execute("create table t (id int primary key, note text)")


def capture_five(database: Database, sql: psycopg.Connection, log: MemoryEventLog) -> CaptureCursor:
    """Capture five rows, stop, and return where the log ends."""
    folder = Path("unused")
    with capturing(make_source(database.dsn, database.name, T), log, folder, T) as running:
        await_streaming(running, log, T)
        sql.execute("insert into t select x from generate_series(1, 5) x")
        await_position(running, sql, log)
    return cursor_of(log)


def entries(log: MemoryEventLog, kind: EntryKind) -> list[StoredEntry]:
    return [entry for entry in log.read(0, log.head().size) if entry.kind is kind]


def leaves(log: MemoryEventLog) -> list[dict[str, object]]:
    """Return the leaf fields of all gap entries."""
    return [json.loads(entry.leaf)["fields"] for entry in entries(log, EntryKind.GAP)]


def decide(log: MemoryEventLog) -> None:
    """Accept the open gap, as the command does."""
    stored = log.cursor(SOURCE)
    assert stored is not None
    cursor, draft = accept(
        SOURCE, cursor_of(log), by("ana", "the tables are small"), now=datetime.now(UTC)
    )
    log.append([draft], cursor=CursorMove(SOURCE, stored.version, format_cursor(cursor)))


def await_gap(running: Running) -> None:
    running.observer.await_note("gap_waits", 20)
    assert running.failure is None


def drop(sql: psycopg.Connection, slot: str) -> None:
    sql.execute("select pg_drop_replication_slot(%s)", (slot,))


def move(sql: psycopg.Connection, slot: str) -> None:
    sql.execute("insert into t values (50)")
    sql.execute("select pg_replication_slot_advance(%s, pg_current_wal_lsn())", (slot,))


@pytest.mark.parametrize(
    ("damage", "cause"), [(drop, "slot-missing"), (move, "slot-moved")], ids=["missing", "moved"]
)
def test_a_gap_waits_for_its_acceptance_and_is_closed(
    damage: Callable[[psycopg.Connection, str], None],
    cause: str,
    table: None,
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    ours = capture_five(database, sql, log)
    assert ours.slot is not None
    assert ours.slot.epoch == 0
    sql.execute("insert into t values (6)")  # Lost to the stream, found by the reading.
    damage(sql, database.name)
    source = make_source(database.dsn, database.name, T)
    with capturing(source, log, tmp_path, T) as running:
        await_gap(running)
        (found,) = leaves(log)
        assert (found["cause"], found["state"]) == (cause, "found")
        assert parse_lsn(str(found["from_lsn"])) == ours.end_lsn
        # The reader stands still: nothing new enters the log, nothing is created.
        sql.execute("insert into t values (7)")
        (event,) = [
            e for e in entries(log, EntryKind.EVENT) if e.routing_key == "bridge.shop.gap.v1"
        ]
        data = json.loads(event.payload)["data"]
        assert data["cause"] == cause
        assert product_schema("bridge.gap").reason(data) is None
        size = log.head().size
        decide(log)
        running.observer.await_note("gap_closed", 20)
        await_streaming(running, log, T)
        await_position(running, sql, log)
        closed = leaves(log)[1]
        cursor = cursor_of(log)
        assert cursor.gap is None
        assert cursor.slot is not None
        assert cursor.slot.epoch == 1
        assert closed["state"] == "closed"
        assert closed["from_lsn"] == found["from_lsn"]
        assert parse_lsn(str(closed["to_lsn"])) == cursor.slot.consistent_lsn > ours.end_lsn
        if damage is move:
            assert closed["to_lsn"] == found["to_lsn"]
        (control,) = entries(log, EntryKind.CONTROL)
        assert control.leaf_index == size
        assert json.loads(control.leaf)["fields"]["actor"]["id"] == "ana"
    rows = {
        json.loads(entry.payload)["after"]["id"]
        for entry in entries(log, EntryKind.EVENT)
        if entry.routing_key and entry.routing_key.startswith("shop.plain")
    }
    assert rows >= {"1", "2", "3", "4", "5", "6", "7"}


def test_a_configured_source_goes_on_by_itself(
    table: None, database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    capture_five(database, sql, log)
    drop(sql, database.name)
    sql.execute("insert into t values (6)")
    source = make_source(database.dsn, database.name, T)
    with capturing(source, log, tmp_path, T, on_gap=OnGap.RESNAPSHOT) as running:
        running.observer.await_note("gap_closed", 20)
        await_streaming(running, log, T)
        await_position(running, sql, log)
    assert [leaf["state"] for leaf in leaves(log)] == ["found", "closed"]
    assert not entries(log, EntryKind.CONTROL)


# After each append: four starts of some 5 s each.
@pytest.mark.parametrize("moment", ["before", pytest.param("after", marks=pytest.mark.soak)])
def test_a_crash_at_each_step_of_a_gap_repeats_nothing(
    moment: str,
    table: None,
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    capture_five(database, sql, log)
    drop(sql, database.name)
    source = make_source(database.dsn, database.name, T)
    for _ in range(4):
        faulty = FaultyLog(log, crash_at({1}, moment))
        running = start(source, faulty, tmp_path, T, on_gap=OnGap.RESNAPSHOT)
        assert isinstance(running.await_failure(), Crash)
    with capturing(source, log, tmp_path, T, on_gap=OnGap.RESNAPSHOT) as running:
        await_streaming(running, log, T)
        await_position(running, sql, log)
    assert [leaf["state"] for leaf in leaves(log)] == ["found", "closed"]


def test_a_slot_that_the_server_gave_up(
    server_folder: Path, log: MemoryEventLog, tmp_path: Path
) -> None:
    settings = {"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    with (
        PrivatePostgres.start(server_folder, settings=settings) as server,
        psycopg.connect(server.dsn(), autocommit=True) as sql,
    ):
        sql.execute("create table t (id int primary key, note text)")
        database = Database(name="bridge_lost", dsn=server.dsn())
        capture_five(database, sql, log)
        for _ in range(4):
            sql.execute("insert into t values ((select max(id) + 1 from t))")
            sql.execute("select pg_switch_wal()")
            sql.execute("checkpoint")
        status = "select wal_status from pg_replication_slots where slot_name = 'bridge_lost'"
        assert sql.execute(status).fetchone() == ("lost",)
        source = make_source(database.dsn, database.name, T)
        with capturing(source, log, tmp_path, T) as running:
            await_gap(running)
            assert [leaf["cause"] for leaf in leaves(log)] == ["slot-lost"]
            decide(log)
            running.observer.await_note("gap_closed", 20)
            await_streaming(running, log, T)
            await_position(running, sql, log)
        assert sql.execute(status).fetchone() == ("reserved",)


def test_another_cluster_is_refused(
    table: None,
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    server_folder: Path,
    tmp_path: Path,
) -> None:
    capture_five(database, sql, log)
    with PrivatePostgres.start(server_folder) as other:
        source = make_source(other.dsn(), database.name, T)
        running = start(source, log, tmp_path, T)
        failure = running.await_failure()
        with psycopg.connect(other.dsn()) as there:
            row = there.execute("select count(*) from pg_replication_slots").fetchone()
        assert row == (0,)
    assert isinstance(failure, SourceUnfit)
    assert "the log follows cluster" in str(failure)
    assert not leaves(log)


def test_a_server_that_was_set_back_is_refused(
    server_folder: Path, log: MemoryEventLog, tmp_path: Path
) -> None:
    copy = server_folder / "copy"
    data = server_folder / "data"
    with PrivatePostgres.start(server_folder) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as sql:
            sql.execute("create table t (id int primary key, note text)")
            database = Database(name="bridge_rewound", dsn=server.dsn())
            capture_five(database, sql, log)
        server.stop()
        subprocess.run(["/bin/cp", "-a", str(data), str(copy)], check=True)
        server.restart()
        source = make_source(server.dsn(), database.name, T)
        with (
            psycopg.connect(server.dsn(), autocommit=True) as sql,
            capturing(source, log, tmp_path, T) as running,
        ):
            sql.execute("insert into t select x, repeat('x', 100) from generate_series(6, 5000) x")
            await_position(running, sql, log)
        size = log.head().size
        server.stop()
        shutil.rmtree(data)
        copy.rename(data)
        server.restart()
        failure = start(source, log, tmp_path, T).await_failure()
        assert isinstance(failure, SourceUnfit)
        assert "was set back" in str(failure)
        assert "source diff" in str(failure)
    assert log.head().size == size


def test_a_gap_that_turns_out_to_be_none_is_closed_as_such(
    table: None, database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    """As after a crash between recording that the slot is given up and dropping it."""
    ours = capture_five(database, sql, log)
    stored = log.cursor(SOURCE)
    assert stored is not None
    mark = GapMark(cause="slot-given-up", end_lsn=None, accepted=True)
    log.append([], cursor=CursorMove(SOURCE, stored.version, format_cursor(ours.moved(gap=mark))))
    sql.execute("insert into t values (6)")
    with capturing(make_source(database.dsn, database.name, T), log, tmp_path, T) as running:
        await_position(running, sql, log)
    assert [(leaf["cause"], leaf["state"]) for leaf in leaves(log)] == [("slot-given-up", "none")]
    cursor = cursor_of(log)
    assert cursor.gap is None
    assert cursor.slot is not None
    assert cursor.slot.epoch == 1
    rows = [e for e in entries(log, EntryKind.EVENT) if e.routing_key == "shop.plain.created.v1"]
    assert len(rows) == 6


def test_a_gap_and_its_end_on_each_version(
    any_database: Database, log: MemoryEventLog, tmp_path: Path
) -> None:
    source = make_source(any_database.dsn, any_database.name, T)
    reader = source.slot_reader()
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute("create table t (id int primary key, note text)")
        capture_five(any_database, sql, log)
        reading = reader.read()
        assert reading.exists
        assert not reading.active
        assert reading.confirmed == cursor_of(log).end_lsn
        drop(sql, any_database.name)
        assert not reader.read().exists
        sql.execute("insert into t values (6)")
        with capturing(source, log, tmp_path, T, on_gap=OnGap.RESNAPSHOT) as running:
            running.observer.await_note("gap_closed", 20)
            await_streaming(running, log, T)
            await_position(running, sql, log)
            wait_until(lambda: reader.read().active, 10, "the slot to be read")
            assert reader.read().sent is not None
    reader.close()
    assert [leaf["state"] for leaf in leaves(log)] == ["found", "closed"]


def test_a_gap_may_break_off_a_transaction_that_is_half_in_the_log(
    table: None, database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    capture_five(database, sql, log)

    def fault(_number: int, moment: str) -> None:
        if moment == "after" and cursor_of(log).part is not None:
            raise Crash("half a transaction is in the log")

    source = make_source(database.dsn, database.name, T)
    running = start(source, FaultyLog(log, fault), tmp_path, T)
    sql.execute("insert into t select x from generate_series(6, 12000) x")
    assert isinstance(running.await_failure(), Crash)
    half = cursor_of(log).part
    assert half is not None
    wait_until(lambda: _is_free(sql, database.name), 20, "the slot to be free")
    drop(sql, database.name)
    with capturing(source, log, tmp_path, T, on_gap=OnGap.RESNAPSHOT) as running:
        running.observer.await_note("gap_closed", 20)
        await_streaming(running, log, T)
        sql.execute("insert into t values (12001)")
        await_position(running, sql, log)
    found = json.loads(entries(log, EntryKind.GAP)[0].payload)
    assert parse_lsn(found["broken_off_transaction"]) == half.commit_lsn
    assert cursor_of(log).part is None
    rows = [e for e in entries(log, EntryKind.EVENT) if e.routing_key == "shop.plain.created.v1"]
    assert json.loads(rows[-1].payload)["after"]["id"] == "12001"


def _is_free(sql: psycopg.Connection, slot: str) -> bool:
    query = "select active_pid is null from pg_replication_slots where slot_name = %s"
    return sql.execute(query, (slot,)).fetchone() == (True,)
