"""What runs once over all processes: the replay of lanes, and the way out of doubt beside it."""

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from bridge.gateway.dual.compensation import Compensator
from bridge.gateway.dual.forwarder import NO_FAULTS, CallFaults, Forwarder
from bridge.gateway.dual.ports import GroupReader, IdMap, ReplayQueue, SeenChanges, WriteJournal
from bridge.gateway.dual.replay_attempt import Attempts
from bridge.gateway.dual.replayer import Replayer, ReplayLimits
from bridge.gateway.dual.resolver import Resolver, ResolverLimits
from bridge.gateway.dual.retry_budget import Budget, RetryBudget
from bridge.gateway.routes.route import Route
from bridge.gateway.upstream_ports import Upstream
from bridge.model.http import Headers
from bridge.model.observer import Observer


class Journal(WriteJournal, ReplayQueue, IdMap, GroupReader, Protocol):
    """The dual-write book, as replaying uses it."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ReplayService:
    """Replayer, compensator and resolver over one journal."""

    def __init__(
        self,
        *,
        journal: Journal,
        upstreams: Mapping[str, Upstream],
        route: Callable[[str, str], Route | None],
        alive: Callable[[str], bool],
        owner: str,
        credentials: Mapping[str, Headers] | None = None,
        changes: SeenChanges | None = None,
        limits: ReplayLimits | None = None,
        resolver_limits: ResolverLimits | None = None,
        observer: Observer | None = None,
        now: Callable[[], datetime] = _utc_now,
        chance: Callable[[], float] = random.random,
        budget_of: Callable[[str], Budget] = lambda _: RetryBudget(),
        faults: CallFaults = NO_FAULTS,
    ) -> None:
        """`upstreams` are by the names that routes use; `route` finds (group, route id).

        `alive` tells whether the process that owns an intent still lives; `owner` names this one,
        for its compensations. `credentials` are by upstream: what replays show there instead of
        what the client showed. `faults` are those of drills.
        """
        forwarder = Forwarder(journal, upstreams, faults)
        attempts = Attempts(forwarder, credentials=credentials or {}, now=now)
        self.replayer = Replayer(
            queue=journal,
            attempts=attempts,
            compensator=Compensator(
                journal=journal, groups=journal, attempts=attempts, owner=owner, now=now
            ),
            route=route,
            alive=alive,
            now=now,
            limits=limits,
            observer=observer,
            chance=chance,
            budget_of=budget_of,
        )
        self.resolver = Resolver(
            queue=journal,
            journal=journal,
            attempts=attempts,
            route=route,
            now=now,
            changes=changes,
            limits=resolver_limits,
            observer=observer,
            chance=chance,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run both until `stop` is set; a fault of our own ends both, as an `ExceptionGroup`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.replayer.run(stop))
            tasks.create_task(self.resolver.run(stop))
