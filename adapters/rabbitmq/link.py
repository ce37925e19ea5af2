"""One connection to RabbitMQ and the one thread that owns it.

pika is not thread safe and its heartbeats need a running loop, so the connection lives on an
asyncio loop in a thread of its own; others append to a queue and read a few numbers. A link is
used once: after a failure it is closed, and the sink opens a new one.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from adapters.rabbitmq.errors import BrokerAddress, explain_connect, explain_loss
from adapters.rabbitmq.message import MessageEncoder
from adapters.rabbitmq.publisher import Publisher, PublishLimits
from adapters.rabbitmq.session import Session
from adapters.rabbitmq.topology import declare
from bridge.delivery.ports import Progress
from bridge.delivery.topology import DirectDelivery, Topology
from bridge.model.entry import StoredEntry
from bridge.model.errors import BridgeError, SinkUnavailable
from bridge.model.observer import Observer

# How often confirms are held against their deadline and returns are told.
TICK_S = 0.25


class BrokerLink:
    """A connection with its thread, from `open` to `close`."""

    def __init__(
        self,
        parameters: Any,
        *,
        broker: BrokerAddress,
        open_timeout_ms: int,
        topology: Topology,
        type_prefix: str,
        limits: PublishLimits,
        observer: Observer,
        direct: DirectDelivery | None = None,
    ) -> None:
        self._parameters = parameters
        self._broker = broker
        self._open_timeout_ms = open_timeout_ms
        self._topology = topology
        self._type_prefix = type_prefix
        self._limits = limits
        self._direct = direct
        self._observer = observer

        self._queue: deque[StoredEntry] = deque()
        self._publisher: Publisher | None = None
        self._failure: BridgeError | None = None
        self._ready = threading.Event()
        self._changed = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="rabbitmq-link", daemon=True)

    # The callers' side.

    def open(self) -> None:
        """Connect and declare, within the given time; raises what went wrong."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def offer(self, entries: Sequence[StoredEntry]) -> None:
        """Accept entries; see `EventSink.offer`."""
        if self._failure is not None:
            raise self._failure
        assert self._publisher is not None, "offered to a link that never opened"
        self._queue.extend(entries)
        self._call(self._publisher.pump)

    def progress(self, timeout_ms: int) -> Progress:
        """Say how far it is; see `EventSink.progress`."""
        if timeout_ms:
            self._changed.wait(timeout_ms / 1000)
        self._changed.clear()
        if self._failure is not None:
            raise self._failure
        assert self._publisher is not None, "asked a link that never opened"
        return Progress(self.through, len(self._queue), self._publisher.unroutable)

    @property
    def through(self) -> int:
        """The low-water mark; stays readable after a failure."""
        return -1 if self._publisher is None else self._publisher.window.through

    def close(self) -> None:
        """Hang up and end the thread; from then on the link says that it is not connected."""
        self._call(self._end.set)
        self._thread.join()
        if self._failure is None:
            self._failure = SinkUnavailable(
                f"cannot publish to RabbitMQ at {self._broker}: the connection is closed"
            )

    def _call(self, action: Callable[[], None]) -> None:
        """Have `action` run in the link's thread, unless that has ended."""
        try:
            self._loop.call_soon_threadsafe(action)
        except RuntimeError:  # The loop is closed; what closed it is told by `_failure`.
            return

    # The link's own thread.

    def _run(self) -> None:
        try:
            self._loop.set_exception_handler(self._on_bug)
            self._loop.run_until_complete(self._main())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()
            self._ready.set()
            self._changed.set()

    async def _main(self) -> None:
        session = Session(self._parameters)
        try:
            publisher = await self._open(session)
            self._publisher = publisher
            self._ready.set()
            await self._watch(session, publisher)
        except BridgeError as error:
            self._fail(error)
        finally:
            await session.hang_up()

    async def _open(self, session: Session) -> Publisher:
        try:
            async with asyncio.timeout(self._open_timeout_ms / 1000):
                try:
                    await session.open()
                except Exception as error:
                    raise explain_connect(error, self._broker) from error
                await declare(session, self._topology, self._broker)
                return await self._publisher_on(session)
        except TimeoutError as error:
            raise SinkUnavailable(
                f"cannot open a connection to RabbitMQ at {self._broker}: no answer within "
                f"{self._open_timeout_ms} ms"
            ) from error
        except BridgeError:
            raise
        except Exception as error:
            raise explain_loss(error, self._broker) from error

    async def _publisher_on(self, session: Session) -> Publisher:
        """Open the channel to publish on, and put it into confirm mode."""
        channel = await session.open_channel()
        publisher = Publisher(
            session.connection,
            channel,
            self._queue,
            topology=self._topology,
            encoder=MessageEncoder(
                exchange=self._topology.exchange,
                type_prefix=self._type_prefix,
                channel_number=channel.channel_number,
                frame_bytes_max=session.connection.params.frame_max,
                direct=self._direct,
            ),
            limits=self._limits,
            broker=self._broker,
            observer=self._observer,
            fail=self._fail,
            changed=self._changed.set,
            direct=self._direct,
        )
        publisher.start()
        await session.ask(
            lambda done: channel.confirm_delivery(publisher.on_confirm, callback=done)
        )
        return publisher

    async def _watch(self, session: Session, publisher: Publisher) -> None:
        """Let the loop work until somebody ends the link or the broker does."""
        session.lost.add_done_callback(lambda _: self._end.set())
        while not self._end.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._end.wait()
            publisher.tick()
        publisher.stop()
        if session.lost.done():
            raise explain_loss(session.lost.result(), self._broker) from session.lost.result()

    def _fail(self, error: BridgeError) -> None:
        """Keep the first failure and end the link."""
        if self._failure is None:
            self._failure = error
        if self._publisher is not None:
            self._publisher.stop()
        self._end.set()
        self._changed.set()

    def _on_bug(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Turn an exception of a callback, which asyncio would only log, into a failure."""
        error = context.get("exception")
        if not isinstance(error, BridgeError):
            cause, error = (
                error,
                SinkUnavailable(
                    f"lost the connection to RabbitMQ at {self._broker}: {context['message']}"
                ),
            )
            error.__cause__ = cause
        self._fail(error)
