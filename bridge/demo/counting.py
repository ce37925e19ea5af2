"""Count what the broker really holds, without the help of relay or kit."""

from typing import Any, NamedTuple

import pika

from bridge.model.group_queue import queue_name

COUNTER_GROUP = "counter"
"""A group whose queue nobody consumes during the run; it gets a copy of every event."""

PREFETCH = 1_000
# Longer than the broker ever pauses between two messages that are there.
SILENCE_S = 5.0


class Counted(NamedTuple):
    """What came out of the queue."""

    messages: int
    events: int
    """Distinct message ids; less than `messages` when some were published twice."""


def count_queue(url: str, queue: str = queue_name(COUNTER_GROUP)) -> Counted:
    """Empty `queue` and count messages and distinct event ids."""
    connection: Any = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=PREFETCH)
        waiting = channel.queue_declare(queue, passive=True).method.message_count
        ids: set[str] = set()
        messages = 0
        if waiting:
            for method, properties, _body in channel.consume(queue, inactivity_timeout=SILENCE_S):
                if method is None:
                    break
                ids.add(properties.message_id)
                messages += 1
                if messages % (PREFETCH // 2) == 0 or messages >= waiting:
                    channel.basic_ack(method.delivery_tag, multiple=True)
                if messages >= waiting:
                    break
        return Counted(messages, len(ids))
    finally:
        connection.close()
