"""A real worker in a thread, its write path recorded, its generation in a test's hand."""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Self

from adapters.upstream.dialling import SecureDialling
from adapters.upstream.pool import Pool, PoolLimits
from bridge.gateway.plane.entrance import Door
from bridge.gateway.plane.listener import open_listener
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.plane.sides import NO_CHOICE, SideChooser
from bridge.gateway.plane.tap import NO_TAP, Tap
from bridge.gateway.plane.worker import serve
from bridge.gateway.plane.write_path import WritePath
from bridge.gateway.protection.rate_limiter import RateLimiter
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule, Route
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.routes.timings import Timings
from bridge.gateway.upstream_ports import NamedPool
from bridge.gateway.wires.turns import run_in_turns
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import GroupState, Side, Stage
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import DEADLINE_S, Wire
from tests.waiting import RecordingObserver


def ports(upstream: Upstream) -> dict[str, int]:
    """Both sides on one upstream."""
    return {"legacy": upstream.port, "modern": upstream.port}


class RecordingWritePath(WritePath):
    """A `WritePath` that answers by itself and remembers."""

    def __init__(self) -> None:
        self.writes: list[tuple[Decision, HttpRequest]] = []
        self.reads: list[tuple[Decision, HttpRequest]] = []
        self.finished = 0
        self.gate: asyncio.Event | None = None
        self.bug: Exception | None = None
        self.answer = HttpResponse(
            status=201, reason=b"Created", headers=((b"X-Side", b"legacy"),), body=b"{}"
        )

    async def write(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Remember, wait for the gate, answer."""
        self.writes.append((decision, request))
        if self.gate is not None:
            await self.gate.wait()
        if self.bug is not None:
            raise self.bug
        self.finished += 1
        return self.answer

    async def read(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Remember and answer."""
        self.reads.append((decision, request))
        return self.answer

    def instead(self, decision: Decision, request: HttpRequest, asked_at: float) -> None:
        """Nobody else can be asked."""

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
        door: Callable[[RecordingObserver], Door] | None = None,
        secure: Callable[[RecordingObserver], SecureDialling] | None = None,
        listener: socket.socket | None = None,
        guard: Callable[[Pool, RecordingObserver], NamedPool] | None = None,
        limiter: RateLimiter | None = None,
        sides: SideChooser = NO_CHOICE,
    ) -> None:
        self.routes = tuple(routes)
        self.groups = tuple(groups)
        self.generation = Counter()
        self.timings = Timings()
        self.observer = RecordingObserver()
        self.settings = settings or PlaneSettings(drain_ms=1_000, drain_idle_ms=0)
        self.limits = limits or PoolLimits(wait_ms=500)
        self.write_path = write_path or RecordingWritePath()
        self._guard = guard or (lambda pool, observer: pool)
        self._limiter = limiter
        self._sides = sides
        self.forcible = False
        """Whether tokens that force a side are looked for, from the next table on."""
        self.loop: asyncio.AbstractEventLoop
        self._upstreams = upstreams
        self._stop: asyncio.Event
        self._listener = listener or open_listener("127.0.0.1", 0, shared=False)
        self.door = door(self.observer) if door else Door()
        self.secure = secure(self.observer) if secure else None
        self.port: int = self._listener.getsockname()[1]
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def load(self, generation: int) -> RoutingTable:
        """Build the table of a generation."""
        return RoutingTable.build(
            self.routes, self.groups, generation, self.timings, forcible=self.forcible
        )

    def _run(self) -> None:
        try:
            run_in_turns(self._serve())
        except BaseException as exc:
            self._failed = exc
        self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        pools = {
            name: Pool(
                name,
                "127.0.0.1",
                port,
                limits=self.limits,
                observer=self.observer,
                secure=self.secure,
            )
            for name, port in self._upstreams.items()
        }
        guarded = {name: self._guard(pool, self.observer) for name, pool in pools.items()}
        await serve(
            [(self._listener, self.door)],
            load_table=lambda generation: self.load(generation),
            generation=self.generation,
            slot=0,
            write_path=self.write_path,
            pools=guarded,
            limiter=self._limiter,
            sides=self._sides,
            stop=self._stop,
            settings=self.settings,
            observer=self.observer,
            ready=self._ready.set,
            tap=self.make_tap(),
        )

    def make_tap(self) -> Tap:
        """Return what follows exchanges; called in the worker's event loop."""
        return NO_TAP

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

    def switch(
        self, stage: Stage, epoch: int, group: str = "orders", share_percent: float = 0.0
    ) -> None:
        """Put a group at a stage, under the next generation."""
        self.groups = (
            GroupState(
                group=group,
                stage=stage,
                epoch=epoch,
                lanes_held=False,
                share_percent=share_percent,
            ),
        )
        self.generation.value += 1
