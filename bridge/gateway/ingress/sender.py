"""Send queued requests through the ordinary write path, at the rate that their route declares.

One process of all does it. Before a request is handed to the write path it is BEGUN, durably. When
the process dies then, its successor knows how it was begun: through the write journal, under the
`Idempotency-Key` that the request carries, it may be handed over again, because the journal knows
whether it was sent; past the journal nobody knows, so it is in doubt and never sent again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from bridge.gateway.dual.ports import WriteJournal
from bridge.gateway.http.problems import MARKER
from bridge.gateway.http.target import parse_authority
from bridge.gateway.ingress.entries import ended_entry
from bridge.gateway.ingress.pace import Pace
from bridge.gateway.ingress.ports import IngressBook, Kept, QueueState
from bridge.gateway.ingress.service import journal_key
from bridge.gateway.plane.keeper import Flight, TableKeeper
from bridge.gateway.plane.write_path import WritePath
from bridge.gateway.routes.decision import WRITES_LEGACY_ALONE, Decision
from bridge.gateway.routes.route import Route
from bridge.model.errors import StorageUnavailable
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.observer import Observer, SilentObserver
from bridge.model.write import WriteLevel

# What is looked at at once; more stays in the store.
_PAGE: Final = 1_000
_LOOK_S: Final = 0.05
# A table is adopted within this time by a process that has no request to do it for.
_POLL_S: Final = 0.01
_AGAIN_S_MIN, _AGAIN_S_MAX = 0.1, 5.0
_EXPIRE_EVERY_S: Final = 1.0
_EXPIRE_COUNT: Final = 1_000

_NOT_SENT: Final = frozenset(
    {
        b"key-busy", b"key-in-doubt", b"journal-unavailable", b"switching", b"upstream-unavailable",
        b"upstream-unreachable", b"upstream-busy", b"upstream-connect-timeout", b"write-running",
        b"no-route",
    }
)  # fmt: skip
"""Answers of our own after which the request is as it was: it is tried again later."""

_UNKNOWN: Final = frozenset({b"write-in-doubt", b"upstream-timeout", b"internal"})
"""Answers of our own that leave open whether it was carried out."""


class IngressSender:
    """Drains the queue of every route."""

    def __init__(
        self,
        *,
        book: IngressBook,
        journal: WriteJournal,
        path: WritePath,
        keeper: TableKeeper,
        route: Callable[[str, str], Route | None],
        observer: Observer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`route` finds (group, route id); `keeper` holds the table that requests are decided by,
        and tells switches that this process follows them."""
        self._book = book
        self._journal = journal
        self._path = path
        self._keeper = keeper
        self._route = route
        self._observer = observer or SilentObserver()
        self._clock = clock
        self._lanes: dict[tuple[str, str], deque[Kept]] = {}
        self._known: set[str] = set()
        self._paces: dict[tuple[str, str], Pace] = {}
        self._more = asyncio.Event()
        self._stopping = False
        self._stopped = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set, then let what was begun end."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_switches(stop))
            tasks.create_task(self._forget(stop))
            while not stop.is_set():
                found = self._look(tasks)
                self._more.clear()
                waiting = self._more.wait() if found >= _PAGE else stop.wait()
                try:
                    async with asyncio.timeout(_LOOK_S):
                        await waiting
                except TimeoutError:
                    pass
            self._stopping = True
            self._stopped.set()

    async def _rest(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._stopped.wait()
        except TimeoutError:
            pass

    def _look(self, tasks: asyncio.TaskGroup) -> int:
        try:
            found = self._book.unfinished(_PAGE)
        except StorageUnavailable as exc:
            self._observer.note("queue_unreadable", error=str(exc))
            return 0
        for kept in found:
            queued = kept.queued
            if queued.request_id in self._known:
                continue
            self._known.add(queued.request_id)
            lane = (queued.group, queued.lane)
            line = self._lanes.get(lane)
            if line is not None:
                line.append(kept)
            else:
                self._lanes[lane] = deque([kept])
                tasks.create_task(self._drain(lane))
        return len(found)

    async def _drain(self, lane: tuple[str, str]) -> None:
        """Send what waits in one lane, one after the other."""
        line = self._lanes[lane]
        while line and not self._stopping:
            kept = line[0]
            again_s = _AGAIN_S_MIN
            while not self._stopping and not await self._settled(kept):
                await self._rest(again_s)
                again_s = min(again_s * 2, _AGAIN_S_MAX)
                kept = replace(kept, state=QueueState.WAITING)
            line.popleft()
            self._known.discard(kept.queued.request_id)
            self._more.set()
        del self._lanes[lane]

    async def _settled(self, kept: Kept) -> bool:
        """Take one request as far as it goes; False when it has to be tried again."""
        route = self._route(kept.queued.group, kept.queued.route)
        try:
            if kept.state is QueueState.BEGUN and not self._may_be_sent_again(kept):
                await self._end(kept, QueueState.IN_DOUBT, None)
                return True
            if route is None:
                # Its route is gone from the files; somebody may bring it back.
                self._observer.note("queued_without_route", route=kept.queued.route)
                return False
            pace = self._paces.setdefault((route.group, route.route_id), Pace(route.ingress))
            async with pace:
                return self._stopping or await self._send(kept, route)
        except StorageUnavailable as exc:
            self._observer.note("queue_unwritable", error=str(exc))
            return False

    def _may_be_sent_again(self, kept: Kept) -> bool:
        """Whether the journal can tell if a request that was begun was sent.

        It can when it has the request; and when it has not, only if the request could not have gone
        past it: it was begun under the epoch that is still in force.
        """
        queued = kept.queued
        if not kept.guarded:
            return False
        if self._journal.keyed(queued.group, queued.route, journal_key(queued.request)) is not None:
            return True
        decision = self._decide(queued.request)
        return decision is not None and _guarded(decision) and decision.epoch == kept.epoch

    async def _send(self, kept: Kept, route: Route) -> bool:
        queued = kept.queued
        decision = self._decide(queued.request)
        if decision is None or decision.route.route_id != queued.route:
            self._observer.note("queued_without_route", route=queued.route)
            return False
        guarded = _guarded(decision)
        flight: Flight | None = None
        if decision.stage in WRITES_LEGACY_ALONE:
            # A switch waits for it, as for those of the workers.
            flight = self._keeper.flight
            flight.count += 1
        try:
            if kept.state is QueueState.WAITING and not await self._book.begin(
                queued.request_id, guarded=guarded, epoch=decision.epoch
            ):
                return True  # Cancelled.
            kept = replace(kept, state=QueueState.BEGUN, guarded=guarded, epoch=decision.epoch)
            if decision.journalled:
                response = await self._path.write(decision, queued.request)
            else:
                response = await self._path.read(decision, queued.request)
        finally:
            if flight is not None:
                flight.land()
        return await self._take(kept, route, response)

    async def _take(self, kept: Kept, route: Route, response: HttpResponse) -> bool:
        code = response.header(MARKER)
        too_old = self._clock() - kept.queued.accepted_at > route.ingress.give_up_s
        if code in _NOT_SENT and not too_old:
            while not self._stopping:
                try:
                    await self._book.put_back(kept.queued.request_id)
                    break
                except StorageUnavailable:
                    await asyncio.sleep(_AGAIN_S_MIN)
            return False
        if code in _UNKNOWN:
            await self._end(kept, QueueState.IN_DOUBT, None)
        else:
            await self._end(kept, QueueState.DONE, response)
        return True

    async def _end(self, kept: Kept, state: QueueState, response: HttpResponse | None) -> None:
        """Record the end, however long it takes: only this process knows the answer."""
        draft = ended_entry(kept, state, response, datetime.fromtimestamp(self._clock(), UTC))
        while True:
            try:
                await self._book.end(kept.queued.request_id, state, response, draft)
                break
            except StorageUnavailable:
                if self._stopping:
                    return
                await asyncio.sleep(_AGAIN_S_MIN)
        self._observer.note("queued_ended", route=kept.queued.route, state=state.value)

    def _decide(self, request: HttpRequest) -> Decision | None:
        raw = request.header(b"host")
        host = parse_authority(raw).name if raw is not None else None
        lines = [b"%b: %b" % pair for pair in request.headers]
        found = self._keeper.latest().decide(request.method, host, request.target, lines)
        return found if isinstance(found, Decision) else None

    async def _follow_switches(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._keeper.poll()
            await asyncio.sleep(_POLL_S)

    async def _forget(self, stop: asyncio.Event) -> None:
        """Drop answers that were kept long enough."""
        while not stop.is_set():
            now = self._clock()
            for (_, route_id), pace in list(self._paces.items()):
                try:
                    ended_before = now - pace.rules.retain_s
                    await self._book.expire(route_id, ended_before, now, _EXPIRE_COUNT)
                except StorageUnavailable:
                    break
            try:
                async with asyncio.timeout(_EXPIRE_EVERY_S):
                    await stop.wait()
            except TimeoutError:
                pass


def _guarded(decision: Decision) -> bool:
    """Whether the journal has the intent before a byte leaves."""
    return (
        decision.journalled
        and decision.stage not in WRITES_LEGACY_ALONE
        and decision.route.dual.level is not WriteLevel.OUTCOME
    )
