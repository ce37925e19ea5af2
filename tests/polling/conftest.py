"""A database of each kind, with a role that may only read."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine

from bridge.demo.servers.mariadb import PrivateMariaDB
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.conftest import Database
from tests.polling.rig import Legacy, event_log

SYSTEMS = ("mariadb", "postgresql", "sqlite")


@pytest.fixture(scope="session")
def _mariadb_names() -> Iterator[str]:
    return (f"shop_{number}" for number in itertools.count(1))


@pytest.fixture
def maria(mariadb: PrivateMariaDB, _mariadb_names: Iterator[str]) -> Iterator[Legacy]:
    """A fresh database on MariaDB; its reader has SELECT and PROCESS."""
    if not mariadb.is_running:
        mariadb.restart()
    name = next(_mariadb_names)
    reader = f"r_{name}"
    _admin(
        mariadb,
        f"create database {name}",
        f"create user {reader}@'127.0.0.1' identified by 'read-only'",
        f"grant select on {name}.* to {reader}@'127.0.0.1'",
        f"grant process on *.* to {reader}@'127.0.0.1'",
    )
    yield Legacy("mariadb", mariadb.url(name), name, mariadb.url(name, reader, "read-only"))
    if not mariadb.is_running:
        mariadb.restart()
    _admin(mariadb, f"drop database {name}", f"drop user {reader}@'127.0.0.1'")


def _admin(server: PrivateMariaDB, *statements: str) -> None:
    engine = create_engine(server.url())
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


@pytest.fixture
def pg(database: Database) -> Iterator[Legacy]:
    """A fresh database on PostgreSQL; its reader may only select."""
    reader = f"reader_{database.name}"
    parts = conninfo_to_dict(database.dsn)
    url = f"postgresql://{reader}@{parts['host']}:{parts['port']}/{database.name}"
    legacy = Legacy("postgresql", database.dsn, "public", url)
    legacy.run(
        f"create role {reader} login",
        f"alter default privileges in schema public grant select on tables to {reader}",
    )
    yield legacy
    legacy.run(f"drop owned by {reader}", f"drop role {reader}")


@pytest.fixture
def lite(tmp_path: Path) -> Legacy:
    """A fresh SQLite file."""
    url = f"sqlite:///{tmp_path / 'legacy.db'}"
    legacy = Legacy("sqlite", url, "main", url)
    legacy.run("pragma journal_mode = wal")
    return legacy


@pytest.fixture(params=SYSTEMS)
def legacy(request: pytest.FixtureRequest) -> Legacy:
    """A fresh database of each kind."""
    name = {"mariadb": "maria", "postgresql": "pg", "sqlite": "lite"}[request.param]
    found = request.getfixturevalue(name)
    assert isinstance(found, Legacy)
    return found


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteEventLog]:
    """An event log of the test's own."""
    with event_log(tmp_path) as opened:
        yield opened
