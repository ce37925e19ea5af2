"""A captured table `t` whose contract maps `id` and `name`."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.contracts.contract_set import ContractSet
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.drift.shop import Follow, check_own_events, shop, write_contract
from tests.capture.running import SOURCE, await_position, await_streaming
from tests.conftest import Database


@pytest.fixture
def database(any_database: Database) -> Database:
    """The tests of this folder run on every server that is tested."""
    return any_database


@pytest.fixture
def contracts(tmp_path: Path) -> Path:
    folder = tmp_path / "contracts"
    write_contract(folder, {"id": "integer", "name": "string"})
    return folder


@pytest.fixture
def follow(
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
    contracts: Path,
) -> Follow:
    """Capture while statements run: one session per call."""

    def run(*statements: str, **options: Any) -> None:
        tables = ContractSet.load(contracts, type_prefix="com.example").tables(SOURCE)
        with shop(database, log, tmp_path / "spool", contracts, **options) as running:
            await_streaming(running, log, *tables)
            for statement in statements:
                sql.execute(statement.encode())
            await_position(running, sql, log)
        check_own_events(log)

    (tmp_path / "spool").mkdir()
    sql.execute("create table t (id int primary key, name text)")
    return run
