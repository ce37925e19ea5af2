"""One connection to RabbitMQ, owned by one I/O thread.

Handlers run elsewhere and may take as long as they like: the I/O thread keeps answering
heartbeats. Everything that others ask of the connection is passed to that thread.

The prefetch of a queue must never shrink from one connection to the next: a quorum queue hands
returned messages out in the order in which they came back, and only a consumer that takes at
least as many as before gets them in the queue's own order. (Measured on 3.10.8: of 100 messages, a
prefetch of 50, then of 10, then of 100 gave 10…49, 0…9, 50…; with 50 throughout, order was kept.)
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pika
from pika import exceptions as pika_errors

from bridge.model.errors import ConfigInvalid, SinkUnavailable
from bridge.model.group_queue import PARK_ARGUMENTS, queue_arguments

# A broker that does not answer at all within this time is down for our purposes.
CONNECT_TIMEOUT_S: Final = 10.0
# RabbitMQ confirms persistent messages in batches; a write to a slow disk may take seconds.
CONFIRM_TIMEOUT_S: Final = 30.0
# Short enough to notice a dead peer soon, long enough for a pause of the whole machine.
HEARTBEAT_S: Final = 30
# The I/O thread wakes for each frame and each call; this only bounds a turn without either.
_TURN_S: Final = 1.0

_GONE = (pika_errors.AMQPError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlan:
    """What a consumer group declares."""

    exchange: str
    queue: str
    park_queue: str
    bindings: tuple[str, ...]
    prefetch: int


class Delivery(NamedTuple):
    """One message, to be acknowledged by its tag."""

    tag: int
    body: bytes
    routing_key: str
    redelivered: bool
    message_id: str | None
    type: str | None
    content_type: str | None
    headers: Mapping[str, Any] | None


class BrokerLink:
    """Deliveries of one queue, from connecting until the connection is lost or closed."""

    def __init__(self, url: str, plan: QueuePlan, name: str) -> None:
        """Prepare a connection to `url`, shown to the broker's operators as `name`."""
        self._parameters = _parameters(url, name)
        self._plan = plan
        self._deliveries: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._ready: Future[None] = Future()
        self._pending: set[Future[None]] = set()
        self._failure: Exception | None = None
        self._closing = False
        self._acknowledged_tag = 0
        self._connection: Any = None
        self._channel: Any = None
        self._park_channel: Any = None
        self._thread = threading.Thread(target=self._run, name=f"amqp {name}", daemon=True)

    def open(self) -> None:
        """Connect, declare and begin to consume.

        Raises:
            ConfigInvalid: the broker refuses what we ask for, or us.
            SinkUnavailable: it cannot be reached now.
        """
        self._thread.start()
        try:
            self._ready.result(CONNECT_TIMEOUT_S + CONFIRM_TIMEOUT_S)
        except TimeoutError:
            raise SinkUnavailable(f"cannot consume {self._plan.queue!r}: no answer") from None

    def take(self, count_max: int, timeout_s: float) -> list[Delivery]:
        """Return up to `count_max` deliveries in the queue's order; empty after `timeout_s`.

        Raises:
            SinkUnavailable: the connection was lost; what was not acknowledged comes again.
        """
        try:
            first = self._deliveries.get(timeout=timeout_s)
        except queue.Empty:
            return []
        taken: list[Delivery] = []
        while first is not None:
            taken.append(first)
            if len(taken) == count_max:
                return taken
            try:
                first = self._deliveries.get_nowait()
            except queue.Empty:
                return taken
        raise self._lost()

    def acknowledge(self, through_tag: int) -> None:
        """Acknowledge everything up to `through_tag`; sent soon, in order with other calls.

        Raises:
            SinkUnavailable: the connection was lost before.
        """
        if through_tag <= self._acknowledged_tag:
            return  # The broker closes the channel over a tag that it does not know any more.
        self._acknowledged_tag = through_tag
        self._schedule(lambda: self._channel.basic_ack(through_tag, multiple=True))

    def park(self, delivery: Delivery, headers: Mapping[str, Any]) -> None:
        """Put the message, byte for byte, into the park queue; return once that is confirmed.

        Raises:
            SinkUnavailable: it is not known to be there; the message comes again.
        """
        properties = pika.BasicProperties(
            content_type=delivery.content_type,
            delivery_mode=2,
            message_id=delivery.message_id,
            type=delivery.type,
            headers=dict(headers),
        )
        done: Future[None] = Future()
        self._pending.add(done)

        def publish() -> None:
            try:
                self._park_channel.basic_publish(
                    "", self._plan.park_queue, delivery.body, properties, mandatory=True
                )
            except (pika_errors.NackError, pika_errors.UnroutableError) as exc:
                done.set_exception(
                    SinkUnavailable(
                        f"cannot park in {self._plan.park_queue!r}: {type(exc).__name__}"
                    )
                )
            else:
                done.set_result(None)

        try:
            self._schedule(publish)
            if self._failure is not None:  # It may have missed this future.
                raise self._lost()
            done.result(CONFIRM_TIMEOUT_S)
        except TimeoutError:
            raise SinkUnavailable(
                f"cannot park in {self._plan.park_queue!r}: no confirm in {CONFIRM_TIMEOUT_S} s"
            ) from None
        finally:
            self._pending.discard(done)

    def close(self) -> None:
        """Send what is scheduled, disconnect, and end the thread. May be repeated."""
        try:
            self._schedule(self._end)  # Behind the acknowledgements that were scheduled before.
        except SinkUnavailable:
            self._end()
        if self._thread.ident is not None:
            self._thread.join(CONNECT_TIMEOUT_S + CONFIRM_TIMEOUT_S)

    def _end(self) -> None:
        self._closing = True

    def _schedule(self, call: Callable[[], None]) -> None:
        connection = self._connection
        if connection is None or self._failure is not None:
            raise self._lost()
        try:
            connection.add_callback_threadsafe(call)
        except pika_errors.ConnectionWrongStateError as exc:
            raise self._lost() from exc

    def _lost(self) -> SinkUnavailable:
        cause = type(self._failure).__name__ if self._failure else "closed"
        error = SinkUnavailable(f"cannot consume {self._plan.queue!r}: connection lost ({cause})")
        error.__cause__ = self._failure
        return error

    def _run(self) -> None:
        """Own the connection: the only code that touches it, beside scheduled calls."""
        connection = None
        try:
            connection = self._connection = pika.BlockingConnection(self._parameters)
            self._consume(connection)
            self._ready.set_result(None)
            while not self._closing and self._failure is None:
                connection.process_data_events(_TURN_S)
        except Exception as exc:
            self._fail(exc)
        finally:
            if connection is not None and connection.is_open:
                with contextlib.suppress(*_GONE):  # It may go away while we say goodbye.
                    connection.close()
            self._deliveries.put(None)

    def _fail(self, exc: Exception) -> None:
        self._failure = exc
        if not self._ready.done():
            self._ready.set_exception(_explain(exc, self._plan.queue))
        for future in list(self._pending):
            if not future.done():
                future.set_exception(self._lost())

    def _consume(self, connection: Any) -> None:
        plan = self._plan
        channel = connection.channel()
        channel.exchange_declare(plan.exchange, exchange_type="topic", durable=True)
        channel = _declare_queue(connection, channel, plan.park_queue, PARK_ARGUMENTS)
        channel = _declare_queue(connection, channel, plan.queue, queue_arguments(plan.park_queue))
        for pattern in plan.bindings:
            channel.queue_bind(plan.queue, plan.exchange, routing_key=pattern)
        self._channel = channel
        self._park_channel = connection.channel()
        self._park_channel.confirm_delivery()
        channel.basic_qos(prefetch_count=plan.prefetch)
        channel.add_on_cancel_callback(self._on_cancelled)
        channel.basic_consume(plan.queue, self._on_message)

    def _on_message(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._deliveries.put(
            Delivery(
                method.delivery_tag,
                body,
                method.routing_key,
                method.redelivered,
                properties.message_id,
                properties.type,
                properties.content_type,
                properties.headers,
            )
        )

    def _on_cancelled(self, _frame: Any) -> None:
        # The queue was deleted or lost its leader: start again from the declaration.
        self._fail(SinkUnavailable(f"the broker cancelled the consumer of {self._plan.queue!r}"))


def _declare_queue(connection: Any, channel: Any, name: str, arguments: dict[str, Any]) -> Any:
    """Make sure that queue `name` is there; return an open channel.

    One that exists is taken as it is: its arguments are its operator's, and declaring it with
    other ones would only be refused.
    """
    try:
        channel.queue_declare(name, passive=True)
    except pika_errors.ChannelClosedByBroker as exc:
        if exc.reply_code != 404:
            raise
        channel = connection.channel()
        channel.queue_declare(name, durable=True, arguments=arguments)
    return channel


def _parameters(url: str, name: str) -> Any:
    try:
        parameters = pika.URLParameters(url)
        query = parse_qs(urlsplit(url).query)
    except (ValueError, TypeError, AttributeError) as exc:
        # Not even the exception's text is passed on: the URL holds a password.
        raise ConfigInvalid(
            "cannot read the broker's URL: expected 'amqp://user:password@host:port/vhost'"
        ) from exc
    if "heartbeat" not in query:
        parameters.heartbeat = HEARTBEAT_S
    parameters.socket_timeout = CONNECT_TIMEOUT_S
    parameters.stack_timeout = CONNECT_TIMEOUT_S
    parameters.blocked_connection_timeout = CONFIRM_TIMEOUT_S
    parameters.client_properties = {"connection_name": name}
    return parameters


# What stays refused until somebody changes something (AMQP 0-9-1, section 1.2).
_REFUSED_CODES: Final = frozenset((403, 406, 530))
_REFUSED = (
    pika_errors.ProbableAuthenticationError,
    pika_errors.ProbableAccessDeniedError,
    pika_errors.AuthenticationError,
)


def _explain(exc: Exception, queue_name: str) -> Exception:
    code = getattr(exc, "reply_code", None)
    if isinstance(exc, _REFUSED) or code in _REFUSED_CODES:
        said = getattr(exc, "reply_text", None) or "the broker refuses the user or virtual host"
        return ConfigInvalid(f"cannot consume {queue_name!r}: {said}")
    if isinstance(exc, _GONE):
        error = SinkUnavailable(
            f"cannot consume {queue_name!r}: broker not reachable ({type(exc).__name__})"
        )
        error.__cause__ = exc
        return error
    return exc
