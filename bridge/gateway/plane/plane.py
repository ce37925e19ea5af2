"""What the connections of one worker share: the table, the pools, the limits, the counts."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from email.utils import formatdate
from random import getrandbits
from typing import Any, Protocol

from bridge.gateway.http.edge import Edge, Origin, TracingEdge
from bridge.gateway.plane.held_bytes import HeldBytes
from bridge.gateway.plane.keeper import TableKeeper
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.plane.sides import NO_CHOICE, SideChooser
from bridge.gateway.plane.tap import NO_TAP, Tap
from bridge.gateway.plane.write_path import WritePath
from bridge.gateway.protection.rate_limiter import RateLimiter
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.upstream_ports import UpstreamPool
from bridge.model.observer import Observer


class OpenConnection(Protocol):
    """A client's connection, as the worker's clock and its end know it."""

    deadline: float
    """Monotonic seconds; once passed, `expired` is called."""

    @property
    def is_done(self) -> bool:
        """Whether everything was sent and only the client's own end is waited for."""

    def expired(self) -> None:
        """The deadline has passed."""

    def drain(self) -> None:
        """Close when idle; a request that is under way is the last."""

    def abort(self) -> None:
        """Close at once."""


class OpenTunnel(Protocol):
    """A connection that was upgraded and goes on for as long as both ends like."""

    def review(self, table: RoutingTable) -> None:
        """Look whether a new table still gives it the side that it is connected with."""


class Plane:
    """One worker's shared state; everything here belongs to its event loop."""

    def __init__(
        self,
        *,
        settings: PlaneSettings,
        keeper: TableKeeper,
        pools: Mapping[str, UpstreamPool],
        write_path: WritePath,
        observer: Observer,
        tap: Tap = NO_TAP,
        limiter: RateLimiter | None = None,
        sides: SideChooser = NO_CHOICE,
    ) -> None:
        self.settings = settings
        self.hosts = settings.hosts
        self.keep_alive_s = settings.keep_alive_ms / 1000
        self.keeper = keeper
        self.pools = pools
        self.write_path = write_path
        self.observer = observer
        self.tap = tap
        self.limiter = limiter or RateLimiter()
        self.sides = sides
        self.name = settings.name.encode("ascii")
        self.via_line = b"Via: 1.1 " + self.name
        self.connections: set[OpenConnection] = set()
        self.draining = False
        self.now = 0.0
        self.date_line = b""
        self.held = HeldBytes(settings.held_bytes_max)
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: set[object] = set()
        self._none_begun: asyncio.Future[None] | None = None
        self.answers: Counter[tuple[str, str, int]] = Counter()
        """By the decision's label, upstream and status class."""
        self.leniences: Counter[tuple[str, str]] = Counter()
        """By route and name: how often an old client needed one."""
        self.turned_away: Counter[tuple[str, str, str]] = Counter()
        """Connections that ended before HTTP: by what they are noted as, listener and reason. Told
        once a second, or whoever scans ports would fill the log."""
        self.tunnels: set[OpenTunnel] = set()
        self._reviewed: RoutingTable | None = None
        self.refresh_clock()

    def new_edge(self, origin: Origin | None, wire: asyncio.BaseTransport) -> Edge | None:
        """Return what writes the gateway's own fields for a connection; None when it is gone."""
        if origin is None:
            address = wire.get_extra_info("peername")
            if not address:
                return None
            origin = Origin(address[0])
        hops = self.settings.trusted_hops
        if self.settings.trace:
            return TracingEdge(origin, hops, self.name, getrandbits)
        return Edge(origin, hops, self.name)

    def refresh_clock(self) -> None:
        """Read the clocks; deadlines need a tenth of a second, Date a second."""
        self.now = time.monotonic()
        self.date_line = b"Date: " + formatdate(usegmt=True).encode("ascii")

    def review_tunnels(self) -> None:
        """Let open tunnels see a table that they have not seen yet."""
        table = self.keeper.table
        if table is not self._reviewed:
            self._reviewed = table
            for tunnel in tuple(self.tunnels):
                tunnel.review(table)

    def count(self, label: str, upstream: str, status: int) -> None:
        """Count one answer; `upstream` is empty for the gateway's own."""
        self.answers[label, upstream, status // 100] += 1

    def note_counts(self) -> None:
        """Tell the observer what was answered since the last time."""
        self.sides.note_counts(self.observer)
        answers, self.answers = self.answers, Counter()
        for (label, upstream, group), count in answers.items():
            if label != "-":
                by = "upstream" if upstream else "gateway"
                self.observer.note(f"requests.{label}.{by}.{group}xx", requests=count)
            self.observer.note(
                "answered",
                route=label.partition(".")[0],
                upstream=upstream or "gateway",
                status=f"{group}xx",
                requests=count,
            )

        away, self.turned_away = self.turned_away, Counter()
        for (name, listener, why), count in away.items():
            self.observer.note(name, listener=listener, why=why, connections=count)
        if self.held.refused:
            refused, self.held.refused = self.held.refused, 0
            self.observer.note("bodies_refused", requests=refused)
        leniences, self.leniences = self.leniences, Counter()
        if leniences:
            # Added up by name in the worker's run file.
            told = {f"{route_id}.{name}": count for (route_id, name), count in leniences.items()}
            self.observer.note("lenient", **told)

    def tell_times(self, part: int = 0, parts: int = 1) -> None:
        """Tell the observer of one in `parts` of the histograms, those that have grown.

        A few at a time: a second's telling of hundreds would be felt by a request.
        """
        told = self.keeper.table.timings.news(part, parts)
        if told:
            self.observer.note("latency", **told)

    def spawn(
        self, work: Coroutine[Any, Any, None], broke: Callable[[], None]
    ) -> "asyncio.Task[None]":
        """Run work that no client's disconnect may end; `broke` is called if it raises."""

        def ended(task: "asyncio.Task[None]") -> None:
            self._tasks.discard(task)
            exc = None if task.cancelled() else task.exception()
            if exc is not None:
                self.observer.note("task_failed", error=type(exc).__name__)
                broke()

        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(ended)
        return task

    def begun(self, work: object) -> None:
        """Hear of work without a task that no client's disconnect may end."""
        self._begun.add(work)

    def ended(self, work: object) -> None:
        """Hear that it has ended."""
        self._begun.discard(work)
        if self._none_begun is not None and not self._begun and not self._none_begun.done():
            self._none_begun.set_result(None)

    async def finish_tasks(self, within_s: float) -> int:
        """Wait for the writes under way; return how many had to be left and are cancelled."""
        waited: set[asyncio.Future[None]] = {*self._tasks}
        if self._begun:
            self._none_begun = asyncio.get_running_loop().create_future()
            waited.add(self._none_begun)
        if not waited:
            return 0
        _, left = await asyncio.wait(waited, timeout=within_s)
        for future in left:
            future.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left - {self._none_begun}) + len(self._begun)
