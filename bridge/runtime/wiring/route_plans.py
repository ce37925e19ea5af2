"""What applying the edited routes would do, and doing it: one pointer, one generation."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bridge.eventlog.records.attempt import Deed, recorded
from bridge.gateway.dual.route_risks import Risk, risks
from bridge.gateway.routes.differences import RouteChange, changes
from bridge.gateway.routes.loader import load_routes
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.table import RoutingTable
from bridge.model.entry import EntryKind
from bridge.model.errors import StaleEpoch, StepForbidden, StorageUnavailable
from bridge.model.warrant import Warrant
from bridge.model.write import WriteState
from bridge.runtime.wiring.stores import Stores
from bridge.storage.applied_routes import digest_of, read_files

# Workers follow within milliseconds, or when their last old write has landed (1.5 s at most).
_FOLLOW_WITHIN_S: Final = 3.0
_LOOK_AGAIN_S: Final = 0.005
_UNSETTLED: Final = (WriteState.INTENT, WriteState.IN_DOUBT)
_NAME_CHARACTERS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePlan:
    """What putting other routes in force would change."""

    base: str | None
    """Digest of the routes in force; None before the gateway ever ran."""
    target: str
    changes: Sequence[RouteChange]
    risks: Sequence[Risk]

    @property
    def plan_id(self) -> str:
        """Names base and target: a plan is the same as long as both are."""
        before = "none" if self.base is None else self.base[:_NAME_CHARACTERS]
        return f"{before}-{self.target[:_NAME_CHARACTERS]}"

    @property
    def is_empty(self) -> bool:
        """Whether the files in force are the same already, to the byte."""
        return self.base == self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesApplied:
    """What came into force."""

    plan: RoutePlan
    workers: int
    took_ms: float


class RoutePlans:
    """Plans and applies for one deployment."""

    def __init__(
        self,
        stores: Stores,
        *,
        follow_within_s: float = _FOLLOW_WITHIN_S,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stores = stores
        self._in_force = stores.routes_in_force()
        self._follow_within_s = follow_within_s
        self._pause = pause

    def plan(self) -> RoutePlan:
        """Return what applying the edited files would do.

        Raises:
            ConfigInvalid: they have a fault.
        """
        after = load_routes(self._in_force.edited, self._in_force.upstreams)
        return self._plan(digest_of(read_files(self._in_force.edited)), after)

    def plan_back(self) -> RoutePlan:
        """Return what going back to the routes before would do.

        Raises:
            StepForbidden: there are none.
        """
        applied = self._in_force.store.current()
        if applied is None or applied.previous is None:
            raise StepForbidden("cannot go back: no other routes were in force before these")
        return self._plan_of_copy(applied.previous)

    def _plan_of_copy(self, digest: str) -> RoutePlan:
        folder = self._in_force.store.folder_of(digest)
        return self._plan(digest, load_routes(folder, self._in_force.upstreams))

    def apply(self, plan_id: str, warrant: Warrant, *, accept_risks: bool) -> RoutesApplied:
        """Put the edited files in force, as they were when `plan_id` was planned.

        Returns when every live worker works by them. An entry of the event log says who, why and
        what, also when it is refused.

        Raises:
            StaleEpoch: the files or the routes in force are not those of the plan any more.
            StepForbidden: a risk blocks it, and `accept_risks` is not said.
            StorageUnavailable: a worker did not follow; the routes before are in force again.
        """
        with self._told("routes-apply", warrant, plan_id) as deed:
            plan = self.plan()
            if plan.plan_id != plan_id:
                raise StaleEpoch(
                    f"cannot apply plan {plan_id!r}: files and gateway are at {plan.plan_id!r} now;"
                    " look at `routes plan` and decide again"
                )
            self._in_force.store.keep(self._files(plan.target))
            # The copy is what the workers will read; the files may be changing under our eyes.
            copied = self._plan_of_copy(plan.target)
            return self._put_in_force(copied, deed, accept_risks=accept_risks)

    def apply_back(self, warrant: Warrant, *, accept_risks: bool) -> RoutesApplied:
        """Put the routes in force that were before these; raises as `apply` does."""
        with self._told("routes-apply-back", warrant, "back") as deed:
            return self._put_in_force(self.plan_back(), deed, accept_risks=accept_risks)

    def _files(self, digest: str) -> dict[str, bytes]:
        files = read_files(self._in_force.edited)
        if digest_of(files) != digest:
            raise StaleEpoch("cannot apply routes: a file was changed meanwhile; plan again")
        return files

    def _told(self, action: str, warrant: Warrant, plan_id: str) -> AbstractContextManager[Deed]:
        return recorded(
            self._stores.desk().tell, EntryKind.CONFIG, action, warrant, fields={"plan": plan_id}
        )

    def _plan(self, target: str, after: Sequence[Route]) -> RoutePlan:
        applied = self._in_force.store.current()
        before = () if applied is None else self._in_force.routes()
        found = changes(before, after)
        desk = self._stores.desk()
        groups = desk.groups()
        names = {change.route.group for change in found}
        open_writes = {name: self._open_writes(name) for name in names}
        known = risks(found, after, groups, open_writes)
        if not any(risk.blocks for risk in known):
            # What a worker could not build, nobody is asked to.
            RoutingTable.build(after, groups, 0)
        return RoutePlan(
            base=None if applied is None else applied.digest,
            target=target,
            changes=found,
            risks=known,
        )

    def _open_writes(self, group: str) -> int:
        desk = self._stores.desk()
        waiting = sum(count.writes for count in desk.lane_counts() if count.group == group)
        return waiting + sum(
            len(desk.list_writes(group=group, state=state, count_max=1_000)) for state in _UNSETTLED
        )

    def _put_in_force(self, plan: RoutePlan, deed: Deed, *, accept_risks: bool) -> RoutesApplied:
        blocking = [risk.text for risk in plan.risks if risk.blocks]
        deed.fields |= {"before": plan.base or "none", "after": plan.target}
        deed.payload |= {
            "changes": [[change.kind.value, change.route.route_id] for change in plan.changes],
            "risks": [risk.text for risk in plan.risks],
            "risks_accepted": accept_risks,
        }
        if blocking and not accept_risks:
            raise StepForbidden(
                f"cannot apply routes: {'; '.join(blocking)}; mend it first, or take the risk with"
                " --accept-risks"
            )
        store, desk = self._in_force.store, self._stores.desk()
        began = time.monotonic()
        desk.ensure_groups(sorted({route.group for route in self._new_routes(plan)}))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        store.put_in_force(plan.target, instead_of=plan.base, at=now)
        workers, late = self._announce()
        if late and plan.base is not None:
            store.put_in_force(plan.base, instead_of=plan.target, at=now)
            self._announce()
            raise StorageUnavailable(
                f"cannot apply routes: {', '.join(late)} did not follow within"
                f" {self._follow_within_s:g} s; the routes before are in force again. Its log says"
                " why; a worker that was started before the settings changed needs a restart"
            )
        deed.fields["workers"] = workers
        return RoutesApplied(plan=plan, workers=workers, took_ms=(time.monotonic() - began) * 1000)

    def _new_routes(self, plan: RoutePlan) -> Sequence[Route]:
        return [change.after for change in plan.changes if change.after is not None]

    def _announce(self) -> tuple[int, list[str]]:
        """Begin a generation; return how many workers there are, and who did not follow in time."""
        generation = self._stores.generation()
        value = generation.bump()
        deadline = time.monotonic() + self._follow_within_s
        while True:
            slots = generation.live_slots()
            late = [slot.owner for slot in slots if slot.adopted < value]
            if not late or time.monotonic() >= deadline:
                return len(slots), late
            self._pause(_LOOK_AGAIN_S)
