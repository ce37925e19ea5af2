"""Publish events to RabbitMQ: persistent, mandatory, confirmed."""

import logging
from collections.abc import Sequence
from enum import Enum

import pika

from adapters.rabbitmq.errors import BrokerAddress
from adapters.rabbitmq.link import BrokerLink
from adapters.rabbitmq.publisher import PublishLimits
from bridge.delivery.ports import Progress
from bridge.delivery.topology import DirectDelivery, Topology
from bridge.model.entry import StoredEntry
from bridge.model.errors import ConfigInvalid, SinkUnavailable
from bridge.model.observer import Observer, SilentObserver

# Quorum queues confirm fastest at about this many (measured with 1 KB messages: 250 48k/s, 1,000
# 51k/s, 4,000 36k/s, 16,000 32k/s), and it is what is sent again after a lost connection.
WINDOW_COUNT_MAX_DEFAULT = 1_000
# Keeps a window of large messages from filling this process and the broker's socket; one message
# may be larger and then goes alone.
WINDOW_BYTES_MAX_DEFAULT = 16 * 1024 * 1024
# A quorum queue whose leader died confirms nothing until another is elected, up to some 10 s; a
# much shorter deadline would send the whole window again for what is no loss at all.
CONFIRM_TIMEOUT_MS_DEFAULT = 15_000
# Covers name lookup, TCP, login and the declarations on a busy broker.
OPEN_TIMEOUT_MS_DEFAULT = 10_000
# The broker drops us, and we it, after two silent intervals: how fast an idle dead wire is seen.
HEARTBEAT_S = 10

# pika logs, with tracebacks, each failure that it also hands to us; we tell it once, in our words.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class Unroutable(Enum):
    """What becomes of an event that no queue wants and no configured queue should want."""

    NOTE = "note"  # Set by default: it counts as published, and the observer is told.
    HOLD = "hold"  # Set where somebody must listen: publishing waits until a queue is bound.


class RabbitMQSink:
    """An `EventSink` over one connection to one topic exchange.

    An event that a queue of `topology` should have taken and did not is never passed over,
    whatever `unroutable` says: the topology is declared again and the event sent again.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        *,
        type_prefix: str,
        unroutable: Unroutable = Unroutable.NOTE,
        window_count_max: int = WINDOW_COUNT_MAX_DEFAULT,
        window_bytes_max: int = WINDOW_BYTES_MAX_DEFAULT,
        confirm_timeout_ms: int = CONFIRM_TIMEOUT_MS_DEFAULT,
        open_timeout_ms: int = OPEN_TIMEOUT_MS_DEFAULT,
        observer: Observer | None = None,
        direct: DirectDelivery | None = None,
    ) -> None:
        """Publish to the exchange of `topology`; with `direct`, to one queue alone."""
        self._parameters = _parameters(url, open_timeout_ms)
        self._broker = BrokerAddress(
            self._parameters.host,
            self._parameters.port,
            self._parameters.virtual_host,
            self._parameters.credentials.username,
        )
        self._topology = topology
        self._type_prefix = type_prefix
        self._open_timeout_ms = open_timeout_ms
        self._limits = PublishLimits(
            window_count_max=window_count_max,
            window_bytes_max=window_bytes_max,
            confirm_timeout_ms=confirm_timeout_ms,
            hold_unroutable=unroutable is Unroutable.HOLD,
        )
        self._observer = SilentObserver() if observer is None else observer
        self._direct = direct
        self._link: BrokerLink | None = None

    def connect(self) -> None:
        """Open a new connection and declare the topology; see `EventSink.connect`."""
        self.close()
        self._link = BrokerLink(
            self._parameters,
            broker=self._broker,
            open_timeout_ms=self._open_timeout_ms,
            topology=self._topology,
            type_prefix=self._type_prefix,
            limits=self._limits,
            observer=self._observer,
            direct=self._direct,
        )
        self._link.open()

    def offer(self, entries: Sequence[StoredEntry]) -> None:
        """Accept entries for publishing; see `EventSink.offer`."""
        self._connected().offer(entries)

    def progress(self, timeout_ms: int = 0) -> Progress:
        """Say what is confirmed; see `EventSink.progress`."""
        return self._connected().progress(timeout_ms)

    @property
    def through(self) -> int:
        """The low-water mark of the last connection."""
        return -1 if self._link is None else self._link.through

    def close(self) -> None:
        """Disconnect, within about two seconds even when the broker does not answer."""
        if self._link is not None:
            self._link.close()

    def _connected(self) -> BrokerLink:
        if self._link is None:
            raise SinkUnavailable(f"cannot publish to RabbitMQ at {self._broker}: not connected")
        return self._link


def _parameters(url: str, open_timeout_ms: int) -> pika.URLParameters:
    """Read the broker's address; its errors never repeat it, because it holds a password."""
    try:
        if not url.startswith(("amqp://", "amqps://")):
            raise ValueError
        parameters = pika.URLParameters(url)
    except Exception:
        raise ConfigInvalid(
            "cannot read the broker's address: expected the form "
            "amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// for TLS"
        ) from None
    parameters.heartbeat = HEARTBEAT_S
    parameters.connection_attempts = 1  # The relay backs off and repeats; here it would hide.
    parameters.retry_delay = 0
    parameters.socket_timeout = open_timeout_ms / 1000
    parameters.stack_timeout = open_timeout_ms / 1000
    # An alarm lasts as long as it lasts; giving up would only lose our place in the queue.
    parameters.blocked_connection_timeout = None
    parameters.client_properties = {"connection_name": "legacy-bridge delivery"}
    return parameters
