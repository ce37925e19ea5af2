"""The asynchronous ingress: the write path of a worker wrapped, and the sender of the queue."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from bridge.gateway.dual.admission import WriteLimits
from bridge.gateway.dual.writer import DualWriter
from bridge.gateway.http.target import parse_authority
from bridge.gateway.ingress.sender import IngressSender
from bridge.gateway.ingress.service import AsyncIngress
from bridge.gateway.ingress.status import status_routes
from bridge.gateway.plane.keeper import TableKeeper
from bridge.gateway.plane.write_path import WritePath
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.ingress import IngressMode
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.upstream_ports import Upstream
from bridge.model.errors import BridgeError
from bridge.model.http import HttpRequest
from bridge.model.observer import Observer
from bridge.runtime.wiring.gateway_edge import replay_headers
from bridge.runtime.wiring.journal_opening import Journal
from bridge.runtime.wiring.stores import Stores

# How soon after `routes apply` a first queue is drained.
_LOOK_FOR_QUEUES_S = 1.0


def served(routes: tuple[Route, ...], prefix: str) -> tuple[Route, ...]:
    """Return the routes of a worker's table: with those of the statuses where there are queues."""
    return routes + status_routes(prefix) if _has_queues(routes) else routes


def queueing(stores: Stores, writer: DualWriter, journal: Journal, observer: Observer) -> WritePath:
    """Return the write path of a worker, which also takes what is sent later."""
    gateway = stores.gateway_settings()
    return AsyncIngress(
        writer,
        book=journal.ingress(),
        journal=journal,
        ids=journal,
        prefix=gateway.async_path,
        limits=WriteLimits(lane_wait_ms=gateway.lane_wait_ms),
        observer=observer,
    )


async def drain_queues(
    stores: Stores,
    *,
    upstreams: Mapping[str, Upstream],
    owner: str,
    route: Callable[[str, str], Route | None],
    observer: Observer,
    stop: asyncio.Event,
) -> None:
    """Send what is queued until `stop`; follows switches as `owner`, as a worker does."""
    gateway, journal, generation = stores.gateway_settings(), stores.journal(), stores.generation()
    in_force = stores.routes_in_force()

    def load_table(number: int) -> RoutingTable:
        return RoutingTable.build(in_force.routes(), journal.groups(), number)

    def redecide(request: HttpRequest) -> Decision | None:
        raw = request.header(b"host")
        host = parse_authority(raw).name if raw is not None else None
        lines = [b"%b: %b" % pair for pair in request.headers]
        table = load_table(generation.current())
        decision = table.decide(request.method, host, request.target, lines)
        return decision if isinstance(decision, Decision) else None

    def is_needed() -> bool:
        try:
            return _has_queues(in_force.routes()) or bool(journal.ingress().unfinished(1))
        except BridgeError:
            return False  # Told elsewhere; looked at again.

    while not is_needed():
        try:
            async with asyncio.timeout(_LOOK_FOR_QUEUES_S):
                await stop.wait()
                return
        except TimeoutError:
            continue
    writer = DualWriter(
        journal=journal,
        ids=journal,
        upstreams=upstreams,
        owner=owner,
        redecide=redecide,
        limits=WriteLimits(lane_wait_ms=gateway.lane_wait_ms, drain_wait_ms=gateway.drain_wait_ms),
        observer=observer,
        swapped=frozenset(replay_headers(gateway)),
    )
    slot = generation.claim_slot(owner)
    try:
        keeper = TableKeeper(load_table, generation, slot, observer)
        observer.note("queue_sender_started")
        await IngressSender(
            book=journal.ingress(),
            journal=journal,
            path=writer,
            keeper=keeper,
            route=route,
            observer=observer,
        ).run(stop)
        await writer.drain()
    finally:
        generation.release_slot(slot)


def _has_queues(routes: Iterable[Route]) -> bool:
    return any(route.ingress.mode is not IngressMode.OFF for route in routes)
