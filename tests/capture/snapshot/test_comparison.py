"""Compare source and log, repair what differs; through the settings, the wiring and the shell."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from typer.testing import CliRunner, Result

from bridge.capture.service import CaptureService
from bridge.cli.main import app
from bridge.model.entry import EntryKind
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.capture import capture_service
from bridge.runtime.wiring.stores import Stores
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.running import Running, await_position
from tests.capture.test_with_contracts import CONTRACTS, pgbench
from tests.conftest import Database
from tests.waiting import RecordingObserver, wait_until

ACCOUNTS = "public.pgbench_accounts"


class House:
    """A deployment with one source, its capture running in a thread of this process."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        settings = {
            "data_dir": str(folder / "data"),
            "contracts": {"dir": str(CONTRACTS), "type_prefix": "com.example"},
            "sources": {
                "pgbench": {
                    "dsn": database.dsn,
                    "slot": database.name,
                    "publication": database.name,
                    "snapshot": {"chunk_rows": 500, "duty": 1.0},
                }
            },
        }
        self.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        self.stores = Stores(load_settings(self.config))
        observer = RecordingObserver()
        service = capture_service(self.stores, "pgbench", observer)
        assert isinstance(service, CaptureService)
        self.running = Running(service, observer)

    @property
    def log(self) -> SqliteEventLog:
        log = self.stores.event_log()
        assert isinstance(log, SqliteEventLog)
        return log

    def run(self, *arguments: str) -> Result:
        """Run a command as a person would."""
        return CliRunner().invoke(app, ["source", *arguments, "--config", str(self.config)])

    def told(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with `--json`."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)


@pytest.fixture
def house(database: Database, sql: psycopg.Connection, tmp_path: Path) -> Iterator[House]:
    pgbench(database.dsn, "-i", "-q")
    sql.execute("delete from pgbench_accounts where aid > 3000")
    sql.execute("analyze pgbench_accounts")
    built = House(tmp_path, database)
    try:
        observer = built.running.observer
        wait_until(lambda: built.running.failure or len(observer.notes("table_read")) == 4, 60)
        yield built
    finally:
        built.running.stop.set()
        built.running.end()
        built.stores.close()


def behind_its_back(sql: psycopg.Connection, publication: str, *statements: str) -> None:
    """Change rows in a way that the stream does not tell."""
    sql.execute(f'alter publication "{publication}" drop table pgbench_accounts'.encode())
    for statement in statements:
        sql.execute(statement.encode())
    sql.execute(f'alter publication "{publication}" add table only pgbench_accounts'.encode())


def test_what_differs_is_found_and_repaired(
    house: House, database: Database, sql: psycopg.Connection
) -> None:
    told = house.told("diff", "pgbench")
    assert {row["table"] for row in told} == {
        "public.pgbench_accounts", "public.pgbench_branches", "public.pgbench_tellers",
    }  # fmt: skip
    behind_its_back(
        sql,
        database.name,
        "update pgbench_accounts set abalance = 4711 where aid in (7, 8)",
        "delete from pgbench_accounts where aid = 9",
        "insert into pgbench_accounts values (5001, 1, 3, 'new')",
    )
    sql.execute("update pgbench_accounts set abalance = 1 where aid = 7")  # This one is told.
    await_position(house.running, sql, house.log, source="pgbench")
    (row,) = house.told("diff", "pgbench", "--table", ACCOUNTS, "--show-keys", code=1)
    assert (row["missing"], row["different"], row["extra"]) == (1, 1, 1)
    assert row["changing"] == row["unreadable"] == row["unrepairable"] == 0
    assert row["source_rows"] == row["log_rows"] == 3000
    assert {(found["difference"], found["key"]) for found in row["keys"]} == {
        ("missing", '{"account_id":5001}'),
        ("different", '{"account_id":8}'),
        ("extra", '{"account_id":9}'),
    }
    shown = house.run("diff", "pgbench", "--table", ACCOUNTS)
    assert shown.exit_code == 1
    assert "5001" not in shown.output, "keys are shown on request only"

    size = house.log.head().size
    (dry,) = house.told(
        "repair", "pgbench", "--table", ACCOUNTS, "-r", "after the outage", "--ticket", "T-1"
    )
    assert dry["repair"] is None
    (read,) = house.log.read(size, 10)
    assert read.kind is EntryKind.ACCESS, "a dry run asks for nothing, and is told as a reading"
    (done,) = house.told(
        "repair",
        "pgbench",
        "--table",
        ACCOUNTS,
        "-r",
        "after the outage",
        "--ticket",
        "T-1",
        "--apply",
    )
    request = done["repair"]["request"]
    house.running.observer.await_note("table_read", table=ACCOUNTS)
    wait_until(lambda: _state(house, request) == "done", 20)
    (clean,) = house.told("diff", "pgbench", "--table", ACCOUNTS)
    assert clean["missing"] == clean["different"] == clean["extra"] == 0
    entries = house.log.read(size, 100)
    leaves = [json.loads(entry.leaf)["fields"] for entry in entries]
    (repair,) = [
        json.loads(entry.payload)
        for entry, leaf in zip(entries, leaves, strict=True)
        if leaf.get("action") == "snapshot-repair"
    ]
    assert repair["reason"] == "after the outage"
    rows = [leaf["legacy"] for leaf in leaves if "run" in leaf.get("legacy", {})]
    assert [row["op"] for row in rows] == ["read", "read", "deleted"]
    assert {row["run"] for row in rows} == {f"repair:{request}"}


def _state(house: House, request: str) -> str:
    told = house.told("snapshot", "status", "pgbench")
    states: list[str] = [row["state"] for row in told["requests"] if row["request"] == request]
    return states[0]


def test_nothing_differs_while_everything_changes(
    house: House, database: Database, sql: psycopg.Connection
) -> None:
    writing = threading.Thread(target=pgbench, args=(database.dsn, "-T", "2", "-c", "2", "-n"))
    writing.start()
    try:
        for _ in range(2):
            for row in house.told("diff", "pgbench"):
                assert row["missing"] == row["different"] == row["extra"] == 0, row
    finally:
        writing.join(30)


def test_a_comparison_leaves_nothing_behind(house: House, sql: psycopg.Connection) -> None:
    size = house.log.head().size
    house.told("diff", "pgbench", "--table", ACCOUNTS)
    (read,) = house.log.read(size, 10)
    assert read.kind is EntryKind.ACCESS
    assert not list((house.folder / "data").rglob("compare-*"))


def test_what_cannot_be_compared_is_refused(house: House) -> None:
    for table, why in [
        ("public.pgbench_history", "no key"),
        ("public.nothing", "has none"),
    ]:
        result = house.run("diff", "pgbench", "--table", table)
        assert result.exit_code != 0
        assert why in str(result.exception)


def test_a_shell_steers_the_reading(house: House, sql: psycopg.Connection) -> None:
    assert (
        house.told("snapshot", "pause", "pgbench", "-r", "month end", "--ticket", "T-1")["state"]
        == "done"
    )
    assert house.told("snapshot", "status", "pgbench")["paused"]
    arguments = ("-r", "to be sure", "--ticket", "T-1", "--table", ACCOUNTS, "-k", "5", "-k", "[6]")
    asked = house.told("snapshot", "start", "pgbench", *arguments)
    assert asked["state"] == "taken"
    assert (
        house.told("snapshot", "resume", "pgbench", "-r", "over", "--ticket", "T-1")["state"]
        == "done"
    )
    result = house.run("snapshot", "status", "pgbench", "--follow")
    assert result.exit_code == 0
    assert "nothing to do" in result.output
    assert _state(house, asked["request"]) == "done"
    refused = house.run("snapshot", "stop", "pgbench", "-r", "why not", "--ticket", "T-1")
    assert refused.exit_code != 0
    assert "nothing that was asked for" in str(refused.exception)
    events = [json.loads(entry.payload) for entry in house.log.read(0, house.log.head().size)]
    read = [
        e["data"]["key"]["account_id"]
        for e in events[-10:]
        if ".account.read." in e.get("type", "")
    ]
    assert read == [5, 6]
