"""The consumer against a real broker."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.consumer import Consumer, ReceivedEvent, Refused
from bridge.consumer.memory_inbox import MemoryInbox
from bridge.consumer.sqlite_inbox import SqliteInbox
from bridge.model.errors import ConfigInvalid, StorageUnavailable
from tests.consumer.samples import (
    BINDINGS,
    Broker,
    balances,
    contracts,
    events,
)
from tests.waiting import RecordingObserver, wait_until
from tests.wire import Wire

QUEUE = "c.test"
PARK = "c.test.park"


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    with Broker(broker_url) as client:
        yield client


def keep(event: ReceivedEvent, tables: dict[str, Any]) -> None:
    """Keep the newest balance of each branch, and every event that was handled."""
    tables[str(event.data["key"]["branch_id"])] = event.data["after"]["balance"]
    tables.setdefault("log", []).append(event.leaf_index)


class Running:
    """A consumer in a thread of its own."""

    def __init__(self, url: str, **options: Any) -> None:
        self.observer = RecordingObserver()
        self.inbox = options.pop("inbox", None) or MemoryInbox()
        handler = options.pop("handler", keep)
        options.setdefault("retry_delay_s", 0.01)
        self.consumer = Consumer(
            url,
            QUEUE,
            BINDINGS,
            handler,
            self.inbox,
            contracts(),
            group="test",
            observer=self.observer,
            **options,
        )
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.consumer.run(self.stop)
        except BaseException as exc:
            self.error = exc

    @property
    def log(self) -> list[int]:
        log: list[int] = self.inbox.tables.get("log", [])
        return log

    def total(self, fact: str) -> int:
        return sum(int(note.facts[fact]) for note in self.observer.notes("consumed"))


@contextmanager
def running(url: str, **options: Any) -> Iterator[Running]:
    one = Running(url, **options)
    one.thread.start()
    try:
        one.observer.await_note("connected", timeout_s=20)
        yield one
    finally:
        one.stop.set()
        one.thread.join(20)
    assert not one.thread.is_alive()
    assert one.error is None


def test_events_are_applied_in_order_and_the_queue_is_left_empty(
    broker_url: str, broker: Broker
) -> None:
    with running(broker_url, batch_count_max=7) as consumer:
        broker.publish(events(100))
        wait_until(lambda: len(consumer.log) == 100)
    assert consumer.log == list(range(100))
    assert {int(k): v for k, v in consumer.inbox.tables.items() if k != "log"} == balances(100)
    assert broker.depth(QUEUE) == 0


def test_duplicates_are_applied_once(broker_url: str, broker: Broker) -> None:
    with running(broker_url) as consumer:
        made = events(20)
        broker.publish([*made, *made])
        broker.publish(made[5:15], first_leaf=5)
        broker.publish(events(1, start=20), first_leaf=20)
        wait_until(lambda: 20 in consumer.log)
    assert consumer.log == list(range(21))
    assert consumer.total("events") == 51
    assert consumer.total("applied") == 21


def test_unreadable_messages_are_parked_and_the_stream_goes_on(
    broker_url: str, broker: Broker
) -> None:
    with running(broker_url) as consumer:
        broker.publish(events(2))
        broker.send(b"not json", headers={"lb-leaf": 2, "x-mine": 1})
        wrong = events(1, start=3)[0].payload.replace(b'"balance":3', b'"balance":"secret"')
        broker.send(wrong, headers={"lb-leaf": 3, "lb-key": "k"})
        broker.publish(events(2, start=4), first_leaf=4)
        wait_until(lambda: len(consumer.log) == 4)
        wait_until(lambda: broker.depth(PARK) == 2)
    assert consumer.log == [0, 1, 4, 5]
    parked = [broker.get(PARK), broker.get(PARK)]
    assert parked[0] is not None
    assert parked[0][1] == b"not json"
    assert not any(name.startswith("x-m") for name in parked[0][0])
    assert {name: value for name, value in parked[0][0].items() if name[:2] != "x-"} == {
        "lb-leaf": 2,
        "lb-error-kind": "invalid",
        "lb-error": "envelope: not a CloudEvent in JSON with texts for attributes",
        "lb-group": "test",
        "lb-origin": "pgbench.branch.updated.v1",
    }
    assert parked[1] is not None
    assert parked[1][1] == wrong
    assert "/after/balance: breaks rule 'type'" in parked[1][0]["lb-error"]
    assert "secret" not in str(parked[1][0]) + str(consumer.observer.notes())


def test_a_refused_event_is_parked_at_once_and_its_neighbours_are_applied(
    broker_url: str, broker: Broker
) -> None:
    def refuse_some(event: ReceivedEvent, tables: dict[str, Any]) -> None:
        keep(event, tables)
        if event.leaf_index in (3, 4, 11):
            raise Refused("unknown-branch")

    with running(broker_url, handler=refuse_some) as consumer:
        broker.publish(events(20))
        wait_until(lambda: len(consumer.log) == 17)
        wait_until(lambda: broker.depth(PARK) == 3)
    assert consumer.log == [n for n in range(20) if n not in (3, 4, 11)]
    headers, body = broker.get(PARK) or ({}, b"")
    assert body == events(1, start=3)[0].payload
    assert headers["lb-error-kind"] == "refused"
    assert headers["lb-error"] == "unknown-branch"
    assert headers["lb-leaf"] == 3
    assert broker.depth(QUEUE) == 0
    assert consumer.observer.notes("connection_lost") == []


def test_a_failing_event_is_retried_in_place_and_order_is_kept(
    broker_url: str, broker: Broker
) -> None:
    failures = {2: 3, 5: 99}  # Event 2 succeeds at last, event 5 never.

    def fail(event: ReceivedEvent, tables: dict[str, Any]) -> None:
        keep(event, tables)
        if failures.get(event.leaf_index, 0) > 0:
            failures[event.leaf_index] -= 1
            raise ValueError("a row value: secret")

    with running(broker_url, handler=fail, attempts_max=4) as consumer:
        broker.publish(events(8))
        wait_until(lambda: len(consumer.log) == 7)
        wait_until(lambda: broker.depth(PARK) == 1)
    assert consumer.log == [0, 1, 2, 3, 4, 6, 7]
    headers, _ = broker.get(PARK) or ({}, b"")
    assert headers["lb-error-kind"] == "failed"
    assert headers["lb-error"].startswith("handler failed 4 times: ValueError at test_consumer.py:")
    assert "secret" not in str(headers) + str(consumer.observer.notes())


def test_a_database_that_is_away_is_waited_for(broker_url: str, broker: Broker) -> None:
    class Away(MemoryInbox):
        left = 5

        def apply(self, group: str, events: Any, handle: Any) -> int:
            if self.left:
                self.left -= 1
                raise StorageUnavailable("cannot use the inbox: away")
            return super().apply(group, events, handle)

    with running(broker_url, inbox=Away(), attempts_max=2) as consumer:
        broker.publish(events(5))
        wait_until(lambda: len(consumer.log) == 5)
    assert len(consumer.observer.notes("storage_lost")) == 5
    assert broker.depth(PARK) == 0


def test_an_event_older_than_the_inbox_remembers_is_parked(broker_url: str, broker: Broker) -> None:
    with running(broker_url, inbox=MemoryInbox(retention_leaves=10)) as consumer:
        broker.publish(events(1), first_leaf=0)
        broker.publish(events(1, start=50), first_leaf=50)
        wait_until(lambda: 50 in consumer.log)
        broker.publish(events(1), first_leaf=0)
        wait_until(lambda: broker.depth(PARK) == 1)
    assert consumer.log == [0, 50]
    headers, _ = broker.get(PARK) or ({}, b"")
    assert "entry 0 is older than 40" in headers["lb-error"]


def test_a_handler_slower_than_the_heartbeat_keeps_its_connection(
    broker_url: str, broker: Broker
) -> None:
    slow = threading.Event()

    def dawdle(event: ReceivedEvent, tables: dict[str, Any]) -> None:
        if event.leaf_index == 0:
            slow.wait(5)  # The broker gives up after two missed heartbeats: 2 to 3 s.
        keep(event, tables)

    with running(f"{broker_url}?heartbeat=1", handler=dawdle) as consumer:
        broker.publish(events(3))
        wait_until(lambda: len(consumer.log) == 3, timeout_s=20)
    assert consumer.observer.notes("connection_lost") == []
    assert broker.depth(QUEUE) == 0


def test_a_cut_connection_loses_and_doubles_nothing(
    broker_url: str, broker: Broker, wire: Callable[[str], Wire]
) -> None:
    line = wire(broker_url)
    with running(line.through(broker_url), batch_count_max=10) as consumer:
        for round_number in range(5):
            broker.publish(events(60, start=60 * round_number), first_leaf=60 * round_number)
            line.cut()
        wait_until(lambda: len(consumer.log) == 300, timeout_s=30)
    assert consumer.log == list(range(300))
    assert consumer.observer.notes("connection_lost")


@pytest.mark.long
def test_a_broker_that_falls_silent_is_left_and_found_again(
    broker_url: str, broker: Broker, wire: Callable[[str], Wire]
) -> None:
    line = wire(broker_url)
    with running(line.through(broker_url) + "?heartbeat=1") as consumer:
        broker.publish(events(5))
        wait_until(lambda: len(consumer.log) == 5)
        line.deaf()
        broker.publish(events(5, start=5), first_leaf=5)
        consumer.observer.await_note("connection_lost", timeout_s=20)
        line.resume()
        wait_until(lambda: len(consumer.log) == 10, timeout_s=30)
    assert consumer.log == list(range(10))


def test_a_queue_that_is_deleted_is_declared_again(broker_url: str, broker: Broker) -> None:
    with running(broker_url) as consumer:
        broker.drop_queue(QUEUE)
        consumer.observer.await_note("connection_lost")
        wait_until(lambda: len(consumer.observer.notes("connected")) == 2)
        broker.publish(events(1))
        wait_until(lambda: consumer.log == [0])


def test_an_existing_queue_is_taken_as_it_is(broker_url: str, broker: Broker) -> None:
    broker.declare(QUEUE, {"x-queue-type": "quorum"})
    with running(broker_url) as consumer:
        broker.publish(events(1))
        wait_until(lambda: consumer.log == [0])


@pytest.mark.parametrize("url", ["amqp://guest:wrong-secret@127.0.0.1:{port}/", "nonsense:/x"])
def test_a_broker_that_refuses_us_is_a_matter_for_a_person(rabbitmq: Any, url: str) -> None:
    consumer = Running(url.format(port=rabbitmq.port))
    with pytest.raises(ConfigInvalid) as caught:
        consumer.consumer.run(consumer.stop)
    assert "secret" not in str(caught.value)


def test_another_exchange_of_that_name_is_a_matter_for_a_person(
    broker_url: str, broker: Broker
) -> None:
    consumer = Running(broker_url, exchange="amq.direct")
    with pytest.raises(ConfigInvalid, match=r"cannot consume 'c\.test': .*amq\.direct"):
        consumer.consumer.run(consumer.stop)


def test_stopping_while_a_handler_keeps_failing_ends_soon_and_loses_nothing(
    broker_url: str, broker: Broker
) -> None:
    def fail(_event: ReceivedEvent, _tables: dict[str, Any]) -> None:
        raise ValueError

    with running(broker_url, handler=fail, retry_delay_s=30) as consumer:
        broker.publish(events(1))
        consumer.observer.await_note("handler_failed")
    assert broker.depth(PARK) == 0
    wait_until(lambda: broker.depth(QUEUE) == 1)


def test_a_read_model_in_sqlite_survives_a_restart(
    broker_url: str, broker: Broker, tmp_path: Path
) -> None:
    path = tmp_path / "model.db"

    def prepare(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE IF NOT EXISTS branch (id INTEGER PRIMARY KEY, n INTEGER)")

    def upsert(event: ReceivedEvent, connection: sqlite3.Connection) -> None:
        row = event.data["after"]
        connection.execute(
            "INSERT OR REPLACE INTO branch VALUES (?, ?)", (row["branch_id"], row["balance"])
        )

    for start in (0, 50):
        with running(
            broker_url, handler=upsert, inbox=SqliteInbox(path, prepare=prepare)
        ) as consumer:
            broker.publish(events(50, start=start), first_leaf=start)
            wait_until(lambda one=consumer: one.total("applied") == 50)  # type: ignore[misc]  # bound now
    connection = sqlite3.connect(path)
    assert dict(connection.execute("SELECT id, n FROM branch")) == balances(100)
    connection.close()
