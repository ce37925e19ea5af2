"""Declare the exchange, queues and bindings; the same again changes nothing."""

from collections.abc import Callable
from typing import Any

from adapters.rabbitmq.errors import BrokerAddress, explain_declare, is_richer
from adapters.rabbitmq.session import Call, Session
from bridge.delivery.topology import QueueSpec, Topology
from bridge.model.group_queue import PARK_ARGUMENTS, queue_arguments


async def declare(session: Session, topology: Topology, broker: BrokerAddress) -> None:
    """Make the broker hold `topology`.

    A queue that exists with arguments of its own beside ours is taken as it is: its consumer, who
    may come first, adds what it needs (dead-lettering, a delivery limit).

    Raises:
        ConfigInvalid: something of that name exists and differs, or we lack the right.
        SinkUnavailable: the broker went away.
    """

    async def step(what: str, call: Callable[[Any], Call]) -> None:
        try:
            await session.attempt(call)
        except Exception as error:
            if not is_richer(error):
                raise explain_declare(error, what, broker) from error

    exchange = topology.exchange
    await step(f"exchange {exchange!r}", lambda channel: _exchange(channel, exchange))
    for queue in topology.queues:
        if queue.park_queue is not None:
            park = _queue(queue.park_queue, PARK_ARGUMENTS)
            await step(f"queue {queue.park_queue!r}", park)
        await step(f"queue {queue.name!r}", _queue(queue.name, _arguments(queue)))
        for pattern in queue.bindings:
            await step(
                f"binding {pattern!r} of queue {queue.name!r}",
                _binding(queue.name, exchange, pattern),
            )


def _exchange(channel: Any, name: str) -> Call:
    return lambda done: channel.exchange_declare(
        name, exchange_type="topic", durable=True, callback=done
    )


def _queue(name: str, arguments: dict[str, str | bool | int]) -> Callable[[Any], Call]:
    return lambda channel: (
        lambda done: channel.queue_declare(name, durable=True, arguments=arguments, callback=done)
    )


def _arguments(queue: QueueSpec) -> dict[str, str | bool | int]:
    if queue.park_queue is not None:
        return queue_arguments(queue.park_queue)
    arguments: dict[str, str | bool | int] = {
        "x-queue-type": "quorum",
        # Inert until a policy sets a length; then a full queue answers "no" and we send again,
        # while the default would drop its oldest message without a word.
        "x-overflow": "reject-publish",
    }
    if queue.single_active_consumer:
        arguments["x-single-active-consumer"] = True
    return arguments


def _binding(queue: str, exchange: str, pattern: str) -> Callable[[Any], Call]:
    return lambda channel: (
        lambda done: channel.queue_bind(queue, exchange, routing_key=pattern, callback=done)
    )
