"""Every input has a bad form: a clear message, a non-zero exit, nothing started."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from bridge.demo.servers import PrivatePostgres, PrivateRabbitMQ
from bridge.demo.servers.ports import free_port
from bridge.runtime.exit_codes import CONFIG
from tests.child import child
from tests.cli.deployment import call, run
from tests.conftest import Database
from tests.e2e.pgbench_readmodel import CONTRACTS
from tests.waiting import wait_until

Deploy = Callable[..., Path]


@pytest.fixture
def deploy(tmp_path: Path) -> Deploy:
    """Write a settings file from sections; routes and contracts stand beside it."""
    routes = tmp_path / "routes"
    routes.mkdir()
    (routes / "app.yaml").write_text(
        "group: app\nsides: {legacy: app}\n"
        "routes: [{id: all, methods: [GET], path: '/{rest...}'}]\n"
    )

    def write(**sections: Any) -> Path:
        config = tmp_path / "bridge.yaml"
        config.write_text(yaml.safe_dump({"contracts": {"dir": str(CONTRACTS)}, **sections}))
        return config

    return write


def refused(config: Path, *arguments: str) -> str:
    """Call `legacy-bridge up` (or `arguments`), which must end by itself; return its words."""
    said = call(*(arguments or ("up",)), "--config", str(config))
    assert said.code == CONFIG, said
    return " ".join(said.err.split())


def gateway(**changes: Any) -> dict[str, Any]:
    return {
        "port": free_port(),
        "workers": 1,
        "upstreams": {"app": {"url": "http://127.0.0.1:9"}},
        **changes,
    }


def test_an_unknown_key(deploy: Deploy) -> None:
    config = deploy(gateway={**gateway(), "wokers": 2})
    said = refused(config)
    assert "unknown key 'gateway.wokers'; did you mean 'workers'?" in said
    assert "bridge.yaml" in said
    # The others are refused in this process: what a process adds is the code that it ends with.
    ended = run([sys.executable, "-m", "bridge.cli", "up", "--config", str(config)])
    assert (ended.code, " ".join(ended.err.split())) == (CONFIG, said)


def test_nothing_to_run(deploy: Deploy) -> None:
    assert "name no source, no gateway" in refused(deploy())


def test_an_unreachable_database(deploy: Deploy) -> None:
    dsn = f"postgresql://someone:hunter2@127.0.0.1:{free_port()}/shop"
    said = refused(deploy(sources={"pgbench": {"dsn": dsn}}))
    assert "127.0.0.1" in said
    assert "refused" in said
    assert "hunter2" not in said


def test_an_unreachable_broker(deploy: Deploy) -> None:
    url = f"amqp://someone:hunter2@127.0.0.1:{free_port()}/"
    said = refused(deploy(delivery={"url": url}))
    assert "127.0.0.1" in said
    assert "hunter2" not in said


def test_wrong_credentials_for_the_broker(deploy: Deploy, rabbitmq: PrivateRabbitMQ) -> None:
    said = refused(deploy(delivery={"url": rabbitmq.url.replace("guest:guest", "guest:hunter2")}))
    assert "hunter2" not in said
    assert "cannot" in said


@pytest.fixture
def physical(server_folder: Path) -> Iterator[PrivatePostgres]:
    """A server without logical WAL."""
    with PrivatePostgres.start(server_folder, settings={"wal_level": "replica"}) as server:
        yield server


def test_a_wrong_wal_level(deploy: Deploy, physical: PrivatePostgres) -> None:
    said = refused(deploy(sources={"pgbench": {"dsn": physical.dsn()}}))
    assert "wal_level" in said
    assert "'replica'" in said
    assert "logical" in said


def test_missing_privileges(deploy: Deploy, postgres: PrivatePostgres, database: Database) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS weak")
        admin.execute("CREATE ROLE weak LOGIN")
    dsn = postgres.dsn(database.name, user="weak")
    said = refused(deploy(sources={"pgbench": {"dsn": dsn}}))
    assert "lacks REPLICATION" in said
    assert 'ALTER ROLE "weak" REPLICATION' in said


def test_a_missing_table(deploy: Deploy, database: Database) -> None:
    said = refused(deploy(sources={"pgbench": {"dsn": database.dsn}}))
    assert "'public.pgbench_" in said
    assert "does not exist" in said


def test_a_port_that_is_taken(deploy: Deploy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(deploy(gateway=gateway(port=port)))
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "change gateway.port" in said


def test_a_broken_contract(deploy: Deploy, tmp_path: Path, database: Database) -> None:
    folder = tmp_path / "contracts" / "shop.order" / "1.0"
    folder.mkdir(parents=True)
    (folder / "schema.json").write_text("{")
    (folder / "mapping.yaml").write_text("subject: shop.order\n")
    said = refused(
        deploy(
            contracts={"dir": str(tmp_path / "contracts")},
            sources={"shop": {"dsn": database.dsn}},
        )
    )
    assert "schema.json" in said


def test_a_route_to_an_unknown_upstream(deploy: Deploy) -> None:
    upstreams = {"apps": {"url": "http://127.0.0.1:9"}}
    said = refused(deploy(gateway=gateway(upstreams=upstreams)))
    assert "'app'" in said
    assert "apps" in said
    assert "app.yaml" in said


def test_an_api_for_everybody_without_a_token(deploy: Deploy) -> None:
    said = refused(deploy(control={"host": "0.0.0.0", "port": free_port()}))  # noqa: S104  # the very mistake
    assert "without a token" in said
    assert "BRIDGE_CONTROL__TOKEN" in said


def test_an_unknown_role(deploy: Deploy) -> None:
    said = refused(deploy(gateway=gateway()), "run", "gatway")
    assert "known roles are" in said


def test_malformed_http_gets_a_clear_answer(deploy: Deploy) -> None:
    port = free_port()
    config = deploy(gateway=gateway(port=port))
    command = [sys.executable, "-m", "bridge.cli", "up", "--config", str(config)]
    with child(command, stderr=subprocess.DEVNULL) as process:
        answer = wait_until(lambda: _ask(port, b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"), 60)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
    assert process.returncode == 0


def _ask(port: int, request: bytes) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
            return answer
    except ConnectionError:
        return b""
