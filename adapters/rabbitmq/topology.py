"""Declare the exchange, queues and bindings; the same again changes nothing."""

from typing import Any

from adapters.rabbitmq.errors import BrokerAddress, explain_declare
from adapters.rabbitmq.session import Call, Session
from bridge.delivery.topology import QueueSpec, Topology


async def declare(
    session: Session, channel: Any, topology: Topology, broker: BrokerAddress
) -> None:
    """Make the broker hold `topology`.

    Raises:
        ConfigInvalid: something of that name exists and differs, or we lack the right.
        SinkUnavailable: the broker went away.
    """

    async def step(what: str, call: Call) -> None:
        try:
            await session.ask(call)
        except Exception as error:
            raise explain_declare(error, what, broker) from error

    exchange = topology.exchange
    await step(
        f"exchange {exchange!r}",
        lambda done: channel.exchange_declare(
            exchange, exchange_type="topic", durable=True, callback=done
        ),
    )
    for queue in topology.queues:
        await step(f"queue {queue.name!r}", _declare_queue(channel, queue))
        for pattern in queue.bindings:
            await step(
                f"binding {pattern!r} of queue {queue.name!r}",
                _bind_queue(channel, queue.name, exchange, pattern),
            )


def _declare_queue(channel: Any, queue: QueueSpec) -> Call:
    arguments: dict[str, str | bool] = {
        "x-queue-type": "quorum",
        # Inert until a policy sets a length; then a full queue answers "no" and we send again,
        # while the default would drop its oldest message without a word.
        "x-overflow": "reject-publish",
    }
    if queue.single_active_consumer:
        arguments["x-single-active-consumer"] = True
    return lambda done: channel.queue_declare(
        queue.name, durable=True, arguments=arguments, callback=done
    )


def _bind_queue(channel: Any, queue: str, exchange: str, pattern: str) -> Call:
    return lambda done: channel.queue_bind(queue, exchange, routing_key=pattern, callback=done)
