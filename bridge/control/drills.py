"""What a person does about drills: the one path for command line and API alike.

A drill that is refused leaves an entry in the event log as one that is begun.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from bridge.control.names import group_named
from bridge.control.shown_drill import shown_breaker, shown_process, shown_time
from bridge.eventlog.records.action_record import action_draft
from bridge.eventlog.records.attempt import Tell, refusals_told
from bridge.gateway.drill.drill import (
    Cohort,
    Drill,
    Touch,
    check_request,
    duration_s,
    fault_of,
    header_of,
    no,
)
from bridge.gateway.drill.tally import Tally, summed
from bridge.gateway.dual.ports import LaneCount
from bridge.gateway.routes.route import Route
from bridge.model.entry import EntryKind
from bridge.model.errors import LimitExceeded, NotKnown
from bridge.model.stage import GroupState, Side, Switch
from bridge.model.warrant import Warrant

AT_ONCE_MAX: Final = 2
"""Drills at once: with more, nobody can say any more whose fault a number is."""


class DrillBook(Protocol):
    """Keeps drills and what came of them; blocking, raises `StorageUnavailable`."""

    def drills(self) -> list[Drill]:
        """Return every drill that is kept, newest first."""

    def changing(self) -> AbstractContextManager[None]:
        """Let nobody else begin or stop a drill meanwhile."""

    def store(self, drill: Drill) -> None:
        """Begin or stop a drill, durably."""

    def tallies(self, drill_id: str) -> Sequence[Tally]:
        """Return what the processes counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillOrder:
    """A drill as a person asks for it, in words."""

    group: str
    fault: str
    lasts: str
    side: str = "modern"
    route: str | None = None
    keys: tuple[str, ...] = ()
    header: str | None = None
    share_percent: float = 0.0
    reads: bool = True
    replays: bool = True
    writes: bool = False
    force: bool = False


