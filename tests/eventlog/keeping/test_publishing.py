"""Consumers get what their contracts promise; what was erased is missing, named, and accepted."""

import json

from bridge.consumer.event import EventReader, OwnEvent, ReceivedEvent
from bridge.delivery.relay import Relay
from bridge.model.entry import StoredEntry
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.stores import Stores
from tests.delivery.memory_sink import MemorySink
from tests.delivery.running import running
from tests.delivery.test_relay import MemoryCursors
from tests.eventlog.keeping.shop import LIMIT, fill, name_of
from tests.eventlog.keeping.test_erasing import erase
from tests.waiting import RecordingObserver, wait_until


def published(stores: Stores) -> list[StoredEntry]:
    """Return what the relay publishes of the whole log."""
    sink, cursors = MemorySink(), MemoryCursors()
    relay = Relay(
        "broker",
        stores.event_log(),
        sink,
        cursors,
        RecordingObserver(),
        unsealer=stores.keeping().unsealer,
    )
    size = stores.event_log().head().size
    with running(relay):
        wait_until(lambda: cursors.stored and cursors.stored[-1] == size)
    return sink.arrived


def received(stores: Stores, entry: StoredEntry) -> object:
    """Return what the consumer's kit makes of a published entry."""
    reader = EventReader(contract_set(stores.settings))
    headers = {"lb-leaf": entry.leaf_index}
    return reader.read(entry.payload, headers, message_id=entry.entry_id, redelivered=False)


def test_published_events_are_clear_and_fit(stores: Stores) -> None:
    fill(stores, 3)
    arrived = published(stores)
    assert [entry.leaf_index for entry in arrived] == [0, 1, 2]
    for number, entry in enumerate(arrived, 1):
        assert f'"limit":{LIMIT}'.encode() in entry.payload
        event = received(stores, entry)
        assert isinstance(event, ReceivedEvent)
        assert (event.data["after"]["name"], event.erased) == (name_of(number), ())


def test_events_that_wait_at_an_erasure_are_published_without_the_fields(stores: Stores) -> None:
    fill(stores, 3)
    erase(stores)
    one, two, three, told = published(stores)
    event = received(stores, two)
    assert isinstance(event, ReceivedEvent), event
    assert event.erased == ("/after/email", "/after/limit", "/after/name")
    assert event.data["after"] == {"customer_id": 2, "vip": True}
    for other in (one, three):
        assert isinstance(received(stores, other), ReceivedEvent)
    assert isinstance(received(stores, told), OwnEvent)
    assert json.loads(told.payload)["data"]["id"] == "2"


def test_what_was_published_is_not_what_the_log_keeps(stores: Stores) -> None:
    fill(stores, 1)
    (arrived,) = published(stores)
    (kept,) = stores.event_log().read(0, 1)
    assert arrived._replace(payload=b"") == kept._replace(payload=b"")
    assert name_of(1).encode() in arrived.payload
    assert name_of(1).encode() not in kept.payload
