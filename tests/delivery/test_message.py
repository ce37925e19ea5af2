"""Our encoding of the properties is pika's, byte for byte."""

import pytest
from pika import frame, spec

from adapters.rabbitmq.message import CONTENT_TYPE, EventProperties, MessageTypes
from tests.delivery.events import stored_event


@pytest.mark.parametrize("key", [None, "", '{"order_id":7}', '{"name":"Žofie"}', "k" * 5_000])
@pytest.mark.parametrize("index", [0, 1, 2**31, 2**40])
def test_encodes_as_pika_does(key: str | None, index: int) -> None:
    entry = stored_event(index, key=key)
    types = MessageTypes("com.example")
    assert entry.routing_key is not None
    ours = frame.Header(
        1, len(entry.payload), EventProperties(entry, types.field(entry.routing_key))
    )
    headers = {} if key is None else {"lb-key": key}
    theirs = spec.BasicProperties(
        content_type=CONTENT_TYPE,
        headers=headers | {"lb-leaf": index},
        delivery_mode=2,
        message_id=entry.entry_id,
        type=f"com.example.{entry.routing_key}",
    )
    decoded = spec.BasicProperties()
    decoded.decode(ours.marshal()[19:-1])
    assert decoded == theirs
    if index >= 2**31:  # pika writes smaller numbers as 32 bits; we write them all as 64.
        assert ours.marshal() == frame.Header(1, len(entry.payload), theirs).marshal()


def test_types_are_bounded() -> None:
    types = MessageTypes("p")
    for number in range(MessageTypes.TYPES_MAX + 10):
        assert types.field(f"k{number}") == bytes([len(f"p.k{number}")]) + f"p.k{number}".encode()
    assert len(types._known) <= MessageTypes.TYPES_MAX
