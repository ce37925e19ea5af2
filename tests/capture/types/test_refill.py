"""Long values that the server does not send again: omitted and named, or filled from our own log.

The server decides what it sends: texts that no compression makes short are stored apart (TOAST).
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.capture.service import CaptureService
from bridge.model.entry import EntryKind
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.sqlite_last_values import SqliteLastValues
from tests.capture.running import Running, await_position
from tests.capture.types.refilling import refilling_service
from tests.conftest import Database
from tests.contracts.test_structures import contract
from tests.waiting import RecordingObserver, wait_until

LONG = 6_000
"""Above the 2 kB from which the server stores a value apart, and random: not compressible."""


@pytest.fixture
def sql(any_database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(any_database.dsn, autocommit=True) as connection:
        connection.execute("create table thing (id int primary key, body text, doc json, n int)")
        yield connection


def write_contract(folder: Path, policies: str) -> None:
    contract(folder / "contracts", body="string", doc="json", n="integer")
    path = folder / "contracts" / "shop.thing" / "1.0" / "mapping.yaml"
    path.write_text(path.read_text() + policies)


def long_text(chance: random.Random) -> str:
    return "".join(chance.choices('abcdefghijklmnopqrstuvwxyz0123456789é"\\', k=LONG))


def start(service: CaptureService, observer: RecordingObserver) -> Running:
    running = Running(service, observer)
    wait_until(lambda: running.failure or observer.notes("table_read"), 30)
    return running


def updates(log: Any, after_index: int = 0) -> list[dict[str, Any]]:
    """Return the data of all updates, in order."""
    entries = log.read(after_index, log.head().size)
    assert {entry.kind for entry in entries} == {EntryKind.EVENT}
    payloads = [json.loads(entry.payload) for entry in entries]
    return [one["data"] for one in payloads if ".updated." in one["type"]]


def run_updates(
    sql: psycopg.Connection, database: Database, folder: Path, *statements: str
) -> list[dict[str, Any]]:
    """Read one long row, run statements, and return the data of their updates."""
    chance = random.Random(7)
    doc = json.dumps({"text": long_text(chance), "n": 1.10})
    sql.execute("insert into thing values (1, %s, %s, 0)", (long_text(chance), doc))
    log, observer = MemoryEventLog(), RecordingObserver()
    store = SqliteLastValues(folder / "last-values.db")
    service = refilling_service(database.dsn, database.name, folder, log, store, observer)
    running = start(service, observer)
    for statement in statements:
        sql.execute(statement.encode())
    await_position(running, sql, log)
    running.end()
    store.close()
    return updates(log)


def stored(sql: psycopg.Connection) -> dict[str, Any]:
    row = sql.execute("select id, body, doc, n from thing").fetchone()
    assert row is not None
    return dict(zip(("id", "body", "doc", "n"), row, strict=True))


def test_an_unsent_value_is_omitted_and_named(
    any_database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    write_contract(tmp_path, "")
    (data,) = run_updates(sql, any_database, tmp_path, "update thing set n = 1")
    assert data["after"] == {"id": 1, "n": 1}
    assert data["unavailable"] == ["body", "doc"]


def test_an_unsent_value_is_filled_in_and_marked_on_request(
    any_database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    write_contract(tmp_path, "refill: true\n")
    first, second, third = run_updates(
        sql,
        any_database,
        tmp_path,
        "update thing set n = 1",
        "update thing set body = body || '!'",
        "update thing set id = 2",
    )
    assert first["refilled"] == third["refilled"] == ["body", "doc"]
    assert second["refilled"] == ["doc"]
    assert third["after"] == stored(sql)
    assert third["before"] == {"id": 1}
    assert not [data for data in (first, second, third) if "unavailable" in data]


@pytest.mark.parametrize("policies", ["", "refill: true\n"])
def test_under_a_full_identity_the_old_row_has_it(
    any_database: Database, sql: psycopg.Connection, tmp_path: Path, policies: str
) -> None:
    sql.execute("alter table thing replica identity full")
    write_contract(tmp_path, policies)
    (data,) = run_updates(sql, any_database, tmp_path, "update thing set n = 1")
    assert data["after"] == stored(sql)
    assert data["before"] == {**stored(sql), "n": 0}
    assert not {"unavailable", "refilled"} & data.keys()
