"""What an operator reads when the broker cannot be used: where, why, what to do; no password."""

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from adapters.rabbitmq.sink import RabbitMQSink
from bridge.delivery.topology import QueueSpec, Topology
from bridge.demo.servers import PrivateRabbitMQ
from bridge.model.errors import BridgeError, ConfigInvalid, LimitExceeded, SinkUnavailable
from tests.delivery.events import stored_event
from tests.delivery.queues import channel_of
from tests.waiting import wait_until
from tests.wire import Wire

SECRET = "canary-pw-81f2"
TOPOLOGY = Topology(queues=(QueueSpec(name="q", bindings=("#",)),))


def refusal(url: str, expected: type[BridgeError], topology: Topology = TOPOLOGY) -> str:
    """Connect to `url`, which must fail with `expected`, and return the message."""
    sink = RabbitMQSink(url, topology, type_prefix="com.example", open_timeout_ms=2_000)
    with pytest.raises(expected) as caught:
        sink.connect()
    sink.close()
    assert type(caught.value) is expected
    assert SECRET not in repr(caught.value)
    return str(caught.value)


def with_login(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()


def test_nobody_listens(wire: Callable[[int | str], Wire], broker_url: str) -> None:
    line = wire(broker_url)
    line.refuse()
    message = refusal(with_login(line.through(broker_url), "guest", SECRET), SinkUnavailable)
    assert message == f"cannot reach RabbitMQ at 127.0.0.1:{line.port}: Connection refused"


def test_unknown_host() -> None:
    message = refusal(f"amqp://u:{SECRET}@no-such-host.invalid:5672/", SinkUnavailable)
    assert message.startswith("cannot reach RabbitMQ at no-such-host.invalid:5672: ")


def test_wrong_password(broker_url: str) -> None:
    message = refusal(with_login(broker_url, "guest", SECRET), ConfigInvalid)
    assert "it refused user 'guest'" in message


def test_missing_virtual_host(rabbitmq: PrivateRabbitMQ) -> None:
    message = refusal(rabbitmq.vhost_url("no-such-vhost"), ConfigInvalid)
    assert "virtual host 'no-such-vhost'" in message
    assert "does not exist; create it" in message


def test_missing_permissions(rabbitmq: PrivateRabbitMQ, broker_url: str) -> None:
    vhost = urlsplit(broker_url).path[1:]
    user = f"{vhost}-user"
    rabbitmq.ctl("add_user", user, SECRET)
    url = with_login(broker_url, user, SECRET)
    assert f"user {user!r} has no access" in refusal(url, ConfigInvalid)
    rabbitmq.ctl("set_permissions", "-p", vhost, user, "^$", ".*", ".*")
    message = refusal(url, ConfigInvalid)
    assert message.startswith("cannot declare exchange 'lb.events'")
    assert "grant the user configure" in message


def test_queue_of_another_type(broker_url: str) -> None:
    with channel_of(broker_url) as channel:
        channel.queue_declare(
            "q", durable=True, arguments={"x-queue-type": "classic", "x-overflow": "reject-publish"}
        )
    message = refusal(broker_url, ConfigInvalid)
    assert message.startswith("cannot declare queue 'q'")
    assert "its 'x-queue-type' is 'classic', the configuration asks for 'quorum'" in message


def test_queue_that_its_consumer_declared_with_more(broker_url: str) -> None:
    with channel_of(broker_url) as channel:
        more = {
            "x-queue-type": "quorum",
            "x-overflow": "reject-publish",
            "x-single-active-consumer": True,
            "x-dead-letter-exchange": "",
            "x-delivery-limit": 5,
        }
        channel.queue_declare("q", durable=True, arguments=more)
    sink = RabbitMQSink(broker_url, TOPOLOGY, type_prefix="com.example")
    sink.connect()
    sink.offer([stored_event(1)])
    wait_until(lambda: sink.progress(100).through == 1)
    sink.close()


def test_exchange_with_an_alternate(broker_url: str) -> None:
    with channel_of(broker_url) as channel:
        channel.exchange_declare(
            "lb.events", "topic", durable=True, arguments={"alternate-exchange": "elsewhere"}
        )
    message = refusal(broker_url, ConfigInvalid)
    assert message.startswith("cannot declare exchange 'lb.events'")
    assert "'alternate-exchange'" in message


def test_peer_that_is_no_broker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        message = refusal(f"amqp://u:{SECRET}@127.0.0.1:{port}/", SinkUnavailable)
    assert f"127.0.0.1:{port}: no answer within 2000 ms" in message


def test_wire_cut_while_logging_in(wire: Callable[[int | str], Wire], broker_url: str) -> None:
    """pika guesses wrong passwords from the phase alone; a cut is nobody's configuration."""
    line = wire(broker_url)
    line.deaf(answers_only=True)
    sink = RabbitMQSink(line.through(broker_url), TOPOLOGY, type_prefix="p", open_timeout_ms=2_000)
    with pytest.raises(SinkUnavailable):
        sink.connect()
    sink.close()


@pytest.mark.parametrize("url", [f"amqp://u:{SECRET}@host:port/", f"http://u:{SECRET}@h/", ""])
def test_address_that_cannot_be_read(url: str) -> None:
    with pytest.raises(ConfigInvalid, match="expected the form amqp://") as caught:
        RabbitMQSink(url, TOPOLOGY, type_prefix="p")
    assert SECRET not in repr(caught.value)


def test_connecting_again_changes_nothing(broker_url: str) -> None:
    sink = RabbitMQSink(broker_url, TOPOLOGY, type_prefix="com.example")
    sink.connect()
    sink.connect()
    sink.close()


def test_message_larger_than_the_broker_takes(rabbitmq: PrivateRabbitMQ, broker_url: str) -> None:
    rabbitmq.ctl("eval", "application:set_env(rabbit, max_message_size, 1000).")
    try:
        sink = RabbitMQSink(broker_url, TOPOLOGY, type_prefix="com.example")
        sink.connect()
        sink.offer([stored_event(1)._replace(payload=b"x" * 2_000)])
        with pytest.raises(LimitExceeded, match="larger than configured max size"):
            wait_until(lambda: sink.progress(100).through == 1)
        sink.close()
    finally:
        rabbitmq.ctl("eval", "application:set_env(rabbit, max_message_size, 134217728).")
