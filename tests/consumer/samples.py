"""Events of one small contract, and a broker client to put them on a queue."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

import orjson
import pika

from bridge.consumer import ReceivedEvent
from bridge.contracts import ContractSet
from bridge.model.change import BeforeImage, ChangeKind, Column, Relation, RowChange
from bridge.model.event import ChangeOrigin, Event

EXCHANGE = "lb.events"
BINDINGS = ("pgbench.#",)
CONTRACTS = Path(__file__).parent.parent / "pgbench_contracts"

_SHAPE = Relation(
    oid=1,
    schema="public",
    table="pgbench_branches",
    identity="d",
    columns=(
        Column(name="bid", type_oid=23, type_modifier=-1, is_key=True),
        Column(name="bbalance", type_oid=23, type_modifier=-1, is_key=False),
        Column(name="filler", type_oid=1042, type_modifier=92, is_key=False),
    ),
)
_TIME = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


@cache
def contracts() -> ContractSet:
    return ContractSet.load(CONTRACTS, type_prefix="com.example")


def events(count: int, *, keys: int = 10, start: int = 0) -> list[Event]:
    """Return updates of `keys` branches in turn; the balance is the event's number."""
    mapper = contracts().mapper("pgbench", _SHAPE)
    assert mapper is not None
    made = []
    for number in range(start, start + count):
        sequence = f"{number:016X}:00000000"
        origin = ChangeOrigin("pgbench", f"pgbench:{sequence}", sequence, 1, _TIME, "now")
        row = (str(number % keys), str(number), None)
        event = mapper.map(
            RowChange(ChangeKind.UPDATED, _SHAPE, None, BeforeImage.NONE, row), origin
        )
        assert isinstance(event, Event), event
        made.append(event)
    return made


def balances(count: int, keys: int = 10) -> dict[int, int]:
    """Return what a read model holds after the first `count` of `events`."""
    return {number % keys: number for number in range(count)}


def received(number: int, *, leaf: int | None = None) -> ReceivedEvent:
    """Return event `number` as a handler gets it."""
    data = orjson.loads(events(1, start=number)[0].payload)["data"]
    return ReceivedEvent(
        f"pgbench:{number:016X}:00000000",
        "urn:legacy-bridge:pgbench",
        "com.example.pgbench.branch.updated.v1",
        "pgbench.branch",
        "1.0",
        ChangeKind.UPDATED,
        data["key"],
        data,
        _TIME,
        f"{number:016X}:00000000",
        number if leaf is None else leaf,
        False,
    )


class Broker:
    """A test's own connection to the broker."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
        self._channel.confirm_delivery()

    def publish(self, made: Iterable[Event], *, first_leaf: int = 0) -> None:
        """Publish each event, confirmed, as the relay does."""
        for leaf, event in enumerate(made, first_leaf):
            self.send(
                event.payload,
                routing_key=event.routing_key,
                message_id=event.event_id,
                headers={"lb-leaf": leaf, "lb-key": event.key},
            )

    def publish_fast(self, made: Sequence[Event]) -> None:
        """Publish many events in one broker transaction; the queue has them when this returns."""
        channel = self._connection.channel()
        channel.tx_select()
        for leaf, event in enumerate(made):
            channel.basic_publish(
                EXCHANGE,
                event.routing_key,
                event.payload,
                pika.BasicProperties(
                    delivery_mode=2, message_id=event.event_id, headers={"lb-leaf": leaf}
                ),
            )
        channel.tx_commit()
        channel.close()

    def send(
        self,
        body: bytes,
        *,
        routing_key: str = "pgbench.branch.updated.v1",
        message_id: str | None = None,
        headers: dict[str, Any] | None = None,
    ) -> None:
        """Publish one message; fails when no queue takes it."""
        properties = pika.BasicProperties(
            content_type="application/cloudevents+json; charset=utf-8",
            delivery_mode=2,
            message_id=message_id,
            headers=headers,
        )
        self._channel.basic_publish(EXCHANGE, routing_key, body, properties, mandatory=True)

    def depth(self, queue: str) -> int:
        """Return how many messages `queue` holds for delivery."""
        count: int = self._channel.queue_declare(queue, passive=True).method.message_count
        return count

    def get(self, queue: str) -> tuple[dict[str, Any], bytes] | None:
        """Take one message off `queue`: headers and body."""
        method, properties, body = self._channel.basic_get(queue, auto_ack=True)
        return None if method is None else (properties.headers, body)

    def declare(self, queue: str, arguments: dict[str, Any]) -> None:
        """Declare a durable queue with these arguments."""
        self._channel.queue_declare(queue, durable=True, arguments=arguments)

    def drop_queue(self, queue: str) -> None:
        """Delete `queue` under its consumer."""
        self._channel.queue_delete(queue)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._connection.is_open:
            self._connection.close()
