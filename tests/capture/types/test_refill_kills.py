"""A refilling capture that is killed at any moment fills in no wrong value, and forgets none."""

import json
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psycopg
import pytest

from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.memory_last_values import MemoryLastValues
from bridge.storage.sqlite_last_values import SqliteLastValues
from tests.capture.running import Running, await_position, await_streaming
from tests.capture.types.refilling import refilling_service
from tests.capture.types.test_last_values import Machine
from tests.capture.types.test_refill import long_text, write_contract
from tests.child import child
from tests.conftest import Database
from tests.waiting import RecordingObserver, wait_until


def died_writing(process: "subprocess.Popen[bytes]", sql: psycopg.Connection) -> bool:
    if process.poll() is not None:
        return True
    sql.execute("update thing set n = n + 1")
    return False


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 8))]


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_append_it_never_fills_in_a_wrong_value(
    seed: int, database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    write_contract(tmp_path, "refill: true\n")
    sql.execute("create table thing (id int primary key, body text, doc json, n int)")
    for number in range(5):
        sql.execute("insert into thing values (%s, %s, null, 0)", (number, long_text(chance)))
    command = [sys.executable, "-m", "tests.capture.types.refilling", database.dsn]
    for kill in (chance.randint(2, 9), chance.randint(1, 9)):
        moment = chance.choice(["before", "after"])
        arguments = [database.name, str(tmp_path), str(kill), moment]
        with child([*command, *arguments]) as process:
            for _ in range(6):
                number = chance.randrange(5)
                sql.execute("update thing set body = %s where id = %s", (long_text(chance), number))
                sql.execute("update thing set n = n + 1")
            wait_until(partial(died_writing, process, sql), 60, "the process to kill itself")
        assert process.returncode == -signal.SIGKILL
    log, observer = SqliteEventLog(tmp_path / "log.db"), RecordingObserver()
    store = SqliteLastValues(tmp_path / "last-values.db")
    try:
        service = refilling_service(database.dsn, database.name, tmp_path, log, store, observer)
        running = Running(service, observer)
        await_streaming(running, log, "public.thing")
        sql.execute("update thing set n = -1")
        await_position(running, sql, log)
        running.end()
        check(sql, log, store, tmp_path)
    finally:
        log.close()
        store.close()


def check(
    sql: psycopg.Connection, log: SqliteEventLog, store: SqliteLastValues, folder: Path
) -> None:
    """Follow the log as a consumer that keeps what it has; compare, also with a rebuilt memory."""
    bodies: dict[int, str] = {}
    for entry in log.read(0, log.head().size):
        event = json.loads(entry.payload)
        data = event["data"]
        number, after = data["key"]["id"], data["after"]
        if "body" in data.get("unavailable", ()):
            assert number not in bodies, "the log had it"
            continue
        if "body" in data.get("refilled", ()):
            assert after["body"] == bodies[number], "what was filled in is what came last"
        bodies[number] = after["body"]
    assert bodies == dict(sql.execute("select id, body from thing").fetchall())
    rebuilt = MemoryLastValues()
    Machine(folder / "contracts", log, rebuilt)
    for number in range(5):
        key = f'{{"id":{number}}}'
        assert store.find("public.thing", key) == rebuilt.find("public.thing", key)
