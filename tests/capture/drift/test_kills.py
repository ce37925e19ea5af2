"""A process that dies around a drift event leaves it in the log once, before its first row."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.drift.shop import Follow, shop, start_shop, story
from tests.capture.faults import Crash, FaultyLog, crash_at
from tests.capture.running import (
    await_position,
    await_streaming,
    ids_of,
    make_source,
)
from tests.conftest import Database
from tests.waiting import wait_until

STORY = [
    "created 1", "drift continued-without-unmapped", "created 2", "created 3",
    "drift parked", "parked 4", "parked 5",
]  # fmt: skip


def write(sql: psycopg.Connection) -> None:
    """Commit rows of three shapes, one change of shape inside a transaction."""
    sql.execute("insert into t values (1, 'a')")
    sql.execute(
        "begin; alter table t add column more int; insert into t values (2, 'b', 1); commit"
    )
    sql.execute("insert into t values (3, 'c', 1)")
    sql.execute("alter table t drop column name")
    sql.execute("begin; insert into t values (4, 1); insert into t values (5, 1); commit")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_each_append(
    moment: str,
    follow: Follow,
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
    contracts: Path,
) -> None:
    follow()
    write(sql)
    number = 0
    while len(story(log)) < len(STORY):
        number += 1
        faulty = FaultyLog(log, crash_at({number % 4 + 1}, moment))
        running = start_shop(database, faulty, tmp_path / "spool", contracts, batch_changes_max=1)
        wait_until(lambda: running.failure or len(story(log)) == len(STORY), 20, "the crash")  # noqa: B023 - called at once
        with suppress(Crash):
            running.end()
        assert number < 40, "no progress"
    assert story(log) == STORY
    assert len(ids_of(log)) == len(set(ids_of(log)))


@pytest.mark.parametrize(("number", "moment"), [(2, "before"), (3, "after")])
def test_killed_around_the_drift_event(
    number: int,
    moment: str,
    database: Database,
    sql: psycopg.Connection,
    tmp_path: Path,
    contracts: Path,
) -> None:
    sql.execute("create table t (id int primary key, name text)")
    make_source(database.dsn, database.name, "public.t").prepare(None)
    log = SqliteEventLog(tmp_path / "log.db")
    try:
        with shop(database, log, tmp_path, contracts) as running:
            await_streaming(running, log, "public.t")
        write(sql)
        for _ in range(2):
            command = [sys.executable, "-m", "tests.capture.drift.victim", database.dsn]
            arguments = [database.name, str(tmp_path), str(contracts), str(number), moment]
            process = subprocess.Popen([*command, *arguments])
            try:
                wait_until(
                    lambda: process.poll() is not None or len(story(log)) == len(STORY),  # noqa: B023 - called at once
                    60,
                    "the process to kill itself",
                )
            finally:
                process.kill()
                process.wait(10)
            assert process.returncode == -signal.SIGKILL
        with shop(database, log, tmp_path, contracts) as running:
            await_streaming(running, log, "public.t")
            await_position(running, sql, log)
        assert story(log) == STORY
    finally:
        log.close()
