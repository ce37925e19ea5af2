"""Fixtures: real servers as private processes, and wires to cut.

Session scope (one per worker process, started when first asked for):
  postgres    `PrivatePostgres`: `.dsn(dbname, user)`, `.kill()`, `.restart()`; logical WAL; the
              distribution's version
  postgres_18 the same of version 18
  postgres_of a function: the server of a major version (None: the distribution's)
  any_postgres  parametrised over versions: the distribution's and 18; 14 to 18 under `soak`
  rabbitmq    `PrivateRabbitMQ`: `.url`, `.ctl(...)`, `.kill()`, `.restart()`
  mariadb     `PrivateMariaDB`: `.url(database, user)`, `.kill()`, `.restart()`
Function scope:
  database    a fresh database: `.dsn` (`postgresql://…`), `.name`; its slots are dropped afterwards
  any_database  the same on `any_postgres`
  journal_dsn  a database without a write journal in it, ten times as quick as a fresh one
  broker_url  `amqp://…` of a fresh virtual host
  wire        `wire(port_or_url)` -> `Wire`: `.port`, `.through(url)`, `.cut()`, `.deaf()`,
              `.refuse()`, `.resume()` (tests/wire.py)
  server_folder  a folder for servers of a test's own (`postgres` may not enter `tmp_path`)
Slots are cluster-wide: name them after `database.name`. A test that kills a server restarts it; if
it fails before, the next test finds it restarted. `wait_until`, `RecordingObserver`: waiting.py.
"""

import contextlib
import functools
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from _pytest.mark import ParameterSet
from psycopg import sql

from bridge.demo.servers import PrivatePostgres, PrivateRabbitMQ, ServerNotStarted
from bridge.demo.servers.mariadb import PrivateMariaDB
from bridge.demo.servers.postgres_programs import (
    VERSIONS,
    distribution_version,
    fetch,
    unsupported_platform,
)
from bridge.demo.servers.rabbitmq import scripts_dir
from tests.wire import Wire

# Container images like to forbid Python to keep what it compiled: each of the hundreds of processes
# that tests start would compile the product again, which takes as long as all else at its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# `rabbitmqctl` takes half a second a call, whatever it does: virtual hosts come by the dozen.
_VHOSTS_PER_CALL = 12

