"""A pool that protects its upstream: rate, concurrency, a bounded queue, a breaker, a retry budget.

It stands in front of another pool and has its manners, so that whoever forwards, writes or replays
does not know about it. An upstream for which nothing is declared has no such pool.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final

from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.protection.adaptive_limit import AdaptiveLimit
from bridge.gateway.protection.breaker import Breaker, BreakerState
from bridge.gateway.protection.guarded_exchange import GuardedExchange
from bridge.gateway.protection.retry_budget import RetryBudget
from bridge.gateway.protection.token_bucket import TokenBuckets
from bridge.gateway.protection.waiting_line import WaitingLine
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.protection import Priority
from bridge.gateway.upstream_ports import (
    Failure,
    FailureKind,
    NamedPool,
    UpstreamConnection,
    UpstreamUser,
)
from bridge.model.observer import Observer

# Answers of a server, or of a proxy before it, that has no room or is not there.
_FAILED_STATUSES: Final = frozenset((502, 503, 504))
# Naming a member of an enum takes a call of Python code each time (3.11).
_CLOSED: Final = BreakerState.CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """What protects one upstream from one worker; None where nothing is declared."""

    limit: AdaptiveLimit | None
    queue_max: int
    queue_wait_s: float
    breaker: Breaker | None
    bucket: TokenBuckets | None
    retries: RetryBudget


def route_of(user: UpstreamUser) -> Route | None:
    """Return the route that a user works for, where it has one; the write path has many."""
    return getattr(user, "route", None)


class GuardedPool:
    """See `bridge.gateway.upstream_ports.UpstreamPool`. Belongs to one event loop."""

    def __init__(
        self,
        pool: NamedPool,
        guards: Guards,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = pool.name
        self.in_flight = 0
        self.shed = 0
        """Requests that were refused because there was no room, since the last report."""
        self.clock = clock
        self.timed = guards.limit is not None
        self._pool = pool
        self._guards = guards
        self._observer = observer
        self._line: WaitingLine[UpstreamUser] = WaitingLine(guards.queue_max)
        self._ordered: dict[UpstreamUser, GuardedExchange] = {}
        self._letting_in = False
        self._repeating = False
        self._retries_refused = 0
        self._reported_at = 0.0

    # -- what users do --------------------------------------------------------------------------

    @property
    def host_line(self) -> bytes:
        """`Host: …` of the upstream."""
        return self._pool.host_line

    @property
    def waiting_count(self) -> int:
        """How many wait for room."""
        return len(self._line)

    def take(self, *, checked: bool) -> UpstreamConnection | None:
        """Return an idle connection, if there is room and nobody waits for it."""
        guards = self._guards
        breaker = guards.breaker
        if guards.bucket is not None or self._line.count or (self.timed and not self._has_room()):
            return None
        if breaker is not None and breaker.state is not _CLOSED:
            return None
        link = self._pool.take(checked=checked)
        if link is None:
            return None
        guards.retries.earn()
        self.in_flight += 1
        return GuardedExchange(self, 0 if breaker is None else breaker.epoch, link)

    def order(self, user: UpstreamUser) -> None:
        """Call `user.connected` or `user.failed` once, perhaps before returning."""
        guards = self._guards
        now = self.clock()
        if self._repeating:
            self._repeating = False
        else:
            guards.retries.earn()
        breaker = guards.breaker
        if breaker is not None and not breaker.let_through(now):
            left_s = max(breaker.open_until - now, 0.0)
            self._refuse(user, "has failed too often and is given a rest", left_s)
        elif guards.bucket is not None and not (taken := guards.bucket.take("", now)).ok:
            self._withdraw_probe(self._epoch)
            self._refuse(user, "gets no more requests a second", taken.wait_s)
        elif self._has_room() and not len(self._line):
            self._begin(user)
        else:
            self._withdraw_probe(self._epoch)
            route = route_of(user)
            priority = Priority.NORMAL if route is None else route.protection.priority
            out = self._line.join(user, priority, now + guards.queue_wait_s)
            if out is not None:
                self._refuse(out, f"has {self.in_flight} requests and {len(self._line)} waiting")

    def cancel(self, user: UpstreamUser) -> None:
        """Forget an order."""
        exchange = self._ordered.pop(user, None)
        if exchange is not None:
            self._pool.cancel(exchange)
            exchange.give_up()
        elif len(self._line):
            self._line.leave(user)

    def may_repeat(self) -> bool:
        """Return whether the budget has a second try; if so, the next order is it."""
        self._repeating = self._guards.retries.spend(self.clock())
        if not self._repeating:
            self._retries_refused += 1
        return self._repeating

    def tick(self, now: float) -> None:
        """Fail those who have waited too long; report what was shed."""
        self._pool.tick(now)
        if self._guards.breaker is not None:
            self._guards.breaker.look(now)
        for user in self._line.late(now):
            wait_ms = self._guards.queue_wait_s * 1000
            self._refuse(user, f"had no room within {wait_ms:.0f} ms")
        if now - self._reported_at >= 1.0:
            self._reported_at = now
            self._report()

    def close(self) -> None:
        """Close every connection at once; whoever waits is told."""
        self._pool.close()
        while (user := self._line.next()) is not None:
            user.failed(Failure(FailureKind.UNREACHABLE, f"upstream {self.name!r} is closed"))
        self._report()

    # -- what exchanges tell --------------------------------------------------------------------

    def connected(self, user: UpstreamUser) -> None:
        """An ordered exchange has its connection."""
        self._ordered.pop(user, None)

    def answered(self, epoch: int, user: UpstreamUser, head: ResponseHead, took_s: float) -> None:
        """An exchange has the head of its answer."""
        failed = head.status in _FAILED_STATUSES
        breaker = self._guards.breaker
        if not (failed or self.timed):
            if breaker is None:
                return
            if breaker.state is _CLOSED and epoch == breaker.epoch:
                breaker.well += 1
                return
        if not failed and self._guards.limit is not None:
            route = route_of(user)
            kind = "" if route is None else route.route_id
            self._guards.limit.answered(kind, took_s, self.in_flight)
        self._learn(epoch, failed=failed)

    def failed(self, epoch: int, user: UpstreamUser, failure: Failure) -> None:
        """An exchange has no answer."""
        self._ordered.pop(user, None)
        if failure.kind is not FailureKind.BUSY and not failure.stale:
            self._learn(epoch, failed=True)
        else:
            self._withdraw_probe(epoch)

    def given_up(self, epoch: int, *, late: bool) -> None:
        """An exchange was left without an answer; `late`: because none came in time."""
        if late:
            self._learn(epoch, failed=True)
        else:
            self._withdraw_probe(epoch)

    def freed(self) -> None:
        """There is room for one more."""
        self.in_flight -= 1
        if not self._line.count or self._letting_in:
            return
        self._letting_in = True
        try:
            while len(self._line) and self._has_room():
                user = self._line.next()
                assert user is not None, "a line with nobody in it"
                self._begin(user)
        finally:
            self._letting_in = False

    # -- inside ---------------------------------------------------------------------------------

    def _learn(self, epoch: int, *, failed: bool) -> None:
        guards = self._guards
        if failed and guards.limit is not None:
            guards.limit.failed()
        breaker = guards.breaker
        if breaker is not None and breaker.ended(self.clock(), epoch, failed=failed):
            self._observer.note("breaker", upstream=self.name, state=breaker.state.value)

    @property
    def _epoch(self) -> int:
        breaker = self._guards.breaker
        return 0 if breaker is None else breaker.epoch

    def _has_room(self) -> bool:
        limit = self._guards.limit
        return limit is None or self.in_flight < limit.limit

    def _begin(self, user: UpstreamUser) -> None:
        self.in_flight += 1
        link = self._pool.take(checked=True)
        if link is not None:
            user.connected(GuardedExchange(self, self._epoch, link))
            return
        exchange = GuardedExchange(self, self._epoch, None, user)
        self._ordered[user] = exchange
        self._pool.order(exchange)

    def _report(self) -> None:
        shed, self.shed = self.shed, 0
        if shed:
            self._observer.note("shed", upstream=self.name, requests=shed)
        refused, self._retries_refused = self._retries_refused, 0
        if refused:
            self._observer.note("retry_refused", upstream=self.name, requests=refused)

    def _withdraw_probe(self, epoch: int) -> None:
        if self._guards.breaker is not None:
            self._guards.breaker.withdraw(epoch)

    def _refuse(self, user: UpstreamUser, why: str, retry_after_s: float = 1.0) -> None:
        self.shed += 1
        detail = f"upstream {self.name!r} {why}"
        wait_s = max(1, ceil(retry_after_s))
        user.failed(Failure(FailureKind.BUSY, detail, retry_after_s=wait_s))
