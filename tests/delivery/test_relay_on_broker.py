"""The relay on a real broker that is killed, cut off, gone deaf, full, or without its queue.

Always: each event of the log is in the queue at least once, first arrivals are in the log's order
for each key, and the cursor was never ahead of what the broker had.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from adapters.rabbitmq.sink import RabbitMQSink, Unroutable
from bridge.delivery.relay import Relay
from bridge.delivery.topology import QueueSpec, Topology
from bridge.demo.servers import PrivateRabbitMQ
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sink_cursors import SqliteSinkCursors
from tests.delivery.events import (
    ROUTING_KEY,
    Delivered,
    append,
    assert_in_order,
    assert_nothing_lost,
    drafts,
    events_of,
)
from tests.delivery.queues import await_indices, channel_of, consuming, take_all
from tests.delivery.running import running
from tests.waiting import RecordingObserver, wait_until
from tests.wire import Wire

QUEUE = "c.orders"
TOPOLOGY = Topology(queues=(QueueSpec(name=QUEUE, bindings=("shop.order.#",)),))
# Enough to be in the middle of for some tenths of a second on a quick machine.
EVENTS = 5_000


class Stand:
    """A log in files, a broker behind a wire, and a relay between them."""

    def __init__(self, folder: Path, broker_url: str, line: Wire) -> None:
        self.broker_url = broker_url
        self.line = line
        self.log = SqliteEventLog(folder / "log.db")
        self.cursors = SqliteSinkCursors(folder / "state.db")
        self.observer = RecordingObserver()

    def relay(
        self,
        topology: Topology = TOPOLOGY,
        *,
        confirm_timeout_ms: int = 15_000,
        unroutable: Unroutable = Unroutable.NOTE,
    ) -> Relay:
        sink = RabbitMQSink(
            self.line.through(self.broker_url),
            topology,
            type_prefix="com.example",
            confirm_timeout_ms=confirm_timeout_ms,
            open_timeout_ms=2_000,
            unroutable=unroutable,
            observer=self.observer,
        )
        return Relay("broker", self.log, sink, self.cursors, self.observer)

    @property
    def cursor(self) -> int:
        return self.cursors.load("broker")

    def await_midstream(self) -> None:
        """Return when some events are confirmed and many are not."""
        self.await_more()
        assert self.cursor < self.log.head().size

    def await_more(self) -> None:
        """Return when more is confirmed than now."""
        before = self.cursor
        wait_until(lambda: self.cursor > before, what=f"a cursor beyond {before}")

    def await_end(self, timeout_s: float = 30) -> None:
        size = self.log.head().size
        wait_until(lambda: self.cursor == size, timeout_s, f"cursor at {size}")

    def read_back(self) -> list[Delivered]:
        """Take everything from the queue and check that nothing is lost."""
        wanted = {entry.leaf_index for entry in events_of(self.log)}
        delivered = take_all(self.broker_url, QUEUE, wanted)
        assert_nothing_lost(self.log, delivered)
        return delivered


@pytest.fixture
def stand(tmp_path: Path, broker_url: str, wire: Callable[[int | str], Wire]) -> Iterator[Stand]:
    made = Stand(tmp_path, broker_url, wire(broker_url))
    yield made
    made.log.close()
    made.cursors.close()


def test_without_disturbance_each_event_arrives_once(stand: Stand) -> None:
    append(stand.log, drafts(0, EVENTS, parked_each=50))
    with running(stand.relay()):
        stand.await_end()
    delivered = stand.read_back()
    assert [message.event_id for message in delivered] == [
        entry.entry_id for entry in events_of(stand.log)
    ]


@pytest.mark.long
def test_broker_killed_midstream(stand: Stand, rabbitmq: PrivateRabbitMQ) -> None:
    with running(stand.relay()):
        append(stand.log, drafts(0, 1))
        stand.await_end()
    # RabbitMQ writes down a new quorum queue's place on disk half a second late; killed before,
    # the queue comes back without a leader and never confirms again (rabbitmq-server#10070).
    rabbitmq.ctl("eval", "[ok = dets:sync(Table) || Table <- dets:all()].")
    append(stand.log, drafts(1, EVENTS))
    with running(stand.relay()):
        stand.await_midstream()
        rabbitmq.kill()
        append(stand.log, drafts(EVENTS + 1, 500))  # Capture goes on meanwhile.
        stand.observer.await_note("sink_lost")
        rabbitmq.restart()
        stand.await_end(60)
    assert stand.observer.notes("reconnected")
    assert_in_order(stand.read_back())


def test_wire_cut_midstream_again_and_again(stand: Stand) -> None:
    append(stand.log, drafts(0, EVENTS))
    with running(stand.relay()):
        for cuts in range(5):
            stand.await_more()
            stand.line.cut()
            stand.observer.await_note("sink_lost")
            stand.observer.clear()
            append(stand.log, drafts(EVENTS + 500 * cuts, 500))
        stand.await_end()
    assert_in_order(stand.read_back())


def test_half_open_wire_is_found_by_the_confirm_timeout(stand: Stand) -> None:
    append(stand.log, drafts(0, EVENTS))
    with running(stand.relay(confirm_timeout_ms=500)):
        stand.await_midstream()
        stand.line.deaf()
        lost = stand.observer.await_note("sink_lost")
        assert "no answer for" in str(lost["error"])
        stand.line.resume()
        stand.await_end()
    assert_in_order(stand.read_back())


def test_answers_lost_are_repetitions(stand: Stand) -> None:
    """The broker takes a window and its confirms never come: the window is sent again."""
    append(stand.log, drafts(0, EVENTS))
    with running(stand.relay(confirm_timeout_ms=500)):
        stand.await_midstream()
        stand.line.deaf(answers_only=True)
        stand.observer.await_note("sink_lost")
        stand.line.cut()
        stand.line.resume()
        stand.await_end()
    delivered = stand.read_back()
    assert_in_order(delivered)
    assert len(delivered) > EVENTS


def test_cursor_is_never_ahead_of_the_broker(stand: Stand) -> None:
    append(stand.log, drafts(0, EVENTS))
    with running(stand.relay()):
        stand.await_more()
        with consuming(stand.broker_url, QUEUE) as delivered:
            for _ in range(6):
                stand.await_more()
                stand.line.cut()
                await_indices(delivered, set(range(stand.cursor)))
                append(stand.log, drafts(stand.log.head().size, 1_000))
            stand.await_end()
            await_indices(delivered, set(range(stand.cursor)))
    assert_in_order(delivered)


def test_a_queue_that_vanishes_is_declared_again_and_misses_nothing(stand: Stand) -> None:
    append(stand.log, drafts(0, EVENTS))
    with running(stand.relay()):
        stand.await_end()
        stand.read_back()
        with channel_of(stand.broker_url) as channel:
            channel.queue_delete(QUEUE)
        append(stand.log, drafts(EVENTS, 3_000))
        lost = stand.observer.await_note("sink_lost")
        assert f"queue {QUEUE!r} should take {ROUTING_KEY!r}" in str(lost["error"])
        stand.await_end()
    assert_in_order(take_all(stand.broker_url, QUEUE, set(range(EVENTS, EVENTS + 3_000))))


def test_events_that_nobody_expects_are_counted(stand: Stand) -> None:
    append(stand.log, drafts(0, 3_000))
    with running(stand.relay(Topology())):
        stand.await_end()
        wait_until(
            lambda: sum(
                int(note.facts["entries"]) for note in stand.observer.notes("unroutable")
            ) == 3_000
        )  # fmt: skip
    first = stand.observer.notes("unroutable")[0].facts
    assert (first["first_index"], first["routing_key"]) == (0, ROUTING_KEY)
    assert not stand.observer.notes("sink_lost")


def test_held_events_wait_for_a_queue_and_are_not_sent_over_and_over(stand: Stand) -> None:
    append(stand.log, drafts(0, 3_000))
    with running(stand.relay(Topology(), unroutable=Unroutable.HOLD)):
        wait_until(lambda: len(stand.observer.notes("sink_lost")) >= 3)
        assert stand.cursor == 0
        with channel_of(stand.broker_url) as channel:
            quorum = {"x-queue-type": "quorum"}
            channel.queue_declare(QUEUE, durable=True, arguments=quorum)
            channel.queue_bind(QUEUE, "lb.events", "shop.#")
        stand.await_end()
    delivered = stand.read_back()
    assert len(delivered) == 3_000
    assert_in_order(delivered)


def test_a_full_queue_refuses_and_loses_nothing(stand: Stand, rabbitmq: PrivateRabbitMQ) -> None:
    """Order is not asserted: a queue that has room again may take what was behind a refused one."""
    vhost = urlsplit(stand.broker_url).path[1:]
    rabbitmq.ctl("set_policy", "-p", vhost, "short", ".*", '{"max-length":2000}')
    append(stand.log, drafts(0, EVENTS))
    with running(stand.relay()):
        lost = stand.observer.await_note("sink_lost")
        assert "it refused the message" in str(lost["error"])
        with consuming(stand.broker_url, QUEUE) as delivered:
            await_indices(delivered, set(range(EVENTS)), timeout_s=60)
            stand.await_end()
    assert_nothing_lost(stand.log, delivered)


def test_alarm_blocks_and_nothing_piles_up(stand: Stand, rabbitmq: PrivateRabbitMQ) -> None:
    append(stand.log, drafts(0, EVENTS))
    rabbitmq.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        with running(stand.relay(confirm_timeout_ms=300)):
            blocked = stand.observer.await_note("sink_blocked")
            assert "memory" in str(blocked["reason"])
            rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
            stand.observer.await_note("sink_unblocked")
            stand.await_end()
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    assert not stand.observer.notes("sink_lost")
    assert_in_order(stand.read_back())


def test_stopping_during_an_outage_is_quick(stand: Stand) -> None:
    append(stand.log, drafts(0, 100))
    stand.line.refuse()
    ended = threading.Event()
    with running(stand.relay()) as run:
        wait_until(lambda: len(stand.observer.notes("sink_lost")) >= 3)
        run.stop()
        ended.set()
    assert ended.is_set()
    assert stand.cursor == 0
