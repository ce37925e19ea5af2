"""The role of the replayer: it brings journalled writes to the other side, and looks after both.

A module of its own: what it reconciles with (the index of the log, contracts) no worker needs.
"""

import asyncio
import os
import secrets
from contextlib import ExitStack, closing

from bridge.gateway.drill.faulty_calls import FaultyCalls
from bridge.gateway.dual.replay_service import ReplayService
from bridge.gateway.protection.token_bucket import NoOthers
from bridge.model.errors import StorageUnavailable
from bridge.runtime.roles.canaries import write_dualwrite_canaries
from bridge.runtime.watching.telemetry import RunFileObserver
from bridge.runtime.wiring.drilling import DrillWatch, drill_files, drills_of, following_drills
from bridge.runtime.wiring.gateway_edge import (
    clients,
    follow_files,
    open_pools,
    replay_headers,
)
from bridge.runtime.wiring.gateway_protection import guarded, open_spending, replay_budgets
from bridge.runtime.wiring.journal_opening import REPLAY, Held
from bridge.runtime.wiring.queues import drain_queues
from bridge.runtime.wiring.reconciling import reconciliation
from bridge.runtime.wiring.routes_in_force import RouteBook
from bridge.runtime.wiring.seen_changes import captured_seen
from bridge.runtime.wiring.stores import Stores
from bridge.runtime.wiring.tracing import open_tracing

# The replayer that waits for another one to end looks this often; it takes over within this time.
TAKE_OVER_S = 0.2


async def run_replay(stores: Stores, observer: RunFileObserver, stop: asyncio.Event) -> None:
    """Bring journalled writes to the other side until `stop`; waits while another one does."""
    gateway = stores.gateway_settings()
    book = RouteBook(stores.routes, stores.generation().current, observer)
    journal = stores.journal()
    owners = stores.replicas()

    lock = await _sole_replayer(stores, stop)
    if lock is None:
        return
    with ExitStack() as stack:
        stack.enter_context(closing(lock))
        tracing = open_tracing(stores.settings.telemetry, "replay", observer, stack)
        opened = open_pools(gateway, observer, stack)
        spending = open_spending(gateway, stores.run_dir, stack)
        pools = guarded(opened, gateway, spending, observer, calls=NoOthers())
        following = asyncio.create_task(follow_files((), opened))
        stack.callback(following.cancel)
        owner = f"replay-{os.getpid()}-{secrets.token_hex(4)}"
        stack.enter_context(closing(owners.take(owner)))
        drills = drills_of(gateway, journal, f"replay-{os.getpid()}", observer)
        watch = DrillWatch(drill_files(stores), journal, drills, stores.routes, {}, observer)
        upstreams = clients(pools, gateway)
        service = ReplayService(
            journal=journal,
            upstreams=upstreams,
            faults=tracing.calls(FaultyCalls(drills)),
            route=book.route,
            alive=owners.alive,
            owner=owner,
            credentials=replay_headers(gateway),
            observer=observer,
            budget_of=replay_budgets(gateway, spending),
            changes=captured_seen(stores),
        )
        canaries = asyncio.create_task(write_dualwrite_canaries(journal, observer, stop))
        stack.callback(canaries.cancel)
        patrol = reconciliation(stores, stores.findings(), upstreams, observer, owner).patrol
        patrolling = asyncio.create_task(patrol.run(stop))
        stack.callback(patrolling.cancel)
        holding = asyncio.create_task(_stop_when_lost(lock, stop))
        stack.callback(holding.cancel)
        observer.note("replayer_started")
        async with following_drills(watch), asyncio.TaskGroup() as tasks:
            tasks.create_task(service.run(stop))
            tasks.create_task(
                drain_queues(
                    stores,
                    upstreams=upstreams,
                    owner=owner,
                    route=book.route,
                    observer=observer,
                    stop=stop,
                )
            )
        if not lock.held():
            raise StorageUnavailable("cannot go on replaying: the lease was lost to another one")


async def _stop_when_lost(lock: Held, stop: asyncio.Event) -> None:
    while lock.held():
        await asyncio.sleep(TAKE_OVER_S)
    stop.set()


async def _sole_replayer(stores: Stores, stop: asyncio.Event) -> Held | None:
    while not stop.is_set():
        try:
            return stores.replicas().take_alone(REPLAY)
        except StorageUnavailable:
            await asyncio.sleep(TAKE_OVER_S)  # Another one replays; we are its stand-in.
    return None
