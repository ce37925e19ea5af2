"""A person accepts the new shape of a table, and its rows flow again."""

import json
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from bridge.capture.drift.acceptance import accept_drift, drifted_tables
from bridge.capture.drift.policy import DriftAction, DriftPolicy
from bridge.capture.mapping.change_mapper import MappingOptions
from bridge.cli.main import app
from bridge.contracts.contract_set import ContractSet
from bridge.model.errors import ConfigInvalid
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.drift.shop import (
    Follow,
    entries_of,
    shop,
    start_shop,
    story,
    told,
    write_contract,
)
from tests.capture.running import SOURCE, await_position, await_streaming
from tests.conftest import Database
from tests.waiting import wait_until
from tests.warrants import by


def accept(log: MemoryEventLog, contracts: Path, table: str = "public.t") -> None:
    """Accept as the command does, with the contracts as they are on disk."""
    found = drifted_tables(log, SOURCE, ContractSet.load(contracts, type_prefix="com.example"))
    (drifted,) = [one for one in found if one.relation.name == table]
    accept_drift(log, SOURCE, drifted, by("ana", "1.1 is reviewed"), at=datetime.now(UTC))


def is_waiting(log: MemoryEventLog, contracts: Path, sql: psycopg.Connection) -> bool:
    """Look whether a table waits, and give capture another row to look at."""
    sql.execute("insert into t select coalesce(max(id), 0) + 900 from t where id < 100000")
    loaded = ContractSet.load(contracts, type_prefix="com.example")
    return bool(drifted_tables(log, SOURCE, loaded))


def test_accepted_while_capture_runs(
    follow: Follow,
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
    contracts: Path,
) -> None:
    with shop(database, log, tmp_path / "spool", contracts) as running:
        await_streaming(running, log, "public.t")
        sql.execute("insert into t values (1, 'a')")
        sql.execute("alter table t drop column name")
        sql.execute("insert into t values (2)")
        await_position(running, sql, log)
        with pytest.raises(ConfigInvalid, match="'name' is mapped and gone"):
            accept(log, contracts)
        write_contract(contracts, {"id": "integer"}, version="1.1")
        accept(log, contracts)
        wait_until(lambda: not is_waiting(log, contracts, sql), 20, "the acceptance to be seen")
        sql.execute("insert into t values (1000000)")
        await_position(running, sql, log)
    lines = story(log)
    assert lines[:4] == ["created 1", "drift parked", "parked 2", "control drift-accept"]
    assert lines[-1] == "created 1000000"
    accepted = entries_of(log)[3]
    assert told(accepted)["actor"]["id"] == "ana"
    assert told(accepted)["dataschema"].endswith("shop.thing:1.1")


def test_a_stop_is_accepted(
    follow: Follow,
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
    contracts: Path,
) -> None:
    options = MappingOptions(drift=DriftPolicy(action=DriftAction.STOP))
    follow("insert into t values (1, 'a')", options=options)
    sql.execute("alter table t add column more int")
    sql.execute("insert into t values (2, 'c', 7)")
    start_shop(database, log, tmp_path / "spool", contracts, options=options).await_failure()
    write_contract(contracts, {"id": "integer", "name": "string", "more": "integer"}, version="1.1")
    accept(log, contracts)
    follow("insert into t values (3, 'c', 7)", options=options)
    assert story(log) == [
        "created 1", "drift stopped", "control drift-accept", "created 2", "created 3",
    ]  # fmt: skip
    assert not drifted_tables(log, SOURCE, ContractSet.load(contracts, type_prefix="com.example"))


def test_a_parked_table_stays_parked_until_accepted(
    follow: Follow, sql: psycopg.Connection, log: MemoryEventLog, contracts: Path
) -> None:
    """Not by a restart, and not by the old shape coming back: rows are missing in between."""
    follow("alter table t rename column name to label", "insert into t values (1, 'a')")
    follow("insert into t values (2, 'b')")
    follow("alter table t rename column label to name", "insert into t values (3, 'c')")
    follow("insert into t values (4, 'd')")
    assert story(log) == [
        "drift parked", "parked 1", "parked 2", "drift parked", "parked 3", "parked 4",
    ]  # fmt: skip
    accept(log, contracts)
    follow("insert into t values (5, 'e')")
    assert story(log)[-1] == "created 5"


def test_the_commands(
    database: Database, sql: psycopg.Connection, tmp_path: Path, contracts: Path
) -> None:
    sql.execute("create table t (id int primary key, name text)")
    data = tmp_path / "data"
    data.mkdir()
    log = SqliteEventLog(data / "log.db")
    try:
        with shop(database, log, tmp_path, contracts) as running:
            await_streaming(running, log, "public.t")
            sql.execute("alter table t drop column name; insert into t values (1)")
            await_position(running, sql, log)
    finally:
        log.close()
    settings = tmp_path / "bridge.yaml"
    settings.write_text(
        f"data_dir: {data}\ncontracts: {{dir: {contracts}}}\n"
        f"sources: {{{SOURCE}: {{dsn: '{database.dsn}'}}}}\n"
    )
    run = CliRunner()
    shown = run.invoke(app, ["source", "drift", "list", SOURCE, "-c", str(settings), "--json"])
    (row,) = json.loads(shown.output)
    assert (row["table"], row["state"], row["missing"]) == ("public.t", "parked", ["name"])
    assert not row["can_be_accepted"]
    command = [
        "source",
        "drift",
        "accept",
        SOURCE,
        "public.t",
        "-r",
        "seen",
        "--ticket",
        "T-1",
        "-c",
        str(settings),
    ]
    refused = run.invoke(app, command)
    assert isinstance(refused.exception, ConfigInvalid)
    write_contract(contracts, {"id": "integer"}, version="1.1")
    assert run.invoke(app, [*command, "--actor", "ana"]).exit_code == 0
    table = run.invoke(app, ["source", "drift", "list", SOURCE, "-c", str(settings)])
    assert "accepted; capture has not met it yet" in table.output
    unknown = run.invoke(
        app, [*command[:4], "public.other", "-r", "x", "--ticket", "T-1", "-c", str(settings)]
    )
    assert "has not left its contract" in str(unknown.exception)
