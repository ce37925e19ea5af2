"""Follow drills in one process of the gateway: begin them, end them, tell what they came to."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from bridge.control.drills import DrillDesk
from bridge.gateway.drill.drill import Drill
from bridge.gateway.drill.faulty_pool import DrilledPool
from bridge.gateway.drill.running import Drills, RunningDrill
from bridge.gateway.dual.admission import Admission
from bridge.gateway.dual.ports import GroupReader, IdMap
from bridge.gateway.protection.breaker import Breaker
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import KeyPlace, Route
from bridge.gateway.upstream_ports import NamedPool
from bridge.model.errors import BridgeError, StorageUnavailable
from bridge.model.http import HttpRequest
from bridge.model.observer import Observer
from bridge.runtime.configuration.gateway_settings import GatewaySettings
from bridge.runtime.wiring.gateway_protection import breaker_of
from bridge.runtime.wiring.stores import Stores
from bridge.storage.drill_files import DrillFiles, new_drill_id

LOOK_S: Final = 0.2
"""Between two looks for drills: one `stat`. It begins and ends everywhere within a second."""
_TELL_S: Final = 1.0
_FRESH_NS: Final = 1_000_000_000
"""A folder that changed within the last second may change again under the same time."""


def drill_files(stores: Stores) -> DrillFiles:
    """Return the drills of this machine."""
    return DrillFiles(stores.run_dir / "drills")


def drill_desk(stores: Stores) -> DrillDesk:
    """Return what begins, stops and reports drills for people."""
    desk = stores.desk()
    return DrillDesk(
        book=drill_files(stores),
        groups=stores.group_states,
        routes=stores.routes,
        tell=desk.tell,
        lanes=desk.lane_counts,
        to_decide=lambda group: len(desk.list_writes(group=group, count_max=1_000)),
        history=lambda: [record.switch for record in desk.history()],
        new_id=new_drill_id,
    )


def drills_on(stores: Stores) -> list[dict[str, Any]]:
    """Return the drills that are on, for a look at everything."""
    return [each for each in drill_desk(stores).list_drills() if each["on"]]


def drills_of(gateway: GatewaySettings, ids: IdMap, process: str, observer: Observer) -> Drills:
    """Return the drills of one process; `process` names it in what it tells of them."""
    admission = Admission(ids)

    def lane_of(decision: Decision, request: HttpRequest) -> str | None:
        rule = decision.route.key
        try:
            if rule is None or rule.place is KeyPlace.CREATED:
                return admission.lane_of_read(decision, request)
            return admission.lane(decision, request)
        except StorageUnavailable:
            return None  # Nobody's: the next look ends the drill.

    def cohort_breaker(upstream: str) -> Breaker | None:
        rules = gateway.upstreams[upstream].protection
        return None if rules is None else breaker_of(rules)

    return Drills(process=process, lane_of=lane_of, breaker_of=cohort_breaker, observer=observer)


class DrillWatch:
    """Brings what the files say into one process; belongs to its event loop."""

    def __init__(
        self,
        files: DrillFiles,
        groups: GroupReader,
        drills: Drills,
        routes: Callable[[], Iterable[Route]],
        pools: MutableMapping[str, NamedPool],
        observer: Observer,
    ) -> None:
        """`pools` are those by which requests are forwarded: wrapped while a drill is on."""
        self._files = files
        self._groups = groups
        self._drills = drills
        self._routes = routes
        self._pools = pools
        self._observer = observer
        self._seen = -1
        self._due: list[Drill] = []
        self._over: set[str] = set()
        """What has ended here does not begin again."""
        self._told_at = 0.0

    def look(self) -> None:
        """Begin and end drills, and tell what they came to."""
        drills = self._drills
        try:
            changed = self._files.changed_ns()
            if changed != self._seen or time.time_ns() - changed < _FRESH_NS:
                self._due = [each for each in self._files.drills() if each.stopped_at is None]
                self._seen = changed
            wall = drills.wall()
            due = {each.drill_id: each for each in self._due if each.is_due(wall)}
            if not due and not drills.active:
                return
            groups = list(self._groups.groups())
        except StorageUnavailable as exc:
            if drills.active:
                self._observer.note("drill_store_lost", error=str(exc))
            for running in drills.running:
                self._end(running, "store-unreachable")
            self._seen = -1
            return
        self.review()
        now = drills.clock()
        for running in drills.running:
            drill_id = running.drill.drill_id
            if now >= running.ends:
                self._end(running, "time")
            elif drill_id not in due:
                self._end(running, "stopped")
        running_ids = {each.drill.drill_id for each in drills.running}
        epochs = {state.group: state.epoch for state in groups}
        for drill_id, drill in due.items():
            if drill_id in running_ids or drill_id in self._over:
                continue
            if epochs.get(drill.group, 0) != drill.epoch:
                self._over.add(drill_id)
            else:
                self._begin(drill)
        if drills.active and now - self._told_at >= _TELL_S:
            self._told_at = now
            for running in drills.running:
                self._tell(running)

    def review(self) -> None:
        """End drills whose group was switched, at once: called with every new table."""
        if not self._drills.active:
            return
        with suppress(StorageUnavailable):
            for running in self._drills.review(self._groups.groups()):
                self._ended(running)

    async def run(self) -> None:
        """Look until cancelled; every drill ends then."""
        try:
            while True:
                try:
                    self.look()
                except BridgeError as exc:
                    self._observer.note("drill_look_failed", error=str(exc))
                await asyncio.sleep(LOOK_S)
        finally:
            for running in self._drills.running:
                self._end(running, "process-ended")

    def _begin(self, drill: Drill) -> None:
        upstream = next(
            (
                route.upstreams[drill.side]
                for route in self._routes()
                if route.group == drill.group and drill.side in route.upstreams
            ),
            None,
        )
        if upstream is None:
            self._over.add(drill.drill_id)
            return
        if self._drills.begin(drill, upstream) is None:
            return
        pool = self._pools.get(upstream)
        if pool is not None and not isinstance(pool, DrilledPool):
            self._pools[upstream] = DrilledPool(pool, self._drills)

    def _end(self, running: RunningDrill, why: str) -> None:
        if self._drills.end(running.drill.drill_id, why) is not None:
            self._ended(running)

    def _ended(self, running: RunningDrill) -> None:
        self._over.add(running.drill.drill_id)
        if not self._drills.active:
            for name, pool in list(self._pools.items()):
                if isinstance(pool, DrilledPool):
                    self._pools[name] = pool.behind
        self._tell(running)

    def _tell(self, running: RunningDrill) -> None:
        with suppress(StorageUnavailable):
            self._files.tell(running.tally)


@asynccontextmanager
async def following_drills(watch: DrillWatch) -> AsyncIterator[None]:
    """Follow drills meanwhile."""
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
