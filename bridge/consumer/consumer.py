"""The service of a new consumer: events in, its own read model kept, nothing lost.

Each batch of deliveries is read (envelope, contract, data), and what is new in it is handed to the
handler in one transaction of the handler's own database, together with the inbox rows. Only after
that commit are the deliveries acknowledged. So a crash at any point repeats deliveries, never
loses one, and the inbox makes a repetition do nothing.

Order is the queue's order: an event that fails is retried in place, while those behind it wait.
What can never succeed (unreadable, refused, failed too often) is put into the park queue with its
reason, confirmed, and only then acknowledged; the events behind it go on. What is told about a
source itself (drift, alarms) is no event of a row: it is acknowledged and passed over.
"""

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

from bridge.consumer.broker_link import BrokerLink, Delivery, QueuePlan
from bridge.consumer.event import (
    HEADER_REPLAY,
    EventReader,
    OwnEvent,
    ReceivedEvent,
    Unreadable,
)
from bridge.consumer.ports import Inbox, Refused
from bridge.consumer.replays import OnReplay, inbox_group, spans
from bridge.contracts import ContractSet
from bridge.model.errors import SinkUnavailable, StorageUnavailable
from bridge.model.group_queue import park_queue_name
from bridge.model.observer import Observer, SilentObserver

Tx = TypeVar("Tx")
Handler = Callable[[ReceivedEvent, Tx], None]

# A commit for each delivery costs a disk flush each; five hundred share one. Larger batches gain
# little and make the one-by-one repetition after a failure longer.
BATCH_COUNT_MAX_DEFAULT: Final = 500
# Two batches: one in the handler, one on its way. It bounds what the kit holds in memory.
PREFETCH_DEFAULT: Final = 1_000
# With the delays below about 6 s: enough for a deadlock or a restart behind the handler's back.
ATTEMPTS_MAX_DEFAULT: Final = 6
_DELAY_FIRST_S: Final = 0.2
_DELAY_MAX_S: Final = 5.0
# `stop` and a queue cannot be waited for together; a tenth of a second is soon enough to stop.
_TAKE_TIMEOUT_S: Final = 0.1
# A broker limits a message's headers to one frame (128 KB); a reason is a sentence.
_REASON_CHARS_MAX: Final = 1_000


