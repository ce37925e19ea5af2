"""What the connections of one worker share: the table, the pools, the limits, the counts."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Protocol

from bridge.gateway.decision import WritePath
from bridge.gateway.edge import Network
from bridge.gateway.table import RoutingTable
from bridge.gateway.upstream_ports import UpstreamPool
from bridge.model.errors import BridgeError
from bridge.model.observer import Observer

if TYPE_CHECKING:
    from bridge.gateway.client_connection import ClientConnection

# A table that cannot be built (store locked, routes broken) is tried again ten times a second.
_RELOAD_RETRY_S = 0.1
# A switch waits 2 s for the workers; a slow old write may hold our word back for most of that.
_ADOPT_WAIT_S = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneSettings:
    """Limits and names of a worker's data plane."""

    name: str = "legacy-bridge"
    """Pseudonym in Via; must differ between gateways that stand in one another's way."""
    hosts: frozenset[bytes] = frozenset()
    """Names that are served, lower case; every other Host gets 421. Empty: any."""
    trusted_hops: tuple[Network, ...] = ()
    """Peers whose forwarding fields are believed and appended to; others' are replaced."""
    connections_max: int = 10_000
    """Clients of one worker: about 20 kB each when idle, below the usual limit of descriptors."""
    head_ms: int = 10_000
    """For a whole request head, from its first byte: a slow one is an attack or a dead link."""
    keep_alive_ms: int = 75_000
    """Idle between requests; the same as nginx, above what balancers before us use (60 s)."""
    body_idle_ms: int = 30_000
    """Between two reads of a request body."""
    body_rate_min: int = 64
    """Bytes per second that a request body must average once `body_idle_ms` have passed."""
    relay_idle_ms: int = 60_000
    """Between two reads of an answer, or of a client that does not take it."""
    tunnel_idle_ms: int = 600_000
    """Without a byte in either direction of a WebSocket."""
    drain_ms: int = 10_000
    """For requests under way when the worker is told to stop."""


class Generation(Protocol):
    """The switch counter in shared memory."""

    def current(self) -> int:
        """Return the generation that is in force; read on every request."""

    def adopted(self, slot: int, value: int) -> None:
        """Tell that this worker decides by generation `value` and no older one any more."""


class Flight:
    """Writes under way that an old table sent past the journal."""

    __slots__ = ("count", "landed")

    def __init__(self) -> None:
        self.count = 0
        self.landed: Callable[[], None] | None = None

    def land(self) -> None:
        """One of them has ended."""
        self.count -= 1
        if self.count == 0 and self.landed is not None:
            self.landed()


class TableKeeper:
    """Holds the one reference to the table, and replaces it when the generation changes."""

    def __init__(
        self,
        load: Callable[[int], RoutingTable],
        generation: Generation,
        slot: int,
        observer: Observer,
    ) -> None:
        self._load = load
        self._generation = generation
        self._current = generation.current
        self._slot = slot
        self._observer = observer
        self._seen = generation.current()
        self._retry_at: float | None = None
        self._adopt_by: float | None = None
        self._told = -1
        self.flight = Flight()
        self.table = load(self._seen)
        self._tell()

    def latest(self) -> RoutingTable:
        """Return the table to decide a request by."""
        value = self._current()
        if value != self._seen:
            self._reload(value)
        return self.table

    def poll(self) -> None:
        """Look without a request: an idle worker must adopt too, or a switch waits for it."""
        value = self._current()
        now = time.monotonic()
        if value != self._seen or (self._retry_at is not None and now >= self._retry_at):
            self._reload(value)
        if self._adopt_by is not None and now >= self._adopt_by:
            self._observer.note(
                "adopted_early", generation=self._seen, writes_in_flight=self.flight.count
            )
            self._tell()

    def _reload(self, value: int) -> None:
        self._seen = value
        try:
            table = self._load(value)
        except BridgeError as exc:
            # The last good table stays: reads go on, and the journal refuses its old epochs.
            self._retry_at = time.monotonic() + _RELOAD_RETRY_S
            self._observer.note("table_failed", generation=value, error=str(exc))
            return
        self._retry_at = None
        self.table = table
        self._observer.note("table_swapped", generation=value)
        old, self.flight = self.flight, Flight()
        if old.count:
            # These writes pass the journal; a switch that calls the journal complete must wait.
            old.landed = self._tell
            self._adopt_by = time.monotonic() + _ADOPT_WAIT_S
        else:
            self._tell()

    def _tell(self) -> None:
        self._adopt_by = None
        if self._told != self._seen:
            self._told = self._seen
            self._generation.adopted(self._slot, self._seen)


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
    ) -> None:
        self.settings = settings
        self.hosts = settings.hosts
        self.keep_alive_s = settings.keep_alive_ms / 1000
        self.keeper = keeper
        self.pools = pools
        self.write_path = write_path
        self.observer = observer
        self.name = settings.name.encode("ascii")
        self.via_line = b"Via: 1.1 " + self.name
        self.connections: set[ClientConnection] = set()
        self.draining = False
        self.now = 0.0
        self.date_line = b""
        self._tasks: set[asyncio.Task[None]] = set()
        self.answers: Counter[tuple[str, str, int]] = Counter()
        """By route, upstream and status class."""
        self.refresh_clock()

    def refresh_clock(self) -> None:
        """Read the clocks; deadlines need a tenth of a second, Date a second."""
        self.now = time.monotonic()
        self.date_line = b"Date: " + formatdate(usegmt=True).encode("ascii")

    def count(self, route_id: str, upstream: str, status: int) -> None:
        """Count one answer; `upstream` is empty for the gateway's own."""
        self.answers[route_id, upstream, status // 100] += 1

    def note_counts(self) -> None:
        """Tell the observer what was answered since the last time."""
        answers, self.answers = self.answers, Counter()
        for (route_id, upstream, group), count in answers.items():
            self.observer.note(
                "answered",
                route=route_id,
                upstream=upstream or "gateway",
                status=f"{group}xx",
                requests=count,
            )

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run work that no client's disconnect may end."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish_tasks(self, within_s: float) -> int:
        """Wait for the writes under way; return how many had to be left and are cancelled."""
        if not self._tasks:
            return 0
        _, left = await asyncio.wait(self._tasks, timeout=within_s)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        return len(left)
