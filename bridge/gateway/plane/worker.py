"""One worker of the data plane: accepts clients until it is told to stop, then drains."""

import asyncio
import functools
import gc
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bridge.gateway.plane.entrance import Door
from bridge.gateway.plane.handover import is_shared, take_no_more
from bridge.gateway.plane.keeper import Generation, TableKeeper
from bridge.gateway.plane.plane import Plane
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.plane.sides import NO_CHOICE, SideChooser
from bridge.gateway.plane.tap import NO_TAP, Tap, note_stumble
from bridge.gateway.plane.write_path import WritePath
from bridge.gateway.protection.rate_limiter import RateLimiter
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.upstream_ports import UpstreamPool
from bridge.gateway.wires.opening import listen
from bridge.model.observer import Observer, SilentObserver

# An idle worker looks at the generation this often: a switch is seen within 10 ms (0.2 % CPU).
_POLL_S: Final = 0.01
# Deadlines are seconds; looking every tenth of one costs nothing and is exact enough.
_POLLS_PER_TICK: Final = 10
_TICKS_PER_REPORT: Final = 10
# Requests make no cycles, so collecting often finds nothing; half the default's cost is saved.
_COLLECT_AFTER: Final = 20_000


async def serve(
    listener: socket.socket | Sequence[tuple[socket.socket, Door]],
    *,
    load_table: Callable[[int], RoutingTable],
    generation: Generation,
    slot: int,
    write_path: WritePath,
    pools: Mapping[str, UpstreamPool],
    stop: asyncio.Event,
    settings: PlaneSettings | None = None,
    observer: Observer | None = None,
    ready: Callable[[], None] | None = None,
    tap: Tap = NO_TAP,
    limiter: RateLimiter | None = None,
    sides: SideChooser = NO_CHOICE,
) -> None:
    """Serve `listener` until `stop`, then let requests under way finish, within a bound.

    A single listener is plain HTTP; several come with how clients come in by each. `load_table`
    builds the whole table of a generation, blocking for a few milliseconds; `pools` holds one per
    upstream name that a route uses; `ready` is called once clients are accepted; `tap` may follow
    what the table says is tapped; `limiter` knows the rate limits of the routes;
    `sides` chooses who answers where the table says that it has to be chosen.

    Raises:
        BridgeError: the first table cannot be built. Later the last good one stays.
    """
    observer = observer or SilentObserver()
    keeper = TableKeeper(load_table, generation, slot, observer)
    plane = Plane(
        settings=settings or PlaneSettings(),
        keeper=keeper,
        pools=pools,
        write_path=write_path,
        observer=observer,
        tap=tap,
        limiter=limiter,
        sides=sides,
    )
    loop = asyncio.get_running_loop()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    ticker = _Ticker(plane, loop)
    doors: list[tuple[socket.socket, Door]]
    doors = [(listener, Door())] if isinstance(listener, socket.socket) else [*listener]
    servers = [
        await listen(functools.partial(door.connection, plane), sock) for sock, door in doors
    ]
    try:
        if ready is not None:
            ready()
        await stop.wait()
        observer.note("draining", slot=slot, connections=len(plane.connections))
    finally:
        plane.draining = True
        await _leave([sock for sock, _ in doors], plane.settings.handover_ms / 1000)
        for server in servers:
            server.close()
        await _drain(plane, observer)
        ticker.stop()
        plane.note_counts()
        plane.tell_times()


class _Ticker:
    """Looks at clocks, deadlines and the generation."""

    def __init__(self, plane: Plane, loop: asyncio.AbstractEventLoop) -> None:
        self._plane = plane
        self._loop = loop
        self._polls = 0
        self._timer = loop.call_later(_POLL_S, self._poll)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _poll(self) -> None:
        self._timer = self._loop.call_later(_POLL_S, self._poll)
        plane = self._plane
        plane.keeper.poll()
        self._polls += 1
        if self._polls % _POLLS_PER_TICK:
            return
        plane.refresh_clock()
        plane.review_tunnels()
        now = plane.now
        for connection in tuple(plane.connections):
            if connection.deadline < now:
                connection.expired()
        for pool in plane.pools.values():
            pool.tick(now)
        try:
            plane.tap.tick(now)
        except Exception as exc:
            note_stumble(plane.observer, exc)
        plane.tell_times(self._polls // _POLLS_PER_TICK % _TICKS_PER_REPORT, _TICKS_PER_REPORT)
        if self._polls % (_POLLS_PER_TICK * _TICKS_PER_REPORT) == 0:
            plane.note_counts()


async def _leave(listeners: Sequence[socket.socket], within_s: float) -> None:
    """Take no more attempts, then accept what was begun: another process may have the port."""
    leaving = [take_no_more(listener) for listener in listeners if is_shared(listener)]
    if any(leaving):
        await asyncio.sleep(within_s)


async def _drain(plane: Plane, observer: Observer) -> None:
    deadline = time.monotonic() + plane.settings.drain_ms / 1000
    for connection in tuple(plane.connections):
        connection.drain()
    while _under_way(plane) and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)
    left = _under_way(plane)
    for connection in tuple(plane.connections):
        connection.abort()
    # A write that was begun is finished or in doubt; its own timeouts bound the wait for it.
    left_writes = await plane.finish_tasks(max(0.0, deadline - time.monotonic()))
    for pool in plane.pools.values():
        pool.close()
    plane.tap.close()
    await asyncio.sleep(0)  # Aborted transports close their sockets in the loop's next round.
    observer.note("drained", connections_left=left, writes_left=left_writes)


def _under_way(plane: Plane) -> int:
    return sum(not connection.is_done for connection in plane.connections)