class Consumer(Generic[Tx]):
    """Applies the events of one queue to one database. Run one per thread."""

    def __init__(
        self,
        url: str,
        queue: str,
        bindings: Sequence[str],
        handler: Handler[Tx],
        inbox: Inbox[Tx],
        contracts: ContractSet,
        *,
        group: str,
        prefetch: int = PREFETCH_DEFAULT,
        batch_count_max: int = BATCH_COUNT_MAX_DEFAULT,
        attempts_max: int = ATTEMPTS_MAX_DEFAULT,
        retry_delay_s: float = _DELAY_FIRST_S,
        exchange: str = "lb.events",
        observer: Observer | None = None,
        on_replay: OnReplay = OnReplay.DEDUPLICATE,
    ) -> None:
        """Consume `queue`, bound to `exchange` by the topic patterns `bindings`.

        `group` names the consumer in the inbox and its park queue `c.GROUP.park`. Do not lower
        `prefetch` while messages are in the queue (see `bridge.consumer.broker_link`).
        """
        self._url = url
        self._plan = QueuePlan(
            exchange=exchange,
            queue=queue,
            park_queue=park_queue_name(group),
            bindings=tuple(bindings),
            prefetch=prefetch,
        )
        self._handler = handler
        self._inbox = inbox
        self._reader = EventReader(contracts)
        self._group = group
        self._batch_count_max = batch_count_max
        self._attempts_max = attempts_max
        self._retry_delay_s = retry_delay_s
        self._observer = observer or SilentObserver()
        self._on_replay = on_replay

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set; finish the batch in hand, then return.

        A broker or database that cannot be reached is waited for.

        Raises:
            ConfigInvalid: the broker refuses us or what we declare.
        """
        delays = _Delays(self._retry_delay_s)
        try:
            while not stop.is_set():
                try:
                    self._consume(stop, delays)
                except SinkUnavailable as exc:
                    self._observer.note("connection_lost", group=self._group, error=str(exc))
                    stop.wait(delays.next())
        finally:
            self._inbox.close()

    def _consume(self, stop: threading.Event, delays: "_Delays") -> None:
        """Consume over one connection."""
        link = BrokerLink(self._url, self._plan, f"legacy-bridge consumer {self._group}")
        try:
            link.open()
            self._observer.note("connected", group=self._group, queue=self._plan.queue)
            while not stop.is_set():
                deliveries = link.take(self._batch_count_max, _TAKE_TIMEOUT_S)
                if deliveries:
                    self._handle(link, deliveries, stop)
                    delays.reset()
        finally:
            link.close()

    def _handle(self, link: BrokerLink, deliveries: list[Delivery], stop: threading.Event) -> None:
        """Apply or park a batch, and acknowledge it."""
        started = time.monotonic()
        tally = _Tally()
        readable: _Span = []
        oldest = self._oldest(stop)
        if oldest is None:
            return
        for delivery in deliveries:
            event = self._read(delivery, oldest)
            if isinstance(event, Unreadable):
                self._park(link, delivery, "invalid", event.reason)
                tally.parked += 1
            elif isinstance(event, ReceivedEvent):
                readable.append((delivery, event))
        parts = spans(readable, self._on_replay)
        if all(self._apply(link, span, tally, stop) for span in parts):
            link.acknowledge(deliveries[-1].tag)
        self._observer.note(
            "consumed",
            group=self._group,
            events=len(readable),
            applied=tally.applied,
            parked=tally.parked,
            took_ms=round((time.monotonic() - started) * 1000, 3),
        )

    def _oldest(self, stop: threading.Event) -> int | None:
        """Return where the inbox's memory begins; None when stopped before it could be asked."""
        delays = _Delays(self._retry_delay_s)
        while not stop.is_set():
            try:
                return self._inbox.oldest(self._group)
            except StorageUnavailable as exc:
                self._observer.note("storage_lost", group=self._group, error=str(exc))
                stop.wait(delays.next())
        return None

    def _read(self, delivery: Delivery, oldest: int) -> ReceivedEvent | OwnEvent | Unreadable:
        event = self._reader.read(
            delivery.body,
            delivery.headers,
            message_id=delivery.message_id,
            redelivered=delivery.redelivered,
        )
        if (
            isinstance(event, ReceivedEvent)
            and event.leaf_index < oldest
            # What is applied again on purpose is remembered for its replay alone.
            and (event.replay is None or self._on_replay is OnReplay.DEDUPLICATE)
        ):
            return Unreadable(
                f"entry {event.leaf_index} is older than {oldest}, the oldest that the inbox "
                "remembers: it may have been applied already"
            )
        return event

    def _apply(
        self, link: BrokerLink, span: "_Span", tally: "_Tally", stop: threading.Event
    ) -> bool:
        """Apply `span` in one commit, or park what cannot be; False when stopped before the end.

        A span that fails is halved: the good events around a bad one still share their commits,
        and order is kept, because the first half is done with before the second begins.
        """
        if not span:
            return True
        delays = _Delays(self._retry_delay_s)
        attempts = 0
        while True:
            try:
                tally.applied += self._take_in([event for _, event in span])
            except StorageUnavailable as exc:
                # No event's fault: wait for the database as long as it takes.
                self._observer.note("storage_lost", group=self._group, error=str(exc))
            except Exception as exc:
                if len(span) > 1:
                    middle = len(span) // 2
                    return self._apply(link, span[:middle], tally, stop) and self._apply(
                        link, span[middle:], tally, stop
                    )
                attempts += 1
                if self._give_up(link, span[0], exc, attempts):
                    tally.parked += 1
                    link.acknowledge(span[0][0].tag)  # At once, so that it is parked once.
                    return True
            else:
                return True
            if stop.wait(delays.next()):
                return False

    def _take_in(self, events: Sequence[ReceivedEvent]) -> int:
        """Apply what is new of one span in one commit, and return how many were."""
        replay = events[0].replay
        if replay is None or self._on_replay is OnReplay.DEDUPLICATE:
            return self._inbox.apply(self._group, events, self._handler)
        applied = self._inbox.apply(inbox_group(self._group, replay), events, self._handler)
        # The same events may still come by the exchange: they were applied by then. A crash between
        # the two commits repeats both, and the first finds nothing new.
        oldest = self._inbox.oldest(self._group)
        known = [event for event in events if event.leaf_index >= oldest]
        self._inbox.apply(self._group, known, lambda _event, _tx: None)
        return applied

    def _give_up(
        self,
        link: BrokerLink,
        item: tuple[Delivery, ReceivedEvent],
        exc: Exception,
        attempts: int,
    ) -> bool:
        """Park an event that the handler refused, or failed on for the last time."""
        delivery, event = item
        if isinstance(exc, Refused):
            self._park(link, delivery, "refused", exc.code)
            return True
        self._observer.note(
            "handler_failed",
            group=self._group,
            event_id=event.id,
            attempt=attempts,
            error=_where(exc),
        )
        if attempts < self._attempts_max:
            return False
        self._park(link, delivery, "failed", f"handler failed {attempts} times: {_where(exc)}")
        return True

    def _park(self, link: BrokerLink, delivery: Delivery, kind: str, reason: str) -> None:
        # Broker headers (`x-…`) are its own business; ours are carried on.
        kept = {
            name: value
            for name, value in (delivery.headers or {}).items()
            if not name.startswith("x-") or name == HEADER_REPLAY
        }
        link.park(
            delivery,
            kept
            | {
                "lb-error-kind": kind,
                "lb-error": reason[:_REASON_CHARS_MAX],
                "lb-group": self._group,
                "lb-origin": delivery.routing_key,
            },
        )
        self._observer.note("parked", group=self._group, kind=kind, reason=reason)


_Span: TypeAlias = list[tuple[Delivery, ReceivedEvent]]


@dataclass(slots=True)
class _Tally:
    """What became of a batch."""

    applied: int = 0
    parked: int = 0


class _Delays:
    """Growing waits between attempts."""

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._next_s = first_s

    def next(self) -> float:
        """Return the wait before the next attempt, in seconds."""
        delay = self._next_s
        self._next_s = min(delay * 2, _DELAY_MAX_S)
        return delay

    def reset(self) -> None:
        """Begin again with the first delay."""
        self._next_s = self._first_s


def _where(exc: Exception) -> str:
    """Name an exception and where it was raised; its text may quote a row, so it stays here."""
    frames = traceback.extract_tb(exc.__traceback__)
    if not frames:
        return type(exc).__name__
    file_name = frames[-1].filename.rpartition("/")[2]
    return f"{type(exc).__name__} at {file_name}:{frames[-1].lineno}"
