"""Connections of both kinds of loop, each with a bare socket at its other end."""

import asyncio
import functools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from bridge.gateway.wires.opening import listen
from bridge.gateway.wires.turns import TurnLoop
from tests.waiting import wait_until_async


class Recorder(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.data = b""
        self.told: list[str] = []
        self.lost: list[Exception | None] = []
        self.keep_open = False
        self.on_data: Callable[[bytes], None] = lambda data: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.on_data(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


def on_both(
    test: Callable[[], Awaitable[None]],
) -> Callable[[type[asyncio.SelectorEventLoop]], None]:
    """Run a test on asyncio's loop and on ours."""

    @pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, TurnLoop])
    def run(loop: type[asyncio.SelectorEventLoop]) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(cast(Any, test()))

    return run


@asynccontextmanager
async def joined(count: int = 1) -> AsyncIterator[list[tuple[Recorder, socket.socket]]]:
    """Yield accepted connections, each with the bare socket at its other end."""
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder())
        return made[-1]

    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = await listen(make, listener)
    peers: list[socket.socket] = []
    try:
        for at in range(count):
            peer = socket.create_connection(listener.getsockname())
            peer.settimeout(10)
            peers.append(peer)
            await until(functools.partial(_is_taken, made, at))
        yield list(zip(made, peers, strict=True))
    finally:
        server.close()
        for peer in peers:
            peer.close()
        for each in made:
            if not each.lost:
                each.transport.abort()
        await until(lambda: all(each.lost for each in made))


def _is_taken(made: list[Recorder], at: int) -> bool:
    return len(made) > at and hasattr(made[at], "transport")


async def until(condition: Callable[[], bool]) -> None:
    await wait_until_async(condition)


async def read(peer: socket.socket, size: int) -> bytes:
    """Read so much, or to the end, in a thread: the loop goes on."""

    def receive() -> bytes:
        found = b""
        while len(found) < size and (data := peer.recv(65_536)):
            found += data
        return found

    return await asyncio.to_thread(receive)
