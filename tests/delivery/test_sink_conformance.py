"""What every sink promises, told once and held against each: RabbitMQ, and its twin in memory."""

from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from adapters.rabbitmq.sink import RabbitMQSink
from bridge.delivery.ports import EventSink, Progress
from bridge.delivery.topology import QueueSpec, Topology
from bridge.model.entry import StoredEntry
from bridge.model.errors import SinkUnavailable
from tests.delivery.events import Delivered, stored_event
from tests.delivery.memory_sink import ActThenFail, Hold, MemorySink, Pass, Reject
from tests.delivery.queues import channel_of, consuming
from tests.waiting import wait_until
from tests.wire import Wire


class Stand(Protocol):
    """A sink with the means to disturb it and to look behind it."""

    sink: EventSink

    def await_arrived(self, count: int) -> list[str]:
        """Return the ids of all that arrived so far, once they are `count`."""

    def refuse(self) -> None:
        """Make it refuse the next entry."""

    def lose_answers(self) -> None:
        """Let it take the next entry, and lose its answer."""

    def break_off(self) -> None:
        """End the connection, if losing the answer has not."""

    def hold(self) -> None:
        """Keep its answers back."""

    def heal(self) -> None:
        """Undo any of these."""


class MemoryStand:
    def __init__(self) -> None:
        self.memory = MemorySink()
        self.sink: EventSink = self.memory

    def await_arrived(self, count: int) -> list[str]:
        assert len(self.memory.arrived) == count
        return [entry.entry_id for entry in self.memory.arrived]

    def refuse(self) -> None:
        self.memory.inject("publish", Reject())

    def lose_answers(self) -> None:
        self.memory.inject("publish", ActThenFail())

    def break_off(self) -> None:
        """`ActThenFail` has done it."""

    def hold(self) -> None:
        self.memory.inject("publish", Hold())

    def heal(self) -> None:
        self.memory.release()


class RabbitMQStand:
    def __init__(self, broker_url: str, line: Wire) -> None:
        self._url = broker_url
        self._line = line
        self._taken: list[Delivered] = []
        self.sink: EventSink = RabbitMQSink(
            line.through(broker_url),
            Topology(queues=(QueueSpec(name="q", bindings=("shop.#",)),)),
            type_prefix="com.example",
        )

    def await_arrived(self, count: int) -> list[str]:
        missing = count - len(self._taken)
        if missing:
            with consuming(self._url, "q") as taken:
                wait_until(lambda: len(taken) >= missing)
            self._taken += taken
        return [message.event_id for message in self._taken]

    def refuse(self) -> None:
        with channel_of(self._url) as channel:
            channel.queue_delete("q")

    def lose_answers(self) -> None:
        self._line.deaf(answers_only=True)

    def break_off(self) -> None:
        self._line.cut()

    def hold(self) -> None:
        self._line.deaf()

    def heal(self) -> None:
        self._line.resume()


@pytest.fixture(params=["memory", "rabbitmq"])
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    made: Stand
    if request.param == "memory":
        made = MemoryStand()
    else:
        wire: Callable[[str], Wire] = request.getfixturevalue("wire")
        broker_url: str = request.getfixturevalue("broker_url")
        made = RabbitMQStand(broker_url, wire(broker_url))
    yield made
    made.sink.close()


def await_through(sink: EventSink, index: int) -> Progress:
    """Return the progress at which everything up to `index` is durable."""

    def reached() -> Progress | None:
        progress = sink.progress(20)
        return progress if progress.through >= index else None

    found = wait_until(reached, what=f"entry {index} to be confirmed")
    assert found is not None
    return found


def await_failure(sink: EventSink) -> None:
    with pytest.raises(SinkUnavailable):
        wait_until(lambda: sink.progress(20) is None, what="the sink to fail")


def ids(entries: list[StoredEntry]) -> list[str]:
    return [entry.entry_id for entry in entries]


