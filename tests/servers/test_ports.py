"""A port that somebody takes at the last moment is replaced by another."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.demo.servers import (
    PrivatePostgres,
    PrivateRabbitMQ,
    ServerNotStarted,
    free_port,
    postgres,
    rabbitmq,
)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        yield listener.getsockname()[1]


def test_a_free_port_is_one_that_nobody_listens_on(taken_port: int) -> None:
    ports = {free_port() for _ in range(200)}
    assert taken_port not in ports
    assert all(20_000 <= port < 32_000 for port in ports)


def test_postgres_takes_another(
    monkeypatch: pytest.MonkeyPatch, server_folder: Path, taken_port: int
) -> None:
    ports = iter([taken_port, free_port()])
    monkeypatch.setattr(postgres, "free_port", lambda: next(ports))
    with PrivatePostgres.start(server_folder) as server:
        assert server.port != taken_port


def test_postgres_keeps_to_a_port_that_it_is_given(server_folder: Path, taken_port: int) -> None:
    with pytest.raises(ServerNotStarted, match="could not bind IPv4 address"):
        PrivatePostgres.start(server_folder, settings={"port": str(taken_port)})


@pytest.mark.soak
@pytest.mark.parametrize("which", [0, 1, 2], ids=["amqp", "distribution", "epmd"])
def test_rabbitmq_takes_others(
    monkeypatch: pytest.MonkeyPatch, server_folder: Path, taken_port: int, which: int
) -> None:
    ports = [free_port() for _ in range(6)]
    ports[which] = taken_port
    following = iter(ports)
    monkeypatch.setattr(rabbitmq, "free_port", lambda: next(following))
    with PrivateRabbitMQ.start(server_folder) as server:
        assert server.port == ports[3]