class DrillDesk:
    """Begins, stops and reports drills."""

    def __init__(
        self,
        *,
        book: DrillBook,
        groups: Callable[[], Sequence[GroupState]],
        routes: Callable[[], Sequence[Route]],
        tell: Tell,
        lanes: Callable[[], Sequence[LaneCount]],
        to_decide: Callable[[str], int],
        history: Callable[[], Sequence[Switch]],
        new_id: Callable[[], str],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`tell` leaves entries; `to_decide` counts a group's writes that need a person."""
        self._book = book
        self._groups = groups
        self._routes = routes
        self._tell = tell
        self._lanes = lanes
        self._to_decide = to_decide
        self._history = history
        self._new_id = new_id
        self._wall = wall

    def start(self, order: DrillOrder, warrant: Warrant) -> Drill:
        """Begin a drill; the processes of this machine follow within a second.

        Raises:
            ConfigInvalid: it cannot be meant, or goes over a limit.
            NotKnown: there is no such group or route.
            LimitExceeded: too many are on.
        """
        known = any(state.group == order.group for state in self._groups())
        fields: dict[str, Any] = {"group": order.group} if known else {}
        with refusals_told(self._tell, EntryKind.ROUTE, "drill-start", warrant, fields=fields):
            state = group_named(order.group, self._groups())
            drill = self._drill(order, state, warrant)
            with self._book.changing():
                self._refuse_more(drill)
                # The entry first: a drill that nobody can look up must not be on.
                self._told("drill-start", drill, warrant)
                self._book.store(drill)
        return drill

    def stop(self, drill_id: str | None, warrant: Warrant) -> list[Drill]:
        """Stop one drill, or all that are on; raises `NotKnown` when none is."""
        found = self._on(drill_id)
        fields = {"drill": found[0].drill_id, "group": found[0].group} if found else {}
        with refusals_told(self._tell, EntryKind.ROUTE, "drill-stop", warrant, fields=fields):
            if not found:
                which = "no drill is on" if drill_id is None else f"drill {drill_id!r} is not on"
                raise NotKnown(f"cannot stop a drill: {which}")
            stopped = []
            for drill in found:
                with self._book.changing():
                    ended = dataclasses.replace(drill, stopped_at=self._wall())
                    # The other way round than a start: first it is off.
                    self._book.store(ended)
                self._told("drill-stop", ended, warrant)
                stopped.append(ended)
        return stopped

    def list_drills(self) -> list[dict[str, Any]]:
        """Return every drill that is kept, newest first, as JSON values."""
        return [self._shown(drill) for drill in self._book.drills()]

    def report(self, drill_id: str | None = None) -> dict[str, Any]:
        """Return what a drill came to, the latest one by default; raises `NotKnown`."""
        drills = self._book.drills()
        found = drills[:1] if drill_id is None else [d for d in drills if d.drill_id == drill_id]
        if not found:
            which = "no drill is kept" if drill_id is None else f"no drill is called {drill_id!r}"
            raise NotKnown(f"cannot report a drill: {which}")
        drill = found[0]
        tallies = self._book.tallies(drill.drill_id)
        return {
            **self._shown(drill),
            "cohort": summed(tallies),
            "breaker": shown_breaker(drill, tallies),
            "processes": [shown_process(each) for each in tallies],
            "rollback": self._rollback(drill, tallies),
            "writes": self._writes(drill),
        }

    def _drill(self, order: DrillOrder, state: GroupState, warrant: Warrant) -> Drill:
        fault, seconds = fault_of(order.fault), duration_s(order.lasts)
        wanted = {
            Touch.READS: order.reads,
            Touch.REPLAYS: order.replays,
            Touch.WRITES: order.writes,
        }
        touches = frozenset(touch for touch, on in wanted.items() if on)
        header = None if order.header is None else header_of(order.header)
        cohort = Cohort(
            keys=frozenset(order.keys), header=header, share_percent=order.share_percent
        )
        check_request(fault, touches, cohort, seconds, force=order.force)
        if order.side not in (side.value for side in Side):
            raise no(f"no side is called {order.side!r}; known: legacy, modern")
        side = Side(order.side)
        routes = [route for route in self._routes() if route.group == order.group]
        if order.route is not None and all(route.route_id != order.route for route in routes):
            ids = ", ".join(sorted(route.route_id for route in routes)) or "none"
            raise NotKnown(
                f"cannot start a drill: group {order.group!r} has no route {order.route!r};"
                f" it has {ids}"
            )
        if all(side not in route.upstreams for route in routes):
            raise no(f"group {order.group!r} has no side {side.value!r}")
        now = self._wall()
        return Drill(
            drill_id=self._new_id(),
            group=order.group,
            route=order.route,
            side=side,
            fault=fault,
            touches=touches,
            cohort=cohort,
            epoch=state.epoch,
            started_at=now,
            ends_at=now + seconds,
            actor=warrant.actor.id,
            ticket=warrant.ticket,
        )

    def _refuse_more(self, drill: Drill) -> None:
        on = self._on(None)
        if len(on) >= AT_ONCE_MAX:
            raise LimitExceeded(
                f"cannot start a drill: {len(on)} are on, at most {AT_ONCE_MAX} at once; stop one"
            )
        for other in on:
            if (other.group, other.side) == (drill.group, drill.side):
                raise no(f"drill {other.drill_id} is on for the same group and side; stop it first")

    def _on(self, drill_id: str | None) -> list[Drill]:
        return [
            drill
            for drill in self._book.drills()
            if self._is_on(drill) and drill_id in (None, drill.drill_id)
        ]

    def _is_on(self, drill: Drill) -> bool:
        epochs = {state.group: state.epoch for state in self._groups()}
        return drill.is_due(self._wall()) and epochs.get(drill.group, 0) == drill.epoch

    def _told(self, action: str, drill: Drill, warrant: Warrant) -> None:
        header = drill.cohort.header
        fields = {
            "drill": drill.drill_id,
            "group": drill.group,
            "side": drill.side.value,
            "fault": str(drill.fault),
            "seconds": round(drill.seconds),
            "touches": sorted(touch.value for touch in drill.touches),
            # Keys may be personal, and a marker's value is a way in: their number and name do.
            "keys": len(drill.cohort.keys),
            "share": drill.cohort.share_percent,
        }
        if drill.route is not None:
            fields["route"] = drill.route
        if header is not None:
            fields["header"] = header[0]
        at = datetime.now(UTC)
        self._tell(action_draft(EntryKind.ROUTE, action, warrant, at=at, fields=fields))

    def _shown(self, drill: Drill) -> dict[str, Any]:
        wall, cohort = self._wall(), drill.cohort
        on = self._is_on(drill)
        return {
            "drill": drill.drill_id,
            "on": on,
            "left_s": round(max(0.0, drill.ends_at - wall), 1) if on else 0.0,
            "group": drill.group,
            "route": drill.route,
            "side": drill.side.value,
            "fault": str(drill.fault),
            "touches": sorted(touch.value for touch in drill.touches),
            "keys": len(cohort.keys),
            "header": None if cohort.header is None else cohort.header[0],
            "share_percent": cohort.share_percent,
            "epoch": drill.epoch,
            "started": shown_time(drill.started_at),
            "ends": shown_time(drill.ends_at),
            "stopped": None if drill.stopped_at is None else shown_time(drill.stopped_at),
            "actor": drill.actor,
            "ticket": drill.ticket,
        }

    def _rollback(self, drill: Drill, tallies: Sequence[Tally]) -> dict[str, Any] | None:
        """Return the switch that ended the drill, and how long until every worker followed."""
        for switch in self._history():
            if switch.group != drill.group or switch.epoch != drill.epoch + 1:
                continue
            at = switch.switched_at.timestamp()
            if at > drill.ends_at:
                return None
            ended = [
                each.ended_at - at
                for each in tallies
                if each.ended_why == "switched" and each.ended_at is not None
                and each.process.startswith("worker")
            ]  # fmt: skip
            return {
                "to": switch.to_stage.value,
                "at": shown_time(at),
                "after_s": round(at - drill.started_at, 3),
                "workers": len(ended),
                "in_force_ms": round(max(0.0, max(ended)) * 1000, 1) if ended else None,
            }
        return None

    def _writes(self, drill: Drill) -> dict[str, Any]:
        counts = [count for count in self._lanes() if count.group == drill.group]
        waiting = sum(count.writes for count in counts)
        to_decide = self._to_decide(drill.group)
        return {
            "waiting": waiting,
            "oldest_s": round(max((count.oldest_age_s for count in counts), default=0.0), 1),
            "to_decide": to_decide,
            "drained": waiting == 0 and to_decide == 0,
        }
