"""A private RabbitMQ keeps durable queues and persistent messages through stop and crash."""

from pathlib import Path

import pika
import pytest

from bridge.demo.servers import PrivateRabbitMQ, ServerNotStarted

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def _publish(url: str, queue: str, queue_type: str, count: int) -> None:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": queue_type})
        channel.confirm_delivery()
        for number in range(count):
            channel.basic_publish("", queue, str(number).encode(), PERSISTENT, mandatory=True)


def _read_all(url: str, queue: str, count: int) -> list[int]:
    found: list[int] = []
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for method, _, body in channel.consume(queue, inactivity_timeout=10):
            if method is None:
                break
            found.append(int(body))
            channel.basic_ack(method.delivery_tag)
            if len(found) == count:
                break
        channel.cancel()
    return found


# Killed brokers are part of many tests of delivery; this one tells which end is to blame.
@pytest.mark.soak
@pytest.mark.parametrize("crash", [False, True], ids=["stop", "kill"])
def test_confirmed_messages_survive(server_folder: Path, crash: bool) -> None:
    with PrivateRabbitMQ.start(server_folder) as server:
        url = server.url
        _publish(url, "classic", "classic", 50)
        _publish(url, "quorum", "quorum", 50)
        if crash:
            server.flush()
            server.kill()
        else:
            server.stop()
        assert not server.is_running
        server.restart()
        assert server.url == url
        assert _read_all(url, "classic", 50) == list(range(50))
        assert _read_all(url, "quorum", 50) == list(range(50))


@pytest.mark.soak
def test_two_run_side_by_side(server_folder: Path, rabbitmq: PrivateRabbitMQ) -> None:
    with PrivateRabbitMQ.start(server_folder) as other:
        assert other.port != rabbitmq.port
        _publish(other.url, "only-there", "classic", 1)
        assert "only-there" in other.ctl("list_queues", "name")
        assert "only-there" not in rabbitmq.ctl("list_queues", "name")


def test_the_consistent_hash_exchange_is_there(broker_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().exchange_declare("spread", "x-consistent-hash", durable=True)


def test_each_test_has_a_virtual_host_of_its_own(
    broker_url: str, rabbitmq: PrivateRabbitMQ
) -> None:
    assert broker_url.startswith(rabbitmq.url)
    assert broker_url != rabbitmq.url
    _publish(broker_url, "q", "quorum", 1)
    assert _read_all(broker_url, "q", 1) == [0]


def test_a_failing_command_is_quoted_in_the_error(rabbitmq: PrivateRabbitMQ) -> None:
    with pytest.raises(ServerNotStarted, match=r"delete_user failed with 67: Error:\nUser"):
        rabbitmq.ctl("delete_user", "no-such-user")
