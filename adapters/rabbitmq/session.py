"""pika's callbacks as awaitables: a connection, its one channel, and requests on it.

Belongs to one event loop. pika offers the loop only callbacks, and a request that is under way
when the connection ends never gets its callback: each wait here also ends when the session does.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from pika import exceptions
from pika.adapters.asyncio_connection import AsyncioConnection

Call: TypeAlias = Callable[[Callable[..., None]], Any]
"""Starts a request; is given the callback that takes the broker's answer."""

# A broker that answers at all says goodbye within a round trip; a dead wire never does.
GOODBYE_S = 1.0


class BulkConnection(AsyncioConnection):  # type: ignore[misc]  # pika ships no types.
    """pika's connection, with what publishing in bulk needs beside it."""

    def write_frames(self, data: bytes) -> None:
        """Write whole frames that are encoded already, after everything written before."""
        # What pika does in `_output_marshaled_frames`, for many frames at once: it calls `send`
        # for each. Heartbeats count bytes, not frames.
        self.bytes_sent += len(data)
        self._adapter_emit_data(data)

    def hang_up(self) -> None:
        """Drop the connection without the closing handshake, for a peer that may never answer."""
        if not self.is_closed:
            self._terminate_stream(exceptions.ConnectionClosedByClient(200, "hung up"))


class Session:
    """A connection being opened, then open, then lost."""

    def __init__(self, parameters: Any) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._opened: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[BaseException] = loop.create_future()
        """Done once connection or channel ended, with the reason."""
        self._closed = asyncio.Event()
        self.connection = BulkConnection(
            parameters=parameters,
            on_open_callback=lambda _: self._opened.set_result(None),
            on_open_error_callback=self._on_closed,
            on_close_callback=self._on_closed,
            custom_ioloop=loop,
        )

    async def open(self) -> None:
        """Return once the connection is open; raises pika's reason."""
        await self._unless_lost(self._opened)

    async def open_channel(self) -> Any:
        """Return a channel whose end is the session's; raises pika's reason."""
        channel = await self.ask(lambda done: self.connection.channel(on_open_callback=done))
        channel.add_on_close_callback(lambda _, reason: self._on_lost(reason))
        return channel

    async def attempt(self, call: Callable[[Any], Call]) -> None:
        """Make one request on a channel of its own, which the broker may close in refusal.

        Raises pika's reason, be it the refusal or the loss of the connection.
        """
        channel = await self.ask(lambda done: self.connection.channel(on_open_callback=done))
        answer: asyncio.Future[Any] = self._loop.create_future()
        refused: asyncio.Future[BaseException] = self._loop.create_future()
        channel.add_on_close_callback(lambda _, reason: refused.set_result(reason))
        call(channel)(answer.set_result)
        await asyncio.wait({answer, refused}, return_when=asyncio.FIRST_COMPLETED)
        if refused.done():
            raise refused.result()
        channel.close()

    async def ask(self, call: Call) -> Any:
        """Start a request and return the broker's answer; raises pika's reason instead."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if not self.lost.done():
            call(answer.set_result)
        return await self._unless_lost(answer)

    async def hang_up(self) -> None:
        """Close politely while the session is sound, else at once; returns when it is closed."""
        if self.connection.is_closed:
            return
        if self.connection.is_open and not self.lost.done():
            self.connection.close()
            await self._wait_closed()
        self.connection.hang_up()
        await self._wait_closed()

    async def _wait_closed(self) -> None:
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self._closed.wait()
        except TimeoutError:
            return

    async def _unless_lost(self, answer: "asyncio.Future[Any]") -> Any:
        await asyncio.wait({answer, self.lost}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        raise self.lost.result()

    def _on_lost(self, reason: BaseException) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)

    def _on_closed(self, _: Any, reason: BaseException) -> None:
        self._on_lost(reason)
        self._closed.set()
