"""A streamed transaction that is interrupted anywhere is in the log once, whole, with its ids."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from bridge.capture.ports import CaptureLog
from bridge.capture.protocol.stage_files import StageFolder
from bridge.model.change import RowChange
from bridge.model.errors import LimitExceeded
from bridge.model.lsn import parse_lsn
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.faults import CheckedSource, FaultyLog, Gate
from tests.capture.oracle import Oracle
from tests.capture.running import (
    SOURCE,
    Running,
    await_position,
    await_streaming,
    capturing,
    cursor_of,
    ids_of,
    make_source,
    start,
)
from tests.capture.victim import Victim, serving_victims
from tests.conftest import Database
from tests.waiting import wait_until
from tests.wire import Wire

T = "public.t"
_STREAMED = re.compile(r"[a-z]+:[0-9A-F]{16}:[0-9A-F]{8}$")


@pytest.fixture
def oracle(database: Database, sql: psycopg.Connection) -> Oracle:
    """An empty table `t` whose larger transactions are streamed, its slot, and an oracle."""
    sql.execute("create table t (id int primary key, note text)")
    sql.execute(f"alter database {database.name} set logical_decoding_work_mem = '64kB'".encode())
    make_source(database.dsn, database.name, T).prepare(None)
    return Oracle(sql, database.name, database.name)


class Writer:
    """Another session of the application, with one transaction."""

    def __init__(self, dsn: str) -> None:
        self._sql = psycopg.connect(dsn)
        self._next = 1

    def write(self, count: int) -> None:
        """Insert rows, and more of them that a savepoint takes back."""
        self._insert(count)
        self._sql.execute("savepoint s")
        self._insert(count)
        self._sql.execute("rollback to s")

    def _insert(self, count: int) -> None:
        first, self._next = self._next, self._next + count
        self._sql.execute(
            "insert into t select x, repeat('x', 80) || x from generate_series(%s::int, %s::int) x",
            (first, self._next - 1),
        )

    def commit(self) -> None:
        """Commit."""
        self._sql.commit()

    def close(self) -> None:
        """Leave; what is not committed is undone."""
        self._sql.close()


@pytest.fixture
def writer(database: Database, oracle: Oracle) -> Iterator[Writer]:
    writer = Writer(database.dsn)
    yield writer
    writer.close()


def staged(folder: Path) -> list[Path]:
    return sorted(folder.glob("stage-*.frames"))


def streamed_ids(log: CaptureLog) -> list[str]:
    return [entry_id for entry_id in ids_of(log) if _STREAMED.match(entry_id)]


def write_aside(sql: psycopg.Connection, first: int = -100) -> None:
    """Commit a small transaction while the large one is open."""
    sql.execute("insert into t values (%s, 'aside')", (first,))


def confirmed(sql: psycopg.Connection, slot: str) -> int:
    row = sql.execute(
        "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %s", (slot,)
    ).fetchone()
    assert row is not None
    return parse_lsn(row[0])


def test_a_wire_that_is_cut_while_a_transaction_is_staged(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    writer: Writer,
    log: MemoryEventLog,
    tmp_path: Path,
    wire: Callable[[int | str], Wire],
) -> None:
    cable = wire(database.dsn)
    source = make_source(cable.through(database.dsn), database.name, T, stages=tmp_path)
    with capturing(CheckedSource(source, log), log, tmp_path, T) as running:
        await_streaming(running, log, T)
        writer.write(2_000)
        (stage,) = wait_until(lambda: staged(tmp_path), 20, "a stage")
        assert stage.stat().st_mode & 0o777 == 0o600
        # What is staged does not hold back the acknowledgement of what was committed meanwhile.
        write_aside(sql)
        await_position(running, sql, log)
        wait_until(lambda: confirmed(sql, database.name) >= cursor_of(log).end_lsn, 10, "an ack")
        running.observer.clear()
        cable.cut()
        running.observer.await_note("capture_interrupted")
        running.observer.await_note("streaming")
        writer.write(2_000)
        writer.commit()
        await_position(running, sql, log)
    assert streamed_ids(log) == oracle.ids(0)
    assert len(streamed_ids(log)) == 4_001
    assert not staged(tmp_path)


def test_a_clean_restart_while_a_transaction_is_staged(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    writer: Writer,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    for _ in range(2):
        source = make_source(database.dsn, database.name, T, stages=tmp_path)
        with capturing(CheckedSource(source, log), log, tmp_path, T) as running:
            await_streaming(running, log, T)
            writer.write(1_000)
            wait_until(lambda: staged(tmp_path), 20, "a stage")
        assert not staged(tmp_path)
    writer.commit()
    source = make_source(database.dsn, database.name, T, stages=tmp_path)
    with capturing(CheckedSource(source, log), log, tmp_path, T) as running:
        await_position(running, sql, log)
    assert streamed_ids(log) == oracle.ids(0)
    assert len(streamed_ids(log)) == 2_000


@pytest.mark.parametrize("point", ["staged", "part.after", "part.before"])
def test_a_process_that_is_killed(
    point: str,
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    writer: Writer,
    tmp_path: Path,
) -> None:
    victim = Victim(
        dsn=database.dsn,
        slot=database.name,
        folder=str(tmp_path),
        tables=(T,),
        point=point,
        number=2,
        streaming=True,
    )
    with serving_victims() as victims:
        victims.start(victim)
        wait_until((tmp_path / "log.db").exists, 20, "the log")
        log = SqliteEventLog(tmp_path / "log.db")
        try:
            wait_until(lambda: log.cursor(SOURCE), 20, "the first cursor")
            writer.write(12_000)
            wait_until(lambda: staged(tmp_path), 20, "a stage")
            if point == "staged":
                victims.kill()
                (left,) = staged(tmp_path)
                # As if the transaction had been rolled back after the kill: nobody uses it again.
                left.rename(tmp_path / "stage-1.frames")
            else:
                writer.commit()
                code = wait_until(lambda: victims.exit_code(0.1), 60, "the process to kill itself")
                assert code == -signal.SIGKILL
                assert cursor_of(log).part is not None
            writer.commit()
            source = make_source(database.dsn, database.name, T, stages=tmp_path)
            with capturing(CheckedSource(source, log), log, tmp_path, T) as running:
                await_position(running, sql, log)
            assert streamed_ids(log) == oracle.ids(0)
            assert len(streamed_ids(log)) == 12_000
        finally:
            log.close()
    assert not staged(tmp_path)


def test_the_source_is_answered_while_a_stage_is_read_out(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    writer: Writer,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    sql.execute(f"alter database {database.name} set wal_sender_timeout = '1500ms'".encode())
    gate = Gate()
    source = CheckedSource(make_source(database.dsn, database.name, T, stages=tmp_path), log)
    # With one read ahead, three of six parts wait in the stage.
    with capturing(source, FaultyLog(log, gate), tmp_path, T, reads_ahead_max=1) as running:
        await_streaming(running, log, T)
        writer.write(30_000)
        wait_until(lambda: staged(tmp_path), 20, "a stage")
        gate.close()
        writer.commit()
        assert gate.held.wait(20)
        before = active_pid(sql, database.name)
        until = sql.execute("select clock_timestamp() + interval '4 s'").fetchone()
        wait_until(
            lambda: sql.execute("select clock_timestamp() > %s", until).fetchone() == (True,), 20
        )
        assert staged(tmp_path), "it is not read out yet"
        assert active_pid(sql, database.name) == before
        gate.open()
        await_position(running, sql, log)
    assert not running.observer.notes("capture_interrupted")
    assert streamed_ids(log) == oracle.ids(0)


def active_pid(sql: psycopg.Connection, slot: str) -> int:
    row = sql.execute(
        "select active_pid from pg_replication_slots where slot_name = %s", (slot,)
    ).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


@contextmanager
def started(
    database: Database, folder: StageFolder, log: MemoryEventLog, path: Path
) -> Iterator[Running]:
    running = start(make_source(database.dsn, database.name, T, stages=folder), log, path, T)
    await_streaming(running, log, T)
    try:
        yield running
    finally:
        running.stop.set()


def test_a_disk_without_room_is_tried_again(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    writer: Writer,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    folder = StageFolder(tmp_path, free_bytes_min=2**60)
    with started(database, folder, log, tmp_path) as running:
        writer.write(2_000)
        told = running.observer.await_note("capture_interrupted")
        assert "bytes are free on that disk" in str(told["error"])
        assert not staged(tmp_path)
        folder.free_bytes_min = 0
        wait_until(lambda: staged(tmp_path), 30, "room")
        writer.commit()
        await_position(running, sql, log)
        running.end()
    assert streamed_ids(log) == oracle.ids(0)
    assert len(streamed_ids(log)) == 2_000


def test_too_much_for_the_stages_is_a_limit_with_advice(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    writer: Writer,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    folder = StageFolder(tmp_path, bytes_max=200_000)
    with started(database, folder, log, tmp_path) as running:
        writer.write(5_000)
        failure = running.await_failure()
    assert isinstance(failure, LimitExceeded)
    assert "raise the source's `stage_bytes_max`, or set its `streaming: false`" in str(failure)
    assert not staged(tmp_path)
    writer.commit()
    # Either advice helps: nothing was lost.
    with capturing(make_source(database.dsn, database.name, T), log, tmp_path, T) as again:
        await_position(again, sql, log)
    assert streamed_ids(log) == oracle.ids(0)
    assert len(streamed_ids(log)) == 5_000


def test_a_message_in_doubt_makes_the_source_read_the_ordinary_form(
    database: Database,
    sql: psycopg.Connection,
    oracle: Oracle,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    source = CheckedSource(make_source(database.dsn, database.name, T, stages=tmp_path), log)
    with capturing(source, log, tmp_path, T) as running:
        await_streaming(running, log, T)
        with sql.transaction():
            insert_many(sql, 1)
            sql.execute("savepoint s")
            sql.execute("select pg_logical_emit_message(true, 'app', 'undone')")
            insert_many(sql, 10_001)
            wait_until(lambda: staged(tmp_path), 20, "a stage")
            sql.execute("rollback to s")
            sql.execute("select pg_logical_emit_message(true, 'app', 'kept')")
            insert_many(sql, 20_001)
        note = running.observer.await_note("capture_interrupted")
        assert "does not say whether the message was under it" in str(note["error"])
        await_position(running, sql, log)
        insert_many(sql, 30_001)
        await_position(running, sql, log)
    assert len(running.observer.notes("capture_interrupted")) == 1
    rows = [
        f"{SOURCE}:{part.commit_lsn:016X}:{ordinal:08X}"
        for part in oracle.parts()
        for ordinal, change in enumerate(part.changes)
        if isinstance(change, RowChange)
    ]
    assert len(rows) == 3 * 1_500
    assert [entry_id for entry_id in streamed_ids(log) if entry_id in set(rows)] == rows


def insert_many(sql: psycopg.Connection, first: int) -> None:
    sql.execute(
        "insert into t select x, repeat('x', 80) from generate_series(%s::int, %s::int) x",
        (first, first + 1_499),
    )
