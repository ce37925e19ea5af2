"""Replay the journal's lanes to the other side: each lane in order, many lanes at once.

Exactly one replayer runs at a time (its process holds a lock). It is told of new entries by asking
the journal every few milliseconds; everything it knows it can read again, so it may die at any
moment. A write that was sent and not yet recorded is then sent again: at least once, made harmless
by the `Idempotency-Key` and by what counts as "already there" (`replay_verdict`).
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from bridge.gateway.dual.compensation import Compensator, Undoing
from bridge.gateway.dual.ports import IdTaken, ReplayQueue, WriteStateForbidden
from bridge.gateway.dual.replay_attempt import Attempts, Ready
from bridge.gateway.dual.replay_breaker import Breaker
from bridge.gateway.dual.replay_places import LaneKey, Places
from bridge.gateway.dual.replay_verdict import Ending, Verdict, age_s, state_after
from bridge.gateway.dual.retry_budget import Budget, RetryBudget
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.dual import Conflict
from bridge.model.errors import StorageUnavailable
from bridge.model.observer import Observer, SilentObserver
from bridge.model.write import JournalledWrite, WriteState


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayLimits:
    """How much at once, how often, how long."""

    concurrency_per_upstream: int = 16
    """Requests in flight to one; a weak legacy system must keep room for its own users."""
    concurrency: int = 256
    """In flight in all: a request and its answer are in memory. Sixteen upstreams at their most."""
    poll_ms: int = 5
    news_count_max: int = 1_000
    lanes_count_max: int = 100_000
    """Lanes known at once; those beyond are found again when these are drained."""
    backoff_ms_min: int = 50
    backoff_ms_max: int = 30_000
    sweep_ms: int = 250
    """Between two looks for intents whose process died."""
    rescan_s: float = 30.0
    """Between two looks at every lane, should a hint have been missed."""
    keep_final_s: float = 24 * 3600.0
    """How long settled writes, and with them used Idempotency-Keys, are remembered."""


class _Rest(NamedTuple):
    """A lane waits until its upstream answers again."""

    upstream: str


class _Crowded(NamedTuple):
    """A lane waits for a place at its upstream, and is ready by itself when there is one."""


class Replayer:
    """Drains the lanes of every group."""

    def __init__(
        self,
        *,
        queue: ReplayQueue,
        attempts: Attempts,
        compensator: Compensator,
        route: Callable[[str, str], Route | None],
        alive: Callable[[str], bool],
        now: Callable[[], datetime],
        limits: ReplayLimits | None = None,
        observer: Observer | None = None,
        chance: Callable[[], float] = random.random,
        budget_of: Callable[[str], Budget] = lambda _: RetryBudget(),
    ) -> None:
        """`route` finds (group, route id); `alive` tells whether an intent's owner still lives.

        `budget_of` returns what bounds the repeats to an upstream.
        """
        self._budget_of = budget_of
        self._queue = queue
        self._attempts = attempts
        self._compensator = compensator
        self._route = route
        self._alive = alive
        self._now = now
        self._budgets: dict[str, Budget] = {}
        self._limits = limits or ReplayLimits()
        self._observer = observer or SilentObserver()
        self._chance = chance
        self._breakers: dict[str, Breaker] = {}
        self._known: set[LaneKey] = set()
        """Lanes that are ready, being worked on, or waiting for their next attempt."""
        self._resting: dict[str, deque[LaneKey]] = {}
        """Lanes by the upstream that must answer again first."""
        self._stopping = False
        self._places = Places(self._limits.concurrency_per_upstream, self._limits.concurrency)
        self._failures: dict[LaneKey, int] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Replay until `stop` is set, then let what was sent end; once per replayer.

        A fault of our own ends it at once, as an `ExceptionGroup`: what it knew can be read again.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._keep_house(stop))
            try:
                await self._follow(stop)
            finally:
                self._stopping = True

    async def _follow(self, stop: asyncio.Event) -> None:
        through, nudge, scanned_at = 0, -1, _clock()
        while not stop.is_set():
            found = 0
            try:
                if len(self._known) < self._limits.lanes_count_max:
                    news = self._queue.news(through, self._limits.news_count_max)
                    found = len(news.lanes)
                    for group, lane, _ in news.lanes:
                        self._wake((group, lane))
                    through = news.through
                    again = _clock() - scanned_at > self._limits.rescan_s
                    if news.nudge != nudge or again:
                        through, nudge, scanned_at = 0, news.nudge, _clock()
            except StorageUnavailable as exc:
                self._observer.note("lanes_unreadable", error=str(exc))
            for upstream in self._resting:
                if self._breakers[upstream].due(_clock()):
                    self._rouse(upstream, 1)
            if found < self._limits.news_count_max:
                await _pause(stop, self._limits.poll_ms / 1000)
            else:
                await asyncio.sleep(0)

    def _wake(self, key: LaneKey) -> None:
        if key not in self._known:
            self._known.add(key)
            self._back(key)

    def _back(self, key: LaneKey) -> None:
        self._places.ready.append(key)
        self._fill()

    def _fill(self) -> None:
        while not self._stopping and (key := self._places.begin()) is not None:
            assert self._tasks is not None, "lanes are woken only while running"
            self._tasks.create_task(self._work(key))

    async def _work(self, key: LaneKey) -> None:
        """Replay one lane as far as it goes, then leave the place to the next."""
        rest: _Rest | _Crowded | float | None = None
        try:
            rest = await self._drain(key)
        except StorageUnavailable:
            rest = self._limits.backoff_ms_min / 1000
        finally:
            self._places.end(key)
            if rest is None or self._stopping:
                # Whatever comes after our last look at the lane is news, and wakes it again.
                self._known.discard(key)
                self._failures.pop(key, None)
            elif isinstance(rest, _Rest):
                self._resting.setdefault(rest.upstream, deque()).append(key)
            elif not isinstance(rest, _Crowded):
                asyncio.get_running_loop().call_later(rest, self._back, key)
            self._fill()

    def _rouse(self, upstream: str, count_max: int) -> None:
        """Let lanes go on that rest because of their upstream."""
        resting = self._resting.get(upstream, deque())
        for _ in range(min(count_max, len(resting))):
            self._back(resting.popleft())

    async def _drain(self, key: LaneKey) -> _Rest | _Crowded | float | None:
        """Replay the lane's writes in order; return what it waits for, None when it is empty."""
        while not self._stopping:
            write = self._queue.head(*key)
            if write is None:
                return None
            route = self._route(write.intent.group, write.intent.route)
            side = write.intent.authority.other
            if route is None or side not in route.upstreams:
                missing = f"has no route {write.intent.route!r}"
                await self._record(write, route, Verdict(Ending.PARK, missing))
                continue
            if self._compensator.begun(write, route):
                if not self._may_send(key, route.upstreams[side.other]):
                    return _Crowded()
                pause_s: _Rest | float | None = await self._undo(key, write, route, "")
            else:
                if not self._may_send(key, route.upstreams[side]):
                    return _Crowded()
                ready = self._attempts.prepare(write, route, side)
                if isinstance(ready, Verdict):
                    await self._record(write, route, ready)
                    continue
                pause_s = await self._attempt(key, ready)
            if pause_s is not None:
                return pause_s
        return None

    def _may_send(self, key: LaneKey, upstream: str) -> bool:
        may = self._places.take(key, upstream)
        self._fill()  # With the place that the lane may have had at another upstream.
        return may

    async def _attempt(self, key: LaneKey, ready: Ready) -> _Rest | float | None:
        """Send once and record; return what the lane then waits for, None when it goes on."""
        write, route = ready.write, ready.route
        upstream = route.upstreams[ready.side]
        breaker = self._breakers.setdefault(upstream, Breaker())
        budget = self._budgets.get(upstream)
        if budget is None:
            budget = self._budgets[upstream] = self._budget_of(upstream)
        if not breaker.admits(_clock()):
            return _Rest(upstream)
        if write.attempts == 0:
            budget.earn()
        elif not breaker.is_open and not budget.spend(_clock()):
            # A probe is bounded by the breaker itself.
            return self._chance() * self._limits.backoff_ms_min / 1000
        answered = False
        try:
            verdict, answered, reached = await self._attempts.send(ready)
        finally:
            if answered:
                breaker.succeeded()
                self._rouse(upstream, self._limits.lanes_count_max)
            else:
                breaker.failed(_clock(), self._chance())
        dead_s = route.dual.ages.dead_s
        if verdict.ending is Ending.RETRY and age_s(write, self._now()) > dead_s:
            verdict = Verdict(Ending.PARK, f"{verdict.reason}, for more than {dead_s:g} s")
        if verdict.ending is Ending.REFUSED and route.dual.conflict is Conflict.COMPENSATE:
            return await self._undo(key, write, route, verdict.reason or "")
        await self._record(write, route, verdict)
        if verdict.ending is Ending.RETRY:
            if breaker.is_open and not reached:
                return _Rest(upstream)  # The upstream's trouble alone: it is probed soon.
            # Whatever else the upstream answers meanwhile: this write may be what it fails at.
            return self._backoff_s(key, verdict)
        self._failures.pop(key, None)
        return None

    async def _undo(
        self, key: LaneKey, write: JournalledWrite, route: Route, why: str
    ) -> float | None:
        """Compensate; return how long the lane waits before it is looked at again."""
        undone = await self._compensator.undo(write, route)
        if undone.how is Undoing.UNDONE:
            self._failures.pop(key, None)
            self._observer.note("replay_compensated", group=route.group)
            return None
        reason = "; ".join(text for text in (why, undone.reason) if text)
        if undone.how is Undoing.REFUSED:
            await self._record(write, route, Verdict(Ending.PARK, reason))
            return None
        verdict = Verdict(Ending.RETRY, reason or "refused; is being undone")
        await self._record(write, route, verdict)
        return self._backoff_s(key, verdict)

    async def _record(self, write: JournalledWrite, route: Route | None, verdict: Verdict) -> None:
        """Make the verdict durable, however long it takes: sending again would be the price."""
        intent = write.intent
        side = intent.authority.other.value
        reason = None if verdict.reason is None else f"{side} {verdict.reason}"
        state = state_after(route, verdict)
        if verdict.ending is Ending.REFUSED and state is WriteState.SKIPPED:
            reason = f"{reason}; to be reconciled"
        ids = verdict.ids
        while True:
            try:
                if verdict.ending is Ending.RETRY:
                    await self._queue.retry_later(intent.intent_id, reason or "")
                else:
                    await self._queue.finish(intent.intent_id, state, ids=ids, reason=reason)
                break
            except IdTaken as exc:
                state, ids, reason = WriteState.PARKED, (), str(exc)
            except WriteStateForbidden:
                break  # A person decided about it meanwhile.
            except StorageUnavailable:
                if self._stopping:
                    return
                await asyncio.sleep(self._limits.backoff_ms_min / 1000)
        self._observer.note(
            "replay_retried" if verdict.ending is Ending.RETRY else f"replay_{state.value}",
            group=intent.group,
            side=side,
            attempts=write.attempts + 1,
        )

    def _backoff_s(self, key: LaneKey, verdict: Verdict) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        if verdict.retry_after_s is not None:
            return verdict.retry_after_s
        limits = self._limits
        most_ms = min(limits.backoff_ms_max, limits.backoff_ms_min << min(failures, 20))
        # Full jitter: lanes that failed together do not come back together.
        return self._chance() * most_ms / 1000

    async def _keep_house(self, stop: asyncio.Event) -> None:
        """Put intents of dead processes in doubt; forget what was final long ago."""
        while not stop.is_set():
            try:
                for owner in self._queue.open_owners():
                    if not self._alive(owner):
                        count = len(await self._queue.orphan(owner))
                        self._observer.note("writes_orphaned", owner=owner, writes=count)
                # A thousand at a time, four times a second, keeps up with any load of ours.
                await self._queue.prune(self._limits.keep_final_s, 1_000)
            except StorageUnavailable as exc:
                self._observer.note("lanes_unreadable", error=str(exc))
            await _pause(stop, self._limits.sweep_ms / 1000)


def _clock() -> float:
    """Return the loop's time: monotonic seconds, or a rehearsal's."""
    return asyncio.get_running_loop().time()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
