"""A weak legacy: it can do so many requests at once, each takes its time, and it counts."""

import asyncio
import threading
from collections import Counter

from tests.gateway.http.wire import DEADLINE_S


async def _work(seconds: float) -> None:
    """Take so long for an answer; that is what it is there for."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, done.set)
    await done.wait()


class WeakLegacy:
    """An upstream with `capacity` places; more requests at once make all of them slower."""

    def __init__(self, capacity: int, took_s: float) -> None:
        self.capacity = capacity
        self.took_s = took_s
        self.at_once = 0
        self.at_once_max = 0
        self.requests: Counter[bytes] = Counter()
        self.status = 200
        self.hang = False
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self._answer(head, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        self.requests[head.split(b" ", 2)[1]] += 1
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            if self.hang:
                await asyncio.Event().wait()
            crowd = max(1.0, self.at_once / self.capacity)
            await _work(self.took_s * crowd * crowd)
        finally:
            self.at_once -= 1
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % self.status)

    @property
    def count(self) -> int:
        """Return how many requests came."""
        return self.requests.total()

    def close(self) -> None:
        """End."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE_S)