def test_publishes_in_order(stand: Stand) -> None:
    entries = [stored_event(index) for index in range(2_500)]
    stand.sink.connect()
    assert stand.sink.progress() == Progress(through=-1, waiting=0, unroutable=0)
    for start in range(0, 2_500, 500):
        stand.sink.offer(entries[start : start + 500])
    assert await_through(stand.sink, 2_499) == Progress(through=2_499, waiting=0, unroutable=0)
    assert stand.await_arrived(2_500) == ids(entries)


def test_indices_may_have_gaps(stand: Stand) -> None:
    entries = [stored_event(index) for index in (3, 7, 20)]
    stand.sink.connect()
    stand.sink.offer(entries)
    assert await_through(stand.sink, 20).through == 20
    assert stand.await_arrived(3) == ids(entries)


def test_accepts_without_waiting_for_answers(stand: Stand) -> None:
    stand.sink.connect()
    stand.sink.offer([stored_event(0)])
    await_through(stand.sink, 0)
    stand.hold()
    stand.sink.offer([stored_event(index) for index in range(1, 5)])
    assert stand.sink.progress(50).through == 0
    stand.heal()
    assert await_through(stand.sink, 4).through == 4


def test_a_refusal_keeps_the_mark_and_is_cured_by_sending_again(stand: Stand) -> None:
    stand.sink.connect()
    stand.sink.offer([stored_event(0)])
    await_through(stand.sink, 0)
    assert stand.await_arrived(1) == ids([stored_event(0)])
    stand.refuse()
    stand.sink.offer([stored_event(index) for index in range(1, 4)])
    await_failure(stand.sink)
    assert stand.sink.through == 0
    with pytest.raises(SinkUnavailable):
        stand.sink.offer([stored_event(4)])
    stand.heal()
    stand.sink.connect()
    stand.sink.offer([stored_event(index) for index in range(1, 4)])
    await_through(stand.sink, 3)
    assert stand.await_arrived(4) == ids([stored_event(index) for index in range(4)])


def test_a_lost_answer_is_a_repetition_with_the_same_id(stand: Stand) -> None:
    first, second, third = (stored_event(index) for index in range(3))
    stand.sink.connect()
    stand.sink.offer([first])
    await_through(stand.sink, 0)
    stand.lose_answers()
    stand.sink.offer([second])
    assert stand.await_arrived(2) == ids([first, second])
    stand.break_off()
    await_failure(stand.sink)
    assert stand.sink.through == 0
    stand.heal()
    stand.sink.connect()
    stand.sink.offer([second, third])
    await_through(stand.sink, 2)
    assert stand.await_arrived(4) == ids([first, second, second, third])


def test_connecting_forgets_what_was_outstanding(stand: Stand) -> None:
    stand.sink.connect()
    stand.hold()
    stand.sink.offer([stored_event(index) for index in range(5)])
    assert stand.sink.through == -1
    stand.break_off()
    stand.heal()
    stand.sink.connect()
    assert stand.sink.progress() == Progress(through=-1, waiting=0, unroutable=0)
    stand.sink.offer([stored_event(5)])
    assert await_through(stand.sink, 5).through == 5


def test_closing_is_harmless(stand: Stand) -> None:
    stand.sink.close()
    with pytest.raises(SinkUnavailable):
        stand.sink.offer([stored_event(0)])
    stand.sink.connect()
    stand.sink.offer([stored_event(1)])
    await_through(stand.sink, 1)
    stand.sink.close()
    stand.sink.close()
    assert stand.sink.through == 1
    with pytest.raises(SinkUnavailable):
        stand.sink.offer([stored_event(2)])
    with pytest.raises(SinkUnavailable):
        stand.sink.progress()


def test_the_twin_passes_calls_before_its_fault() -> None:
    sink = MemorySink()
    sink.inject("connect", Reject())
    sink.inject("publish", Pass(2), Reject())
    with pytest.raises(SinkUnavailable):
        sink.connect()
    sink.connect()
    sink.offer([stored_event(index) for index in range(3)])
    assert (sink.through, len(sink.arrived)) == (1, 2)
