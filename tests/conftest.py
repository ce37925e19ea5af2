"""Fixtures: real servers as private processes, and wires to cut.

Session scope (one per worker process, started when first asked for):
  postgres    `PrivatePostgres`: `.dsn(dbname, user)`, `.kill()`, `.restart()`; logical WAL
  rabbitmq    `PrivateRabbitMQ`: `.url`, `.ctl(...)`, `.kill()`, `.restart()`
Function scope:
  database    a fresh database: `.dsn` (`postgresql://…`), `.name`; its slots are dropped afterwards
  broker_url  `amqp://…` of a fresh virtual host
  wire        `wire(port_or_url)` -> `Wire`: `.port`, `.through(url)`, `.cut()`, `.deaf()`,
              `.refuse()`, `.resume()` (tests/wire.py)
  server_folder  a folder for servers of a test's own (`postgres` may not enter `tmp_path`)
Slots are cluster-wide: name them after `database.name`. A test that kills a server restarts it; if
it fails before, the next test finds it restarted. `wait_until`, `RecordingObserver`: waiting.py.
"""

import contextlib
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from bridge.demo.servers import PrivatePostgres, PrivateRabbitMQ, ServerNotStarted
from bridge.demo.servers.postgres import bin_dir
from bridge.demo.servers.rabbitmq import scripts_dir
from tests.wire import Wire

# `rabbitmqctl` takes half a second a call, whatever it does: virtual hosts come by the dozen.
_VHOSTS_PER_CALL = 12

# Tests kill processes, not the machine: what the kernel holds survives without `fsync`.
_TEST_SETTINGS = {"fsync": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A fresh database on the session's server."""

    name: str
    dsn: str


def pytest_report_header() -> list[str]:
    """Say which servers the run is against."""
    try:
        postgres = subprocess.run(
            [str(bin_dir() / "postgres"), "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except ServerNotStarted:
        postgres = "PostgreSQL is not installed"
    try:
        rabbitmq = scripts_dir().parent.name.replace("_server-", " ")
    except ServerNotStarted:
        rabbitmq = "RabbitMQ is not installed"
    return [f"servers: {postgres}; {rabbitmq}"]


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
def postgres() -> Iterator[PrivatePostgres]:
    with (
        _temporary_folder() as folder,
        PrivatePostgres.start(folder, settings=_TEST_SETTINGS) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[PrivateRabbitMQ]:
    with _temporary_folder() as folder, PrivateRabbitMQ.start(folder) as server:
        yield server


@pytest.fixture(scope="session")
def _database_names() -> Iterator[str]:
    return (f"test_{number}" for number in itertools.count(1))


@pytest.fixture
def database(postgres: PrivatePostgres, _database_names: Iterator[str]) -> Iterator[Database]:
    if not postgres.is_running:
        postgres.restart()
    name = next(_database_names)
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield Database(name=name, dsn=postgres.dsn(name))
    if not postgres.is_running:
        postgres.restart()
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
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
