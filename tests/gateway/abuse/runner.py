"""Play cases against a proxy: many at once, each on a lane with an upstream of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeAlias

from tests.gateway.abuse.case import PROBE, Act, Case, Ended, Seen
from tests.gateway.abuse.strict import Message, Read, read_answers
from tests.gateway.abuse.upstream import PAUSE_S, Upstream, pause

LANES = 16
# Proxies are set up to give up after one second what they wait for.
PATIENCE_S = 4.0
_PROBE = b"GET " + PROBE + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
_PIECE_BYTES = 7
_PIECES_BYTES_MAX = 2_048

Proxy: TypeAlias = Callable[[Sequence[int]], Awaitable[Sequence[int]]]
"""Start proxies before these upstream ports, and return their own."""


class _Client:
    """The client's end of one case."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.raw = b""
        self.ended = Ended.OPEN

    @property
    def is_open(self) -> bool:
        """Whether the proxy has not ended the connection."""
        return self.ended is Ended.OPEN

    def read(self, case: Case) -> Read:
        """Return what the bytes so far hold."""
        return read_answers(self.raw, case.methods, ended=not self.is_open)

    async def more(self, patience_s: float = PATIENCE_S) -> bool:
        """Take more bytes; return whether there were any."""
        try:
            data = await asyncio.wait_for(self._reader.read(65_536), patience_s)
        except TimeoutError:
            return False
        except ConnectionError:
            self.ended = Ended.RESET
            return False
        if not data:
            self.ended = Ended.CLOSED
        self.raw += data
        return bool(data)

    async def until(self, case: Case, count: int, *, interims: bool) -> Read:
        """Read until so many whole answers are there, or no more comes."""
        while True:
            read = self.read(case)
            whole = [one for one in read.messages if one.complete]
            if not interims:
                whole = [one for one in whole if one.status >= 200 or one.status == 101]
            if len(whole) >= count or read.faults or not await self.more():
                return self.read(case)

    async def send(self, data: bytes, *, pieces: bool) -> None:
        """Send whole, or in small packets."""
        size = _PIECE_BYTES if pieces and len(data) <= _PIECES_BYTES_MAX else len(data)
        with suppress(ConnectionError):
            for at in range(0, len(data), size or 1):
                self.writer.write(data[at : at + size])
                await self.writer.drain()
                if pieces:
                    await asyncio.sleep(0)


async def play(case: Case, port: int, upstream: Upstream, *, pieces: bool = False) -> Seen:
    """Play one case, and return what both ends saw."""
    upstream.begin(case.answers)
    client = _Client(*await asyncio.open_connection("127.0.0.1", port))
    answered = 0
    for step in case.sends:
        if isinstance(step, bytes):
            await client.send(step, pieces=pieces and case.pieces)
        elif step is Act.ANSWERED:
            answered += 1
            await client.until(case, answered, interims=True)
        elif step is Act.PAUSE:
            await pause(PAUSE_S)
        elif step is Act.END:
            with suppress(OSError, RuntimeError):
                client.writer.write_eof()
        elif step is Act.GONE:
            client.writer.transport.abort()
            await pause(2 * PAUSE_S)
            break
    read, probe = Read(), None
    if Act.GONE not in case.sends:
        read, probe = await _end(case, client)
    with suppress(ConnectionError):
        client.writer.close()
        await client.writer.wait_closed()
    requests, faults, _ = await upstream.end()
    return Seen(
        answers=read.messages,
        answer_faults=read.faults,
        rest=read.rest,
        ended=client.ended,
        requests=requests,
        request_faults=faults,
        probe=probe,
    )


async def _end(case: Case, client: _Client) -> tuple[Read, Message | None]:
    """Wait for the case's answers, then try whether the connection goes on."""
    read = await client.until(case, case.wait_for, interims=False)
    if read.messages and read.messages[-1].status == 101:
        # Nothing says when a tunnel has nothing more to say.
        while await client.more(10 * PAUSE_S):
            pass
        return client.read(case), None
    if client.is_open:
        # A proxy that closes does so at once; a probe that crosses the end would prove nothing.
        while await client.more(PAUSE_S):
            pass
        read = client.read(case)
    unanswered = not any(one.status >= 200 and one.complete for one in read.messages)
    if unanswered or not client.is_open or not case.probe:
        return read, None
    asked = len(client.raw)
    await client.send(_PROBE, pieces=False)
    while await client.more():
        pass
    late = read_answers(client.raw[asked:], (), ended=True)
    read = read_answers(client.raw[:asked], case.methods, ended=False)
    finals = [one for one in late.messages if one.status >= 200]
    if finals and finals[0].complete:
        # Closed as the probe asked: the connection itself was open.
        client.ended = Ended.OPEN
    return read, finals[0] if finals else None


async def play_all(
    cases: Iterable[Case], start: Proxy, *, pieces: bool = False, lanes: int = LANES
) -> dict[str, Seen]:
    """Play the cases over `lanes` lanes, and return what was seen by case."""
    upstreams = [Upstream() for _ in range(lanes)]
    for upstream in upstreams:
        await upstream.start()
    ports = await start([upstream.port for upstream in upstreams])
    waiting = list(cases)
    seen: dict[str, Seen] = {}

    async def lane(port: int, upstream: Upstream) -> None:
        while waiting:
            case = waiting.pop(0)
            seen[case.id] = await play(case, port, upstream, pieces=pieces)

    try:
        async with asyncio.TaskGroup() as group:
            for port, upstream in zip(ports, upstreams, strict=True):
                group.create_task(lane(port, upstream))
    finally:
        for upstream in upstreams:
            await upstream.stop()
    return seen
