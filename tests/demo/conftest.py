"""The demo's two systems, small, on real databases.

`shop` / `modern_service` serve in threads of the test process; `server_process` starts one as its
users do.
"""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
import uvicorn
from psycopg import sql

from bridge.demo.legacy.application import ShopApplication
from bridge.demo.legacy.database import Database
from bridge.demo.legacy.population import Sizes
from bridge.demo.legacy.seed import seed
from bridge.demo.legacy.server import ShopServer
from bridge.demo.modern.application import create_application
from bridge.demo.modern.database import create_schema, engine_for
from bridge.demo.servers import PrivatePostgres
from tests.demo.client import Client
from tests.waiting import wait_until

SMALL = Sizes(customers=120, products=60, orders=200)


class Named(Protocol):
    """The `database` fixture's value."""

    name: str
    dsn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A system that answers, and its database."""

    url: str
    dsn: str
    client: Client


@pytest.fixture
def shop(database: Named) -> Iterator[Service]:
    """The legacy application over a small seeded database."""
    seed(database.dsn, sizes=SMALL)
    connections = Database(database.dsn)
    server = ShopServer(("127.0.0.1", 0), ShopApplication(connections))
    acceptor = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    acceptor.start()
    url = f"http://127.0.0.1:{server.port}"
    with contextlib.closing(Client(url)) as client:
        yield Service(url=url, dsn=database.dsn, client=client)
    server.stop()
    acceptor.join()
    connections.close()


@pytest.fixture
def modern_dsn(postgres: PrivatePostgres, database: Named) -> Iterator[str]:
    """A second fresh database, with the modern service's schema."""
    name = f"{database.name}_modern"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    create_schema(postgres.dsn(name))
    yield postgres.dsn(name)
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def modern(modern_dsn: str) -> Iterator[Service]:
    """The modern service over an empty database."""
    engine = engine_for(modern_dsn)
    config = uvicorn.Config(
        create_application(engine), host="127.0.0.1", port=0, log_level="error", access_log=False
    )
    server = uvicorn.Server(config)
    runner = threading.Thread(target=server.run)
    runner.start()
    wait_until(lambda: server.started, 60, "the modern service")
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with contextlib.closing(Client(url)) as client:
        yield Service(url=url, dsn=modern_dsn, client=client)
    server.should_exit = True
    runner.join()
    engine.dispose()


StartServer = Callable[[str, str], tuple[subprocess.Popen[str], str]]


@pytest.fixture
def server_process(tmp_path: Path) -> Iterator[StartServer]:
    """Start `python -m MODULE --dsn DSN --port 0`; returns the process and its URL."""
    with contextlib.ExitStack() as ending:

        def start(module: str, dsn: str) -> tuple[subprocess.Popen[str], str]:
            process = subprocess.Popen(
                [sys.executable, "-m", module, "--dsn", dsn, "--port", "0"],
                stdout=subprocess.PIPE,
                text=True,
            )
            ending.enter_context(process)
            ending.callback(process.kill)
            assert process.stdout is not None, "its output is piped"
            line = process.stdout.readline()
            return process, json.loads(line)["listening"]

        yield start
