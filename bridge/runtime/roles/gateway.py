"""The role of a gateway worker: it serves HTTP."""

import asyncio
import os
import secrets
from contextlib import ExitStack, closing

from bridge.gateway.drill.faulty_calls import FaultyCalls
from bridge.gateway.dual.admission import WriteLimits
from bridge.gateway.dual.read_sides import ReadSides
from bridge.gateway.dual.writer import DualWriter
from bridge.gateway.plane.worker import serve
from bridge.gateway.protection.rate_limiter import RateLimiter
from bridge.gateway.routes.table import RoutingTable
from bridge.runtime.configuration.gateway_settings import GatewaySettings
from bridge.runtime.watching.telemetry import RunFileObserver
from bridge.runtime.wiring.drilling import DrillWatch, drill_files, drills_of, following_drills
from bridge.runtime.wiring.gateway_edge import (
    clients,
    follow_files,
    note_listening,
    open_doors,
    open_pools,
    plane_settings,
    replay_headers,
)
from bridge.runtime.wiring.gateway_protection import guarded, open_spending
from bridge.runtime.wiring.queues import queueing, served
from bridge.runtime.wiring.routing_tables import RoutingTables
from bridge.runtime.wiring.shadowing import shadowing
from bridge.runtime.wiring.side_token_key import KEY_FILE as SIDE_KEY_FILE
from bridge.runtime.wiring.side_token_key import load_side_tokens
from bridge.runtime.wiring.stores import Stores
from bridge.runtime.wiring.tracing import open_tracing
from bridge.runtime.wiring.write_token_key import KEY_FILE, load_write_tokens


async def run_worker(stores: Stores, observer: RunFileObserver, stop: asyncio.Event) -> None:
    """Serve HTTP on the shared port until `stop`."""
    gateway = stores.gateway_settings()
    journal = stores.journal()
    generation = stores.generation()
    owner = f"worker-{os.getpid()}-{secrets.token_hex(4)}"
    tables = RoutingTables(
        stores.routes_in_force(),
        journal,
        generation,
        lambda routes: served(routes, gateway.async_path),
    )
    with ExitStack() as stack:
        tracing = open_tracing(stores.settings.telemetry, "gateway", observer, stack)
        stack.enter_context(closing(stores.replicas().take(owner)))
        opened = open_pools(gateway, observer, stack)
        spending = open_spending(gateway, stores.run_dir, stack)
        own_pools = guarded(opened, gateway, spending, observer)
        pools = tracing.pools(own_pools)
        drills = drills_of(gateway, journal, f"worker-{os.getpid()}", observer)
        watch = DrillWatch(drill_files(stores), journal, drills, stores.routes, pools, observer)
        writer = DualWriter(
            journal=tracing.journal(journal),
            ids=journal,
            upstreams=clients(own_pools, gateway),
            owner=owner,
            redecide=tables.redecide,
            limits=_write_limits(gateway),
            observer=observer,
            swapped=frozenset(replay_headers(gateway)),
            tokens=load_write_tokens(stores.settings.data_dir / KEY_FILE, observer),
            faults=tracing.calls(FaultyCalls(drills)),
        )

        def load_table(number: int) -> RoutingTable:
            table = tables.load(number)
            watch.review()
            return table

        looking = asyncio.create_task(tables.look_for_news())
        stack.callback(looking.cancel)
        doors = open_doors(gateway, observer)
        following = asyncio.create_task(follow_files(doors, opened))
        stack.callback(following.cancel)
        async with (
            following_drills(watch),
            shadowing(stores.settings, gateway, journal, observer, stop, tracing.pool) as mirror,
        ):
            await serve(
                tracing.doors(doors),
                load_table=load_table,
                generation=generation,
                slot=generation.claim_slot(owner),
                write_path=tracing.write_path(queueing(stores, writer, journal, observer)),
                pools=pools,
                stop=stop,
                settings=plane_settings(gateway),
                observer=observer,
                ready=lambda: note_listening(gateway, observer),
                tap=mirror,
                limiter=RateLimiter(spending),
                sides=ReadSides(
                    journal=journal,
                    ids=journal,
                    tokens=load_side_tokens(stores.settings.data_dir / SIDE_KEY_FILE),
                ),
            )
        await writer.drain()


def _write_limits(gateway: GatewaySettings) -> WriteLimits:
    return WriteLimits(lane_wait_ms=gateway.lane_wait_ms, drain_wait_ms=gateway.drain_wait_ms)
