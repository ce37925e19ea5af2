"""The upstream of one lane: plays a case's answers, and keeps every byte that it got."""

import asyncio
import socket
import struct
from contextlib import suppress

from tests.gateway.abuse.case import MARK, OK, PROBE, Act, Script
from tests.gateway.abuse.strict import Message, Read, read_requests

PAUSE_S = 0.05
_PROBED = b"HTTP/1.1 200 OK\r\n" + MARK + b"Content-Length: 6\r\n\r\nprobed"
_BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Link:
    """One connection from the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.raw = b""
        self.ended = False
        self.tunnel_at: int | None = None
        """Where the bytes begin that are no HTTP any more."""
        self._read_to = (-1, Read())

    def read(self) -> Read:
        """Return what the bytes so far hold."""
        if self._read_to[0] != len(self.raw):
            self._read_to = (len(self.raw), read_requests(self.raw[: self.tunnel_at]))
        return self._read_to[1]

    async def more(self) -> bool:
        """Take more bytes; return whether there were any."""
        data = b""
        if not self.ended:
            with suppress(ConnectionError):
                data = await self.reader.read(65_536)
        self.ended = not data
        self.raw += data
        return bool(data)

    def send(self, data: bytes) -> None:
        """Send, if the proxy is still there."""
        if data.startswith(b"HTTP/1.1 101"):
            self.tunnel_at = len(self.raw) - len(self.read().rest)
        with suppress(ConnectionError):
            self.writer.write(data)


class Upstream:
    """Serves one case at a time; whatever reaches it between two `begin` is the case's."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server
        self._links: list[_Link] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._script: Script = OK
        self._played = False
        self._over = asyncio.Event()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        await self.end()
        self._server.close()
        await self._server.wait_closed()

    def begin(self, script: Script) -> None:
        """Play `script` for the next request."""
        self._links = []
        self._script = script
        self._played = False
        self._over = asyncio.Event()

    async def end(self) -> tuple[list[Message], list[str], bool]:
        """End the case: close every connection, and return requests, faults, and whether a probe.

        Returns once the proxy has closed its ends too, so that none is left for the next case.
        """
        self._over.set()
        requests: list[Message] = []
        faults: list[str] = []
        for link in self._links:
            read = link.read()
            requests += read.messages
            faults += read.faults
            if not read.faults and read.rest:
                head, whole, _ = read.rest.partition(b"\r\n\r\n")
                faults += [f"head {head[:60]!r}"] if whole else []
        for link in self._links:
            with suppress(OSError, RuntimeError):
                link.writer.write_eof()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=1.0)
            for task in late:
                task.cancel()
        probed = any(request.target == PROBE for request in requests)
        return [one for one in requests if one.target != PROBE], faults, probed

    def got_any(self) -> bool:
        """Whether a head has arrived in this case."""
        return any(link.read().messages for link in self._links)

    # -- one connection -------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(reader, writer)
        self._links.append(link)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._serve(link)
            while not self._over.is_set() and await link.more():
                pass
            while await link.more():
                pass
        finally:
            writer.close()

    async def _serve(self, link: _Link) -> None:
        served = 0
        while True:
            read = link.read()
            if read.faults:
                link.send(_BAD)
                return
            if len(read.messages) > served:
                served += 1
                if not await self._answer(link, served - 1):
                    return
            elif not await link.more():
                return

    async def _answer(self, link: _Link, index: int) -> bool:
        """Play the answer to one request; return whether the connection goes on."""
        request = link.read().messages[index]
        if request.target != PROBE and not self._played:
            self._played = True
            return await self._play(link, index)
        if not await self._whole(link, index):
            return False
        if request.target == PROBE:
            link.send(_PROBED)
        else:
            head = b"HTTP/1.1 200 OK\r\n" + MARK
            body = b"" if request.method == b"HEAD" else request.target
            link.send(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(request.target), body))
        return True

    async def _play(self, link: _Link, index: int) -> bool:
        for step in self._script:
            if isinstance(step, bytes):
                link.send(step)
            elif step is Act.WHOLE:
                if not await self._whole(link, index):
                    return False
            elif step is Act.PAUSE:
                await pause(PAUSE_S)
            elif step is Act.READ:
                if not link.read().messages[index].body and not await link.more():
                    return False
            elif step is Act.ECHO:
                sent = link.tunnel_at or 0
                while len(link.raw) > sent or await link.more():
                    link.send(link.raw[sent:])
                    sent = len(link.raw)
                return False
            elif step is Act.HANG:
                await self._over.wait()
                return False
            elif step is Act.END:
                with suppress(OSError, RuntimeError):
                    link.writer.write_eof()
                return False
            elif step is Act.GONE:
                _reset(link.writer)
                return False
        return True

    async def _whole(self, link: _Link, index: int) -> bool:
        while True:
            read = link.read()
            if read.faults or len(read.messages) <= index:
                return not read.faults
            if read.messages[index].complete:
                return True
            if not await link.more():
                return False


async def pause(seconds: float) -> None:
    """Let the others act: what a case sees next may be that they do nothing."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
