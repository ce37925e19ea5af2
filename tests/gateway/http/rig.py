"""A real worker and an upstream that behaves as badly as a test wants, over raw sockets."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, Self

from adapters.upstream.pool import Pool, PoolLimits
from bridge.gateway.decision import Decision, IdRules, KeyPlace, KeyRule, Route, WritePath
from bridge.gateway.listener import open_listener
from bridge.gateway.plane import PlaneSettings
from bridge.gateway.table import RoutingTable
from bridge.gateway.worker import serve
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import GroupState, Side, Stage
from tests.waiting import RecordingObserver

DEADLINE_S = 10.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Ended(Exception):
    """The other end closed the connection before a whole message."""


class Message(NamedTuple):
    """One message as it was on the wire."""

    start: bytes
    fields: list[tuple[bytes, bytes]]
    """Names and values as sent, but for the white space around values."""
    body: bytes
    raw_body: bytes
    raw_head: bytes

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start.split(b" ")[1])

    @property
    def target(self) -> bytes:
        """Of a request."""
        return self.start.split(b" ")[1]

    def all(self, name: bytes) -> list[bytes]:
        """Return every value of a field."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def one(self, name: bytes) -> bytes | None:
        """Return the only value of a field, or None."""
        values = self.all(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else None


class Wire:
    """A raw socket that can read HTTP messages leniently and do everything else on purpose."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(DEADLINE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send everything, unless the other end has gone."""
        with suppress(ConnectionError):
            self.sock.sendall(data)

    def dribble(self, data: bytes, size: int) -> None:
        """Send in pieces, each a packet of its own."""
        for at in range(0, len(data), size):
            self.send(data[at : at + size])

    def close(self) -> None:
        """Close in the ordinary way."""
        self.sock.close()

    def reset(self) -> None:
        """Close with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def more(self) -> bytes:
        """Read once; b"" at the end."""
        try:
            data = self.sock.recv(65_536)
        except ConnectionError:
            data = b""
        self.buffer += data
        return data

    def rest(self) -> bytes:
        """Read until the other end closes."""
        while self.more():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def exactly(self, size: int) -> bytes:
        """Read `size` bytes."""
        while len(self.buffer) < size:
            if not self.more():
                raise Ended(self.buffer)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def until(self, mark: bytes) -> bytes:
        """Read up to and with `mark`."""
        while mark not in self.buffer:
            if not self.more():
                raise Ended(self.buffer)
        end = self.buffer.index(mark) + len(mark)
        return self.exactly(end)

    def message(self, *, bodiless: bool = False, until_close: bool = False) -> Message:
        """Read one message, its body as its fields say.

        Raises:
            Ended: the connection ended within it.
        """
        raw_head = self.until(b"\r\n\r\n")
        start, *lines = raw_head[:-4].split(b"\r\n")
        fields = []
        for line in lines:
            name, _, value = line.partition(b":")
            fields.append((name, value.strip(b" \t")))
        message = Message(start, fields, b"", b"", raw_head)
        if bodiless:
            return message
        if message.all(b"transfer-encoding"):
            body, raw_body = self._chunks()
        elif until_close:
            body = raw_body = self.rest()
        else:
            body = raw_body = self.exactly(int(message.one(b"content-length") or 0))
        return message._replace(body=body, raw_body=raw_body)

    def _chunks(self) -> tuple[bytes, bytes]:
        body = raw = b""
        while True:
            line = self.until(b"\r\n")
            size = int(line.split(b";")[0], 16)
            data = self.exactly(size + 2) if size else self.until(b"\r\n")
            raw += line + data
            body += data[:-2] if size else b""
            if not size:
                return body, raw


Behaviour = Callable[[Wire, Message], None]


def replies(raw: bytes) -> Behaviour:
    """Answer with these bytes and go on."""
    return lambda wire, _: wire.send(raw)


def replies_and_closes(raw: bytes) -> Behaviour:
    """Answer with these bytes and close."""

    def behave(wire: Wire, _: Message) -> None:
        wire.send(raw)
        wire.close()

    return behave


class Upstream:
    """Answers `OK`, or behaves as `at[path]` says. A thread per connection."""

    def __init__(self) -> None:
        self.at: dict[bytes, Behaviour] = {}
        self.received: list[Message] = []
        self.connections = 0
        self._wires: list[Wire] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *args: Wire) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            wire = Wire(sock)
            wire.sock.settimeout(None)
            self._wires.append(wire)
            self._start(self._serve, wire)

    def _serve(self, wire: Wire) -> None:
        with wire, suppress(Ended, OSError):
            while True:
                if b"100-continue" in (request := self._read(wire)).raw_head:
                    pass
                self.received.append(request)
                behave = self.at.get(request.target.partition(b"?")[0], replies(OK))
                behave(wire, request)

    def _read(self, wire: Wire) -> Message:
        return wire.message(bodiless=False)

    def requests_to(self, target: bytes) -> list[Message]:
        """Return what was received for one target."""
        return [message for message in self.received if message.target == target]

    def close(self) -> None:
        """Stop listening and close every connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for wire in self._wires:
            with suppress(OSError):
                wire.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE_S)


