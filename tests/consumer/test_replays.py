"""Events sent again: duplicates by default, applied once for each replay when asked for."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bridge.consumer import OnReplay, ReceivedEvent, Refused
from bridge.consumer.memory_inbox import MemoryInbox
from bridge.consumer.replays import inbox_group, spans
from bridge.model.event import Event
from tests.consumer.samples import Broker, events, received
from tests.consumer.test_consumer import PARK, running
from tests.waiting import wait_until


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    with Broker(broker_url) as client:
        yield client


def replay(broker: Broker, made: Sequence[Event], replay_id: str, *, first_leaf: int = 0) -> None:
    for leaf, event in enumerate(made, first_leaf):
        broker.send(
            event.payload,
            routing_key=event.routing_key,
            message_id=event.event_id,
            headers={"lb-leaf": leaf, "lb-key": event.key, "x-lb-replay": replay_id},
        )


def test_a_replay_is_a_duplicate_by_default(broker_url: str, broker: Broker) -> None:
    made = events(60)
    with running(broker_url, batch_count_max=7) as consumer:
        broker.publish(made[:40])
        wait_until(lambda: len(consumer.log) == 40)
        replay(broker, made, "r1")  # The last twenty were missed.
        wait_until(lambda: consumer.total("events") == 100)
    assert consumer.log == list(range(60))


def test_a_replay_is_applied_once_when_asked_for(broker_url: str, broker: Broker) -> None:
    made = events(30)
    told: list[str | None] = []

    def keep(event: ReceivedEvent, tables: dict[str, Any]) -> None:
        tables.setdefault("log", []).append(event.leaf_index)
        told.append(event.replay)

    with running(broker_url, batch_count_max=7, on_replay=OnReplay.APPLY, handler=keep) as consumer:
        broker.publish(made)
        wait_until(lambda: len(consumer.log) == 30)
        replay(broker, made[5:25], "r1", first_leaf=5)
        replay(broker, made[20:25], "r1", first_leaf=20)  # A crash of the replay repeats these.
        wait_until(lambda: consumer.total("events") == 55)
        assert consumer.log == [*range(30), *range(5, 25)]
        replay(broker, made[:2], "r2")
        wait_until(lambda: len(consumer.log) == 52)
    assert told == [None] * 30 + ["r1"] * 20 + ["r2"] * 2


def test_what_a_replay_brought_is_not_applied_again_by_the_exchange(
    broker_url: str, broker: Broker
) -> None:
    made = events(20)
    with running(broker_url, batch_count_max=7, on_replay=OnReplay.APPLY) as consumer:
        replay(broker, made, "r1")
        broker.publish(made)
        wait_until(lambda: consumer.total("events") == 40)
    assert consumer.log == list(range(20))


def test_what_the_inbox_forgot_is_parked_unless_it_is_applied(
    broker_url: str, broker: Broker
) -> None:
    made = events(10)
    for on_replay, applied in ((OnReplay.DEDUPLICATE, 1), (OnReplay.APPLY, 11)):
        inbox = MemoryInbox(retention_leaves=100)
        with running(broker_url, on_replay=on_replay, inbox=inbox) as consumer:
            broker.publish(events(1, start=5_000), first_leaf=5_000)
            wait_until(lambda consumer=consumer: len(consumer.log) == 1)  # type: ignore[misc]  # Bound now.
            replay(broker, made, "r1")
            wait_until(
                lambda consumer=consumer: consumer.total("applied") + consumer.total("parked") == 11  # type: ignore[misc]  # Bound now.
            )
        assert len(consumer.log) == applied
    parked = broker.get(PARK)
    assert parked is not None
    assert parked[0]["x-lb-replay"] == "r1", "who looks at it sees that it was a replay"


def test_a_refused_replay_is_parked_and_its_neighbours_are_applied(
    broker_url: str, broker: Broker
) -> None:
    def refuse(event: ReceivedEvent, tables: dict[str, Any]) -> None:
        if event.leaf_index == 3:
            raise Refused("three")
        tables.setdefault("log", []).append(event.leaf_index)

    with running(broker_url, on_replay=OnReplay.APPLY, handler=refuse) as consumer:
        replay(broker, events(6), "r1")
        wait_until(lambda: len(consumer.log) == 5)
    assert consumer.log == [0, 1, 2, 4, 5]


def test_a_batch_is_cut_where_a_replay_begins_or_ends() -> None:
    made = [(number, received(number)) for number in range(6)]
    marked = [
        (number, event._replace(replay="r1" if 2 <= number < 4 else None)) for number, event in made
    ]
    assert spans(marked, OnReplay.DEDUPLICATE) == [marked]
    assert spans(marked, OnReplay.APPLY) == [marked[:2], marked[2:4], marked[4:]]
    assert spans([], OnReplay.APPLY) == []
    assert inbox_group("orders", None) == "orders"
    assert inbox_group("orders", "r1") != inbox_group("orders", "r2")
