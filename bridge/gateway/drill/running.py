"""The drills that are on in one process, and whom they touch.

While none is on nothing here is asked: pools are wrapped when a drill begins and put back when it
ends, and whole exchanges look at one flag (`active`). A drill has a breaker of its own, with the
rules of its upstream's: what the cohort meets must not close the door to everybody else.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from bridge.gateway.drill.drill import Drill, Fault, Touch
from bridge.gateway.drill.tally import Tally
from bridge.gateway.protection.breaker import Breaker
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.model.http import HttpRequest
from bridge.model.observer import Observer
from bridge.model.stage import GroupState

# As the breaker of an upstream counts them (see `protection.guarded_pool`).
_FAILED_STATUSES: Final = frozenset((502, 503, 504))
SAFE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS"))


class Call(NamedTuple):
    """One request on its way to an upstream, as a drill judges it."""

    touch: Touch
    route: Route
    upstream: str
    lane: Callable[[], str | None]
    """Looked up only where a cohort is made of keys."""
    lines: Sequence[bytes]
    """Its field lines."""
    epoch: int | None = None
    """Under which it was decided; None where the group's own is what counts."""


class RunningDrill:
    """A drill while it is on in this process."""

    def __init__(self, drill: Drill, ends: float, breaker: Breaker | None, tally: Tally) -> None:
        """`ends` is monotonic."""
        self.drill = drill
        self.ends = ends
        self.breaker = breaker
        self.tally = tally

    def touches(self, call: Call, now: float) -> bool:
        """Whether this request is of the cohort."""
        drill = self.drill
        route = call.route
        if (
            now >= self.ends
            or route.group != drill.group
            or call.touch not in drill.touches
            or (drill.route is not None and route.route_id != drill.route)
            or route.upstreams.get(drill.side) != call.upstream
            or (call.epoch is not None and call.epoch != drill.epoch)
        ):
            return False
        cohort = drill.cohort
        if cohort.has_line(call.lines):
            return True
        return cohort.by_key and cohort.has_key(route.cohort_salt or route.group, call.lane())


class Meeting:
    """One request that meets its fault: tells the drill's breaker and tally how it went."""

    __slots__ = ("_began", "_breaker_epoch", "_drills", "_over", "_running", "_touch")

    def __init__(self, drills: "Drills", running: RunningDrill, touch: Touch) -> None:
        self._drills = drills
        self._running = running
        self._touch = touch
        self._began = drills.clock()
        breaker = running.breaker
        self._breaker_epoch = 0 if breaker is None else breaker.epoch
        self._over = False
        running.tally.touched[touch.value] += 1

    @property
    def drill_id(self) -> str:
        """Whose it is."""
        return self._running.drill.drill_id

    @property
    def fault(self) -> Fault:
        """What it meets."""
        return self._running.drill.fault

    def let_through(self) -> float | None:
        """Return None when the cohort's breaker lets it meet its fault, else the seconds of rest
        that are left: it then counts as `open`."""
        breaker = self._running.breaker
        now = self._drills.clock()
        if breaker is None or breaker.let_through(now):
            self._breaker_epoch = 0 if breaker is None else breaker.epoch
            return None
        self._end("open", failed=None)
        return max(breaker.open_until - now, 0.0)

    def answered(self, status: int) -> None:
        """Hear the status that the side, or the drill in its place, has answered."""
        self._end(f"{status // 100}xx", failed=status in _FAILED_STATUSES)

    def failed(self, how: str) -> None:
        """Hear that there is no answer: `refused`, `cut`, `late`."""
        self._end(how, failed=True)

    def given_up(self) -> None:
        """Hear that nobody waits for it any more."""
        self._end("gone", failed=None)

    def _end(self, how: str, *, failed: bool | None) -> None:
        if self._over:
            return
        self._over = True
        running, drills = self._running, self._drills
        running.tally.heard[f"{self._touch.value}.{how}"] += 1
        now = drills.clock()
        what = "answered" if how[1:] == "xx" else "failed"
        if self._touch is not Touch.REPLAYS and how != "gone":
            running.tally.note_took(what, now - self._began)
        breaker = running.breaker
        if breaker is None:
            return
        if failed is None:
            if how != "open":
                breaker.withdraw(self._breaker_epoch)
        elif breaker.ended(now, self._breaker_epoch, failed=failed):
            running.tally.note_breaker(drills.wall(), breaker.state.value)
            drills.observer.note(
                "drill_breaker", drill=running.drill.drill_id, state=breaker.state.value
            )


class Drills:
    """The drills of one process; belongs to its event loop."""

    def __init__(
        self,
        *,
        process: str,
        lane_of: Callable[[Decision, HttpRequest], str | None],
        breaker_of: Callable[[str], Breaker | None],
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`process` names this one in tallies; `lane_of` finds the lane that a request of a client
        is about; `breaker_of` makes a breaker by the rules of an upstream."""
        self.lane_of = lane_of
        self.observer = observer
        self.clock = clock
        self.wall = wall
        self.running: tuple[RunningDrill, ...] = ()
        self.active = False
        self._process = process
        self._breaker_of = breaker_of

    def begin(self, drill: Drill, upstream: str) -> RunningDrill | None:
        """Let `drill` begin; None when its time is over."""
        wall = self.wall()
        if not drill.is_due(wall):
            return None
        left_s = min(drill.ends_at - wall, drill.seconds)
        tally = Tally(drill_id=drill.drill_id, process=self._process)
        found = RunningDrill(drill, self.clock() + left_s, self._breaker_of(upstream), tally)
        self.running = (*self.running, found)
        self.active = True
        self.observer.note(
            "drill_started",
            drill=drill.drill_id,
            group=drill.group,
            side=drill.side.value,
            fault=str(drill.fault),
            left_s=round(left_s),
        )
        self.observer.note("drill", level=len(self.running))
        return found

    def end(self, drill_id: str, why: str) -> RunningDrill | None:
        """End a drill now; return it, None when it was not on."""
        found = next((each for each in self.running if each.drill.drill_id == drill_id), None)
        if found is None:
            return None
        self.running = tuple(each for each in self.running if each is not found)
        self.active = bool(self.running)
        found.tally.ended_at, found.tally.ended_why = self.wall(), why
        touched = found.tally.touched.total()
        self.observer.note("drill_ended", drill=drill_id, why=why, requests=touched)
        self.observer.note("drill", level=len(self.running))
        return found

    def review(self, groups: Iterable[GroupState]) -> list[RunningDrill]:
        """End drills whose group was switched since they began; return them."""
        if not self.active:
            return []
        epochs = {state.group: state.epoch for state in groups}
        ended = [
            self.end(each.drill.drill_id, "switched")
            for each in self.running
            if epochs.get(each.drill.group, 0) != each.drill.epoch
        ]
        return [each for each in ended if each is not None]

    def meet(self, call: Call) -> Meeting | None:
        """Return the request's meeting with its fault; None when no drill touches it."""
        now = self.clock()
        for running in self.running:
            if running.touches(call, now):
                return Meeting(self, running, call.touch)
        return None

    def fell_back(self, call: Call, status: int, took_s: float) -> None:
        """Hear that a read was answered by the other side, `took_s` after it came."""
        now = self.clock()
        for running in self.running:
            if running.touches(call, now):
                running.tally.fell_back[f"{status // 100}xx"] += 1
                running.tally.note_took("fell_back", took_s)
                return
