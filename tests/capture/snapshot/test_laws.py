"""Tables that are read while they change: nothing is lost, nothing goes back."""

import random
from functools import partial
from pathlib import Path

import psycopg
import pytest

from bridge.capture.snapshot.pacing import SnapshotLimits
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.faults import Crash, FaultyLog, crash_at
from tests.capture.running import (
    Running,
    await_position,
    await_streaming,
    capturing,
    events_of,
    make_source,
    read_tables,
)
from tests.capture.snapshot.laws import SCHEMA, TABLE, Application, assert_laws
from tests.conftest import Database
from tests.waiting import wait_until

# Small chunks, no rests: as many windows as there can be.
LIMITS = SnapshotLimits(chunk_rows=23, duty=1.0)


@pytest.fixture
def acct(sql: psycopg.Connection) -> psycopg.Connection:
    """The table that the application writes to."""
    for statement in SCHEMA:
        sql.execute(statement.encode())
    return sql


@pytest.mark.parametrize("seed", range(2))
def test_under_load(
    seed: int, database: Database, acct: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    source = make_source(database.dsn, database.name, TABLE)
    application = Application(database.dsn, seed)
    with capturing(source, log, tmp_path, TABLE, snapshot_limits=LIMITS) as running:
        with application.writing():
            await_streaming(running, log, TABLE)
            more = application.writes + 50
            wait_until(lambda: application.failure or application.writes > more)
        await_position(running, acct, log)
    assert_laws(log, acct)
    kinds = {event["kind"] for event in events_of(log)}
    assert "read" in kinds or "truncated" in kinds


@pytest.mark.parametrize("moment", ["before", "after"])
def test_under_load_with_crashes(
    moment: str,
    database: Database,
    acct: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
) -> None:
    """The process ends around one of its first appends, again and again: it goes on in the
    middle of a table, and knows nothing of what changed before."""
    chance = random.Random(moment)
    application = Application(database.dsn, 7, threads=2, truncates=False)
    done, crashes = False, 0
    with application.writing():
        while not done:
            number = chance.randint(2, 40)
            faulty = FaultyLog(log, crash_at({number}, moment))
            source = make_source(database.dsn, database.name, TABLE)
            try:
                with capturing(source, faulty, tmp_path, TABLE, snapshot_limits=LIMITS) as running:
                    wait_until(partial(_ended_or_read, running, log), 30)
                    done = running.failure is None
            except Crash:
                crashes += 1
            assert crashes < 100
    assert crashes > 0
    source = make_source(database.dsn, database.name, TABLE)
    with capturing(source, log, tmp_path, TABLE) as running:
        await_position(running, acct, log)
    assert_laws(log, acct)


def test_on_each_version(any_database: Database, log: MemoryEventLog, tmp_path: Path) -> None:
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        for statement in SCHEMA:
            sql.execute(statement.encode())
        test_under_load(5, any_database, sql, log, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 130))
def test_under_load_for_long(
    seed: int, database: Database, acct: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    test_under_load(seed, database, acct, log, tmp_path)


def test_an_idle_database_completes(
    database: Database, acct: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    """Nobody writes: the place where the rows were read is reached all the same."""
    # Dead rows, which a reading cleans up: that writes WAL which no commit flushes.
    acct.execute("update acct set note = 'second'")
    acct.execute("vacuum analyze acct")
    acct.execute("update acct set note = 'third' where id % 3 = 0")
    make_source(database.dsn, database.name, TABLE).prepare(None)
    before = _next_xid(acct)
    with capturing(
        make_source(database.dsn, database.name, TABLE),
        log,
        tmp_path,
        TABLE,
        snapshot_limits=LIMITS,
    ) as running:
        await_streaming(running, log, TABLE)
        progress = running.observer.notes("snapshot_progress")
        assert len(progress) >= 400 // 23
        assert progress[-2].facts["rows_estimate"] == 400
    assert _next_xid(acct) == before, "reading wrote to the source"
    assert_laws(log, acct)


def _next_xid(sql: psycopg.Connection) -> int:
    """Return the number that the next transaction that writes will get."""
    row = sql.execute("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None
    return int(row[0])


def _ended_or_read(running: Running, log: MemoryEventLog) -> bool:
    return running.failure is not None or TABLE in read_tables(log)
