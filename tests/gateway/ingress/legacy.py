"""A slow legacy application: it counts how many requests it has at once, and what it got."""

import asyncio
import contextlib
import threading
from typing import Self


class SlowLegacy:
    """Answers every request after `delay_s` with 201 and the request's own body."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self.running = 0
        self.most = 0
        self.got: list[tuple[bytes, bytes, bytes]] = []
        """(target, Idempotency-Key, body), in order of arrival."""
        self.port = 0
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head[1:] if b": " in line)
                body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
                self.running += 1
                self.most = max(self.most, self.running)
                self.got.append((head[0].split()[1], fields.get(b"idempotency-key", b""), body))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._delay_s):
                        await self._stop.wait()
                self.running -= 1
                writer.write(
                    b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
