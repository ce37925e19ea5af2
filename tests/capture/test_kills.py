"""A capture process that is killed at any moment loses nothing and repeats nothing."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest

from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.oracle import Oracle
from tests.capture.running import (
    await_position,
    await_streaming,
    capturing,
    events_of,
    ids_of,
    make_source,
    rebuild,
    table_rows,
)
from tests.conftest import Database
from tests.waiting import wait_until

TABLES = ("public.t", "public.h")


@contextmanager
def victim(
    database: Database, folder: Path, number: int, moment: str
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.capture.victim", database.dsn, database.name]
    process = subprocess.Popen([*command, str(folder), str(number), moment, *TABLES])
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def write(sql: psycopg.Connection, chance: random.Random, first_id: int) -> int:
    """Commit some transactions, one of them larger than a part; return the next free id."""
    for count in (1, 3, chance.choice([40, 200, 7_000]), 2):
        with sql.transaction():
            sql.execute(
                "insert into t select x, 'new' from generate_series(%s::int, %s::int) x",
                (first_id, first_id + count - 1),
            )
            sql.execute(
                "update t set note = note || '!' where id %% 7 = %s and id < 2000", (count % 7,)
            )
            sql.execute("delete from t where id = %s", (first_id,))
            sql.execute("insert into h values (%s)", (count,))
        first_id += count
    return first_id


def died_writing(process: "subprocess.Popen[bytes]", sql: psycopg.Connection) -> bool:
    """Give a living process one more transaction to append."""
    if process.poll() is not None:
        return True
    sql.execute("insert into h values (0)")
    return False


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (1, 2))]
)
def test_killed_at_seeded_appends(
    seed: int, database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    sql.execute("create table t (id int primary key, note text)")
    sql.execute("create table h (n int)")
    sql.execute("insert into t select x, 'old' from generate_series(1, 300) x")
    make_source(database.dsn, database.name, *TABLES).prepare(None)
    oracle = Oracle(sql, database.name, database.name)
    next_id = 1_000
    for _ in range(4):
        next_id = write(sql, chance, next_id)
        moment = chance.choice(["before", "after"])
        with victim(database, tmp_path, chance.randint(1, 9), moment) as process:
            next_id = write(sql, chance, next_id)
            wait_until(partial(died_writing, process, sql), 60, "the process to kill itself")
        assert process.returncode == -signal.SIGKILL
    log = SqliteEventLog(tmp_path / "log.db")
    try:
        source = make_source(database.dsn, database.name, *TABLES)
        with capturing(source, log, tmp_path, *TABLES) as running:
            await_streaming(running, log, *TABLES)
            await_position(running, sql, log)
        _compare(log, oracle, sql)
    finally:
        log.close()


def _compare(log: SqliteEventLog, oracle: Oracle, sql: psycopg.Connection) -> None:
    ids = ids_of(log)
    assert len(ids) == len(set(ids))
    streamed = [entry_id for entry_id in ids if ":R" not in entry_id]
    events = events_of(log)
    # Changes of `h` before its reading are part of the reading; all others are in the log.
    reading = max(
        int(event["sequence"].split(":")[0], 16) + 1
        for event in events
        if event["kind"] == "read" and event["table"] == "public.h"
    )
    expected = oracle.ids(0)
    assert set(streamed) <= set(expected)
    after = [entry_id for entry_id in streamed if entry_id.split(":")[1] >= f"{reading:016X}"]
    assert after == oracle.ids(reading)
    rows = {str(row["id"]): row for row in table_rows(sql, "t")}
    assert rebuild(log, "public.t", "id") == rows
    count = sum(event["table"] == "public.h" for event in events)
    assert count == len(table_rows(sql, "h"))
