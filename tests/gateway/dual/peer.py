"""An HTTP application with two faces: an order service of one side, and a set of faults.

It speaks HTTP/1.1 on a real socket in a thread of its own. What it applied is kept in the order in
which it applied it, so that a test can ask afterwards what each side really did.
"""

import asyncio
import json
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Reject:
    """Answer with `status` and do nothing."""

    status: int
    retry_after: str | None = None
    body: bytes = b"{}"


@dataclass(frozen=True)
class ActThenFail:
    """Do it, then close the connection: the lost answer."""


@dataclass(frozen=True)
class ActThenAnswer:
    """Do it, but answer with `status`."""

    status: int


@dataclass(frozen=True)
class Hold:
    """Do it only after `released` is set; `arrived` tells that the request is here."""

    released: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Slow:
    """Wait `seconds`, then do it."""

    seconds: float


Fault: TypeAlias = Reject | ActThenFail | ActThenAnswer | Hold | Slow


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any


class Peer:
    """One side's application. `id_format` makes its ids unlike the other side's."""

    def __init__(self, name: str, id_format: str) -> None:
        self.name = name
        self.orders: dict[str, list[str]] = {}
        """Order id → statuses, as they were applied."""
        self.versions: dict[str, int] = {}
        """Versions that are shown of orders."""
        self.seen: list[Seen] = []
        self.faults: deque[Fault] = deque()
        """One for each coming write, first come first served."""
        self.always: Fault | None = None
        self.in_flight_max = 0
        """Most writes of one order that were here at once."""
        self._in_flight: Counter[str] = Counter()
        self.port = 0
        self._id_format = id_format
        self.next_id = 1
        self._answers: dict[str, tuple[int, Any]] = {}
        """By Idempotency-Key: a repeated request is answered, not done again."""
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name)
        self._thread.start()
        self.start()

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._run(self._listen())

    def stop(self) -> None:
        """Stop listening and cut every connection, as a process that dies."""
        self._run(self._cut())

    def close(self) -> None:
        """End for good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def writes(self) -> list[Seen]:
        """Return the requests that change something."""
        return [seen for seen in self.seen if seen.method != "GET"]

    def _run(self, action: Any) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._connections:
            writer.transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while request := await _read_request(reader):
                self.seen.append(request)
                answer = await self._counted(request)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client left.
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _counted(self, request: Seen) -> bytes | None:
        entity = f"{request.method} {request.target}"
        self._in_flight[entity] += 1
        if request.method == "PUT":
            self.in_flight_max = max(self.in_flight_max, self._in_flight[entity])
        try:
            await asyncio.sleep(0)  # Whoever is here too may show it.
            return await self._answer(request)
        finally:
            self._in_flight[entity] -= 1

    async def _answer(self, request: Seen) -> bytes | None:
        fault = None
        if request.method != "GET":
            fault = self.faults.popleft() if self.faults else self.always
        if isinstance(fault, Reject):
            extra = f"Retry-After: {fault.retry_after}\r\n" if fault.retry_after else ""
            return _encode(fault.status, fault.body, extra)
        if isinstance(fault, Slow):
            late = self._loop.create_future()
            self._loop.call_later(fault.seconds, late.set_result, None)
            await late
        if isinstance(fault, Hold):
            fault.arrived.set()
            await asyncio.to_thread(fault.released.wait, 20)
        status, value = self._repeated_or_done(request)
        if isinstance(fault, ActThenFail):
            return None
        if isinstance(fault, ActThenAnswer):
            status = fault.status
        return _encode(status, json.dumps(value).encode())

    def _repeated_or_done(self, request: Seen) -> tuple[int, Any]:
        key = request.headers.get("idempotency-key")
        if key is None or request.method == "GET":
            return self._do(request)
        if key not in self._answers:
            self._answers[key] = self._do(request)
        return self._answers[key]

    def _do(self, request: Seen) -> tuple[int, Any]:
        parts = request.target.partition("?")[0].strip("/").split("/")
        if parts[0] == "requests":
            known = self._answers.get(parts[1].replace("%22", '"'))
            return (404, {"error": "no such request"}) if known is None else (200, known[1])
        if request.method == "POST" and len(parts) == 3 and parts[2] == "undo":
            self.orders[parts[1]].append("undone")
            return 200, self._shown(parts[1])
        if request.method == "POST":
            order_id = request.body.get("order_id") or self._id_format.format(self.next_id)
            if order_id in self.orders:
                return 409, {"error": "exists"}
            self.next_id += 1
            self.orders[order_id] = [request.body["status"]]
            return 201, self._shown(order_id)
        order_id = parts[1]
        if order_id not in self.orders:
            return 404, {"error": "no such order"}
        if request.method == "PUT":
            self.orders[order_id].append(request.body["status"])
        elif request.method == "DELETE":
            del self.orders[order_id]
            return 204, None
        return 200, self._shown(order_id)

    def _shown(self, order_id: str) -> Any:
        shown_id: Any = int(order_id) if order_id.isdigit() else order_id
        shown = {"side": self.name, "order_id": shown_id, "status": self.orders[order_id][-1]}
        version = self.versions.get(order_id)
        return shown if version is None else {**shown, "version": version}


async def _read_request(reader: asyncio.StreamReader) -> Seen | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, target, headers, json.loads(body) if body else None)


def _encode(status: int, body: bytes, extra: str = "") -> bytes:
    if status == 204:
        return f"HTTP/1.1 204 No Content\r\n{extra}\r\n".encode()
    head = (
        f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body