class RecordingWritePath:
    """A `WritePath` that answers by itself and remembers."""

    def __init__(self) -> None:
        self.writes: list[tuple[Decision, HttpRequest]] = []
        self.reads: list[tuple[Decision, HttpRequest]] = []
        self.finished = 0
        self.gate: asyncio.Event | None = None
        self.answer = HttpResponse(
            status=201, reason=b"Created", headers=((b"X-Side", b"legacy"),), body=b"{}"
        )

    async def write(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Remember, wait for the gate, answer."""
        self.writes.append((decision, request))
        if self.gate is not None:
            await self.gate.wait()
        self.finished += 1
        return self.answer

    async def read(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Remember and answer."""
        self.reads.append((decision, request))
        return self.answer

    def translates(self, decision: Decision) -> bool:
        """Translate where the route says so."""
        return bool(decision.route.ids)


class Counter:
    """A `Generation` that a test turns."""

    def __init__(self) -> None:
        self.value = 1
        self.told: list[int] = []

    def current(self) -> int:
        """Return the generation in force."""
        return self.value

    def adopted(self, slot: int, value: int) -> None:
        """Remember what the worker told."""
        self.told.append(value)


def route(route_id: str, path: str, *methods: bytes, **changes: object) -> Route:
    """Return a route of group `app`; any method when none is given."""
    given: dict[str, object] = {
        "route_id": route_id,
        "group": "app",
        "methods": methods,
        "path": path,
        "host": None,
        "writes": False,
        "key": None,
        "ids": IdRules(),
        "upstreams": {Side.LEGACY: "legacy"},
        "body_bytes_max": 1 << 20,
        "timeout_ms": 5_000,
    }
    return Route(**(given | changes))  # type: ignore[arg-type]  # The test's own keys.


BOTH = {Side.LEGACY: "legacy", Side.MODERN: "modern"}
KEY = KeyRule(place=KeyPlace.PATH, name="id")

ROUTES = (
    route("all", "/{rest...}"),
    route("small", "/small", b"POST", body_bytes_max=10),
    route("quick", "/quick", b"GET", b"POST", timeout_ms=300),
    route("only-get", "/only-get", b"GET"),
    route(
        "order-write", "/orders/{id}", b"PUT", b"POST", group="orders", writes=True, key=KEY,
        upstreams=BOTH,
    ),
    route(
        "order-read", "/orders/{id}", b"GET", group="orders", upstreams=BOTH,
        ids=IdRules(path={"id": "order"}),
    ),
)  # fmt: skip


class Gateway:
    """One worker in a thread with an event loop of its own."""

    def __init__(
        self,
        upstreams: dict[str, int],
        *,
        routes: Sequence[Route] = ROUTES,
        groups: Sequence[GroupState] = (),
        settings: PlaneSettings | None = None,
        limits: PoolLimits | None = None,
        write_path: WritePath | None = None,
    ) -> None:
        self.routes = tuple(routes)
        self.groups = tuple(groups)
        self.generation = Counter()
        self.observer = RecordingObserver()
        self.settings = settings or PlaneSettings(drain_ms=1_000)
        self.limits = limits or PoolLimits(wait_ms=500)
        self.write_path = write_path or RecordingWritePath()
        self.loop: asyncio.AbstractEventLoop
        self._upstreams = upstreams
        self._stop: asyncio.Event
        self._listener = open_listener("127.0.0.1", 0, shared=False)
        self.port: int = self._listener.getsockname()[1]
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def load(self, generation: int) -> RoutingTable:
        """Build the table of a generation."""
        return RoutingTable.build(self.routes, self.groups, generation)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:
            self._failed = exc
        self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        pools = {
            name: Pool(name, "127.0.0.1", port, limits=self.limits, observer=self.observer)
            for name, port in self._upstreams.items()
        }
        await serve(
            self._listener,
            load_table=self.load,
            generation=self.generation,
            slot=0,
            write_path=self.write_path,
            pools=pools,
            stop=self._stop,
            settings=self.settings,
            observer=self.observer,
            ready=self._ready.set,
        )

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        if self._failed is not None:
            raise self._failed
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Tell it to stop and wait until it has."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive(), "the worker did not stop"
        if self._failed is not None:
            raise self._failed

    def begin_stop(self) -> None:
        """Tell it to stop."""
        self.loop.call_soon_threadsafe(self._stop.set)

    def connect(self) -> Wire:
        """Return a client's connection."""
        return Wire(socket.create_connection(("127.0.0.1", self.port)))

    def switch(self, stage: Stage, epoch: int, group: str = "orders") -> None:
        """Put a group at a stage, under the next generation."""
        self.groups = (GroupState(group=group, stage=stage, epoch=epoch, lanes_held=False),)
        self.generation.value += 1


@contextmanager
def running(gateway: Gateway) -> Iterator[Gateway]:
    """Run a worker for a while."""
    with gateway:
        yield gateway
