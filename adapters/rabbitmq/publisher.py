"""Publish entries on one channel with a window of unanswered messages.

Runs on the link's thread only, driven by three things: entries arrive (`pump`), the broker answers
(`on_confirm`, `on_return`), time passes (`tick`).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pika import spec

from adapters.rabbitmq.confirm_window import ConfirmWindow
from adapters.rabbitmq.errors import BrokerAddress
from adapters.rabbitmq.message import HEADER_LEAF, MessageEncoder
from adapters.rabbitmq.session import BulkConnection
from bridge.delivery.topology import DirectDelivery, Topology
from bridge.model.entry import StoredEntry
from bridge.model.errors import BridgeError, ConfigInvalid, SinkUnavailable
from bridge.model.observer import Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishLimits:
    """How much may be under way, how long an answer may take, what "nobody listens" means."""

    window_count_max: int
    window_bytes_max: int
    confirm_timeout_ms: int
    hold_unroutable: bool
    """Whether an event that no queue wants is kept back; else it counts and is passed over."""


class Publisher:
    """The sending half of a link."""

    def __init__(
        self,
        connection: BulkConnection,
        channel: Any,
        queue: deque[StoredEntry],
        *,
        topology: Topology,
        encoder: MessageEncoder,
        limits: PublishLimits,
        broker: BrokerAddress,
        observer: Observer,
        fail: Callable[[BridgeError], None],
        changed: Callable[[], None],
        direct: DirectDelivery | None = None,
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._queue = queue
        self._topology = topology
        self._encoder = encoder
        self._limits = limits
        self._direct = direct
        self._broker = broker
        self._observer = observer
        self._fail = fail
        self._changed = changed

        self.window = ConfirmWindow()
        self.unroutable = 0
        # The first message goes alone: after a failure it is the one that failed, and while the
        # broker refuses or returns it again, nothing behind it is sent over and over.
        self._window_count_max = 1
        self._answered_at = 0.0
        self._blocked = False
        self._stopped = False
        self._pump_due = False
        self._first_unroutable: tuple[int, str] | None = None
        self._unroutable_told = 0

    def start(self) -> None:
        """Hear returns and alarms; confirms are subscribed with confirm mode itself."""
        self._channel.add_on_return_callback(self._on_return)
        self._connection.add_on_connection_blocked_callback(self._on_blocked)
        self._connection.add_on_connection_unblocked_callback(self._on_unblocked)

    def stop(self) -> None:
        """Send nothing more and believe no further answer."""
        self._stopped = True

    def pump(self) -> None:
        """Send what waits, as far as the window is open."""
        self._pump_due = False
        queue, window = self._queue, self.window
        if self._stopped or not self._channel.is_open or not queue:
            return
        if not window:
            self._answered_at = time.monotonic()
        bytes_max = self._limits.window_bytes_max
        encode = self._encoder.encode
        frames = []
        while queue and len(window) < self._window_count_max and window.bytes < bytes_max:
            entry = queue.popleft()
            frames.append(encode(entry))
            window.sent(entry.leaf_index, len(entry.payload))
        if not frames:
            return
        self._connection.write_frames(b"".join(frames))
        if len(queue) < self._limits.window_count_max // 2:
            self._changed()  # There is room for a batch.

    def on_confirm(self, frame: Any) -> None:
        """Take the broker's answer: durable, or refused."""
        if self._stopped:
            return
        method = frame.method
        if isinstance(method, spec.Basic.Nack):
            index = self.window.index_of(method.delivery_tag)
            self._refuse(
                f"cannot publish entry {index} to RabbitMQ at {self._broker}: it refused the "
                "message; a queue is full or has no leader, look at its length limit and state"
            )
            return
        self.window.confirm(method.delivery_tag, multiple=method.multiple)
        self._answered_at = time.monotonic()
        self._window_count_max = self._limits.window_count_max
        if not self._pump_due:
            # Many answers come in one read; one pump after all of them makes larger writes.
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self.pump)
        if not self.window:
            self._changed()

    def tick(self) -> None:
        """Hold the oldest unanswered message against its deadline; tell what was returned."""
        self._tell_unroutable()
        oldest = self.window.oldest_index
        if self._blocked or oldest is None:
            return
        waited_ms = (time.monotonic() - self._answered_at) * 1000
        if waited_ms > self._limits.confirm_timeout_ms:
            self._refuse(
                f"cannot tell whether entry {oldest} reached RabbitMQ at {self._broker}: no "
                f"answer for {waited_ms:.0f} ms with {len(self.window)} messages outstanding; if "
                "it stays so, see whether each bound queue has a leader"
            )

    def _on_return(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        """Take back a message that no queue wanted; its confirm follows and must not count."""
        if self._stopped:
            return
        routing_key, index = method.routing_key, properties.headers[HEADER_LEAF]
        if self._direct is not None:
            self._fail(
                ConfigInvalid(
                    f"cannot replay to queue {self._direct.queue!r} on RabbitMQ at {self._broker}: "
                    "it does not exist; name the group in delivery.groups, or let its consumer "
                    "come first"
                )
            )
            return
        queue = self._topology.queue_for(routing_key)
        if queue is not None:
            self._refuse(
                f"cannot publish entry {index} to RabbitMQ at {self._broker}: queue "
                f"{queue.name!r} should take {routing_key!r}, but it or its binding is gone; "
                "connecting again declares it"
            )
        elif self._limits.hold_unroutable:
            self._refuse(
                f"cannot publish entry {index} to RabbitMQ at {self._broker}: no queue is bound "
                f"to exchange {self._topology.exchange!r} for {routing_key!r}; bind one, or let "
                "unroutable events pass"
            )
        else:
            self.unroutable += 1
            if self._first_unroutable is None:
                self._first_unroutable = (index, routing_key)

    def _tell_unroutable(self) -> None:
        if self._first_unroutable is None:
            return
        index, routing_key = self._first_unroutable
        count = self.unroutable - self._unroutable_told
        self._first_unroutable, self._unroutable_told = None, self.unroutable
        self._observer.note("unroutable", entries=count, first_index=index, routing_key=routing_key)

    def _refuse(self, message: str) -> None:
        self._fail(SinkUnavailable(message))

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        """Wait: the broker is out of memory or disk and reads nothing more from us.

        The window stays as it is and its deadline stands still; heartbeats still tell a dead wire
        from a blocked one.
        """
        self._blocked = True
        self._observer.note(
            "sink_blocked", broker=str(self._broker), reason=str(frame.method.reason)
        )

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self._blocked = False
        self._answered_at = time.monotonic()
        self._observer.note("sink_unblocked", broker=str(self._broker))