# Tests kill processes, not the machine: what the kernel holds survives without `fsync`.
_TEST_SETTINGS = {"fsync": "off", "max_prepared_transactions": "10"}
_MARIADB_SETTINGS = {"innodb-flush-log-at-trx-commit": "2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A fresh database on the session's server."""

    name: str
    dsn: str


def _any_version() -> list[ParameterSet]:
    """Return every version to test on; those that cost a download are for the soak."""
    usual = {distribution_version(), 18}
    return [
        pytest.param(version, marks=() if version in usual else pytest.mark.soak)
        for version in VERSIONS
    ]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin each worker's share with some of the `long` tests: none is the last one of a run.

    `--dist worksteal` gives each worker a consecutive share; the order is random otherwise.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    others = (item for item in items if not item.get_closest_marker("long"))
    share = len(items) // workers
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        begin = long[worker::workers]
        ordered += [*begin, *itertools.islice(others, max(share - len(begin), 0))]
    items[:] = [*ordered, *others]


def pytest_report_header() -> list[str]:
    """Say which servers the run is against."""
    found = [f"PostgreSQL {distribution_version() or 'is not installed'}"]
    found.append(unsupported_platform() or "18 (14 to 17 under soak)")
    try:
        found.append(scripts_dir().parent.name.replace("_server-", " "))
    except ServerNotStarted:
        found.append("RabbitMQ is not installed")
    return [f"servers: {'; '.join(found)}"]


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    # Not pytest's own: each pytest run closes that one again for other accounts, `postgres` too.
    # Short, because the path of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="lb-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_of() -> Iterator[Callable[[int | None], PrivatePostgres]]:
    """Servers by version, each started when first asked for.

    Not a parametrised session fixture: pytest would stop one server to start the next each time
    that the random order of the tests changes the version.
    """
    with contextlib.ExitStack() as running:

        @functools.cache
        def server(version: int) -> PrivatePostgres:
            folder = running.enter_context(_temporary_folder())
            started = PrivatePostgres.start(folder, version=version, settings=_TEST_SETTINGS)
            return running.enter_context(started)

        def asked(version: int | None) -> PrivatePostgres:
            installed = distribution_version()
            if version is None or version == installed:
                return server(installed)
            if reason := unsupported_platform():
                pytest.skip(f"no PostgreSQL {version}: {reason}")
            fetch(version)
            return server(version)

        yield asked


@pytest.fixture(scope="session")
def postgres(postgres_of: Callable[[int | None], PrivatePostgres]) -> PrivatePostgres:
    return postgres_of(None)


@pytest.fixture(scope="session")
def postgres_18(postgres_of: Callable[[int | None], PrivatePostgres]) -> PrivatePostgres:
    return postgres_of(18)


@pytest.fixture(params=_any_version())
def any_postgres(
    request: pytest.FixtureRequest, postgres_of: Callable[[int | None], PrivatePostgres]
) -> PrivatePostgres:
    return postgres_of(request.param)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[PrivateRabbitMQ]:
    with _temporary_folder() as folder, PrivateRabbitMQ.start(folder) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[PrivateMariaDB]:
    with (
        _temporary_folder() as folder,
        PrivateMariaDB.start(folder, settings=_MARIADB_SETTINGS) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def database_names() -> Iterator[str]:
    return (f"test_{number}" for number in itertools.count(1))


@pytest.fixture
def database(postgres: PrivatePostgres, database_names: Iterator[str]) -> Iterator[Database]:
    with fresh_database(postgres, next(database_names)) as database:
        yield database


@pytest.fixture
def any_database(
    any_postgres: PrivatePostgres, database_names: Iterator[str]
) -> Iterator[Database]:
    with fresh_database(any_postgres, next(database_names)) as database:
        yield database


@pytest.fixture(scope="session")
def journal_database(postgres: PrivatePostgres) -> Iterator[Database]:
    with fresh_database(postgres, "test_journal") as database:
        yield database


@pytest.fixture
def journal_dsn(postgres: PrivatePostgres, journal_database: Database) -> str:
    if not postgres.is_running:
        postgres.restart()
    with psycopg.connect(journal_database.dsn, autocommit=True) as admin:
        # What an earlier test left connected would hold locks on what is dropped.
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        admin.execute("SET client_min_messages = warning")
        admin.execute("DROP SCHEMA IF EXISTS bridge_journal CASCADE")
    return journal_database.dsn


@contextlib.contextmanager
def fresh_database(server: PrivatePostgres, name: str) -> Iterator[Database]:
    """Create a database on a running or dead server; drop it and its slots afterwards."""
    if not server.is_running:
        server.restart()
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield Database(name=name, dsn=server.dsn(name))
    if not server.is_running:
        server.restart()
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        _drop_slots(admin, name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _drop_slots(admin: psycopg.Connection, database: str) -> None:
    """Drop the slots of `database`, ending who still streams from them."""
    admin.execute(
        "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots"
        " WHERE database = %s AND active_pid IS NOT NULL",
        [database],
    )
    admin.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s",
        [database],
    )


@pytest.fixture(scope="session")
def _vhosts(rabbitmq: PrivateRabbitMQ) -> Iterator[str]:
    def fresh() -> Iterator[str]:
        for start in itertools.count(1, _VHOSTS_PER_CALL):
            names = [f"test-{number}" for number in range(start, start + _VHOSTS_PER_CALL)]
            rabbitmq.add_vhosts(*names)
            yield from names

    return fresh()


@pytest.fixture
def broker_url(rabbitmq: PrivateRabbitMQ, _vhosts: Iterator[str]) -> str:
    if not rabbitmq.is_running:
        rabbitmq.restart()
    return rabbitmq.vhost_url(next(_vhosts))


@pytest.fixture
def wire() -> Iterator[Callable[[int | str], Wire]]:
    with contextlib.ExitStack() as wires:

        def connect(target: int | str) -> Wire:
            port = target if isinstance(target, int) else urlsplit(target).port
            assert port is not None, "a wire needs the port of its target"
            return wires.enter_context(Wire(port))

        yield connect


@pytest.fixture
def server_folder() -> Iterator[Path]:
    with _temporary_folder() as folder:
        yield folder
