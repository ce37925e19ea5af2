"""Our encoding of a message is pika's, byte for byte."""

import pytest
from pika import frame, spec

from adapters.rabbitmq.message import CONTENT_TYPE, MessageEncoder
from bridge.model.entry import StoredEntry
from tests.delivery.events import ROUTING_KEY, stored_event

FRAME_BYTES_MAX = 1_024
# pika writes 32 bits for smaller integers; we write 64 for all, which only these can compare.
INDEX_OF_64_BITS = 2**40


def encoder() -> MessageEncoder:
    return MessageEncoder(
        exchange="lb.events",
        type_prefix="com.example",
        channel_number=7,
        frame_bytes_max=FRAME_BYTES_MAX,
    )


def properties_of(entry: StoredEntry) -> spec.BasicProperties:
    headers = {} if entry.partition_key is None else {"lb-key": entry.partition_key}
    return spec.BasicProperties(
        content_type=CONTENT_TYPE,
        headers=headers | {"lb-leaf": entry.leaf_index},
        delivery_mode=2,
        message_id=entry.entry_id,
        type=f"com.example.{entry.routing_key}",
    )


def encoded_by_pika(entry: StoredEntry) -> bytes:
    publish = spec.Basic.Publish(
        exchange="lb.events", routing_key=entry.routing_key, mandatory=True
    )
    size = FRAME_BYTES_MAX - 8
    payload = entry.payload
    frames = [
        frame.Method(7, publish),
        frame.Header(7, len(payload), properties_of(entry)),
        *(frame.Body(7, payload[at : at + size]) for at in range(0, len(payload), size)),
    ]
    return b"".join(each.marshal() for each in frames)


@pytest.mark.parametrize("key", [None, "", '{"order_id":7}', '{"name":"Žofie"}', "k" * 500])
@pytest.mark.parametrize("size", [1, 200, 1_015, 1_016, 1_017, 5_000])
def test_encodes_as_pika_does(key: str | None, size: int) -> None:
    entry = stored_event(INDEX_OF_64_BITS, key=key)._replace(payload=b"x" * size)
    ours = encoder()
    assert ours.encode(entry) == encoded_by_pika(entry)
    assert ours.encode(entry) == encoded_by_pika(entry)  # With the routing key known, too.


@pytest.mark.parametrize("index", [0, 1, 2**31 - 1, 2**31])
def test_small_indices_are_read_back(index: int) -> None:
    entry = stored_event(index)
    data = encoder().encode(entry)
    used, method = frame.decode_frame(data)
    assert (method.method.routing_key, method.method.mandatory) == (ROUTING_KEY, True)
    _, header = frame.decode_frame(data[used:])
    assert header.properties == properties_of(entry)


def test_routing_keys_are_bounded() -> None:
    ours = encoder()
    for number in range(MessageEncoder.ROUTING_KEYS_MAX + 10):
        ours.encode(stored_event(1, routing_key=f"shop.order.updated.v{number}"))
    assert len(ours._by_routing_key) == 10
