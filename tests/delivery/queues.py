"""A consumer's view of the broker: read queues back."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pika

from tests.delivery.events import Delivered
from tests.waiting import wait_until


@contextlib.contextmanager
def channel_of(url: str) -> Iterator[Any]:
    """Open a channel of our own, beside the one under test."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        connection.close()


@contextlib.contextmanager
def consuming(url: str, queue: str) -> Iterator[list[Delivered]]:
    """Consume `queue` into the list for the length of the block, by one consumer.

    Nothing of it is put back before the end: what goes back to a queue may change its order.
    """
    taken: list[Delivered] = []
    stop = threading.Event()

    def consume() -> None:
        with channel_of(url) as channel:
            channel.basic_qos(prefetch_count=1_000)
            channel.basic_consume(queue, on_message)
            while not stop.is_set():
                channel.connection.process_data_events(time_limit=0.02)

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        taken.append(_delivered(method, properties, body))
        channel.basic_ack(method.delivery_tag)

    thread = threading.Thread(target=consume, name="consumer", daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()


def await_indices(taken: list[Delivered], indices: set[int], timeout_s: float = 20) -> None:
    """Return once the entries of all `indices` are among `taken`."""
    wait_until(
        lambda: indices <= {message.leaf_index for message in taken},
        timeout_s,
        f"{len(indices)} entries to arrive",
    )


def take_all(url: str, queue: str, indices: set[int]) -> list[Delivered]:
    """Consume `queue` until the entry of each of `indices` was taken at least once."""
    with consuming(url, queue) as taken:
        await_indices(taken, indices)
    return taken


def _delivered(method: Any, properties: Any, body: bytes) -> Delivered:
    assert properties.delivery_mode == 2
    assert properties.content_type == "application/cloudevents+json; charset=utf-8"
    assert properties.type == f"com.example.{method.routing_key}"
    return Delivered(
        event_id=properties.message_id,
        leaf_index=properties.headers["lb-leaf"],
        key=properties.headers.get("lb-key"),
        body=body,
    )
