"""The tap that copies requests to the other side, and keeps all of it within bounds.

A request is copied when its route says so at its stage, when it is chosen by chance or by its key,
when the second's copies are not used up, and when the other side has room for one more. Each "no"
is counted with its reason. What follows is the pair's (`pair`) and the judge's (`judge`).
"""

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from bridge.gateway.comparison.book import ComparisonBook
from bridge.gateway.dual.admission import Admission
from bridge.gateway.dual.ports import IdMap, LaneState
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.routes.cohort import bucket_of, in_cohort
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.sections.shadow import SAFE
from bridge.gateway.shadow.copied_request import is_marked
from bridge.gateway.shadow.counts import RouteCounts
from bridge.gateway.shadow.judge import Judge
from bridge.gateway.shadow.limits import Budget, ShadowLimits
from bridge.gateway.shadow.pace import Pace
from bridge.gateway.shadow.pair import AFTER, TOGETHER, Orders, Pair
from bridge.gateway.shadow.shadowed_route import ShadowedRoute
from bridge.gateway.shadow.spool import Spool, SpooledCopy
from bridge.gateway.upstream_ports import UpstreamPool
from bridge.model.errors import StorageUnavailable
from bridge.model.http import Headers
from bridge.model.observer import Observer, SilentObserver
from bridge.model.stage import Side

# Counts are told once a second; the worker's tick is a tenth of one.
_TICKS_PER_REPORT: Final = 10

_ALONE_TOGETHER: Final = Orders(TOGETHER, None)
_ALONE_AFTER: Final = Orders(AFTER, None)


class Lanes(Protocol):
    """The write journal, as far as comparisons ask it."""

    def lane_state(self, group: str, lane: str) -> LaneState:
        """Return what stands in the lane's way now."""


class PooledWay:
    """A pool of our own to one upstream, and its pace."""

    def __init__(self, pool: UpstreamPool, limit: int) -> None:
        self.pool = pool
        self.pace = Pace(limit)


class Mirror:
    """`Tap` of the data plane; belongs to one worker's event loop."""

    def __init__(
        self,
        *,
        open_pool: Callable[[str, int], UpstreamPool],
        book: ComparisonBook,
        ids: IdMap | None = None,
        journal: Lanes | None = None,
        limits: ShadowLimits | None = None,
        spool_folder: Path | None = None,
        credentials: Mapping[str, Headers] | None = None,
        observer: Observer | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """`open_pool` makes a pool for an upstream's name with at most so many connections.

        `ids` and `journal` are those of the write path; `credentials` are shown to an upstream in
        place of the client's; `spool_folder` is on the disk where large bodies may wait.
        """
        self._open_pool = open_pool
        self._book = book
        self._ids = ids
        self._journal = journal
        self._admission = None if ids is None else Admission(ids)
        self._limits = limits or ShadowLimits()
        self._credentials = credentials or {}
        self._observer = observer or SilentObserver()
        self._chance = (chance or random.Random()).random
        self.budget = Budget(self._limits.bytes_max)
        self.spool = Spool(spool_folder, self._limits.spool_bytes_max, self.budget)
        self._judge = Judge(
            book,
            backlog_max=self._limits.backlog_max,
            turn_us=self._limits.turn_us,
            observer=self._observer,
            pending=self._pending,
        )
        self.ways: dict[tuple[str, bool], PooledWay] = {}
        """By upstream, and whether it gets copies (or probes)."""
        self._routes: dict[tuple[str, Side], ShadowedRoute] = {}
        """By route and the side that answers: at `canary` there are two."""
        self._counts: dict[str, RouteCounts] = {}
        self.pairs: set[Pair] = set()
        """Pairs that hold something."""
        self._ticks = 0
        self._closed = False

    # -- the data plane's side ------------------------------------------------------------------

    def follow(self, decision: Decision, head: RequestHead, block: bytes) -> Pair | None:
        """Return the pair that watches this exchange, or None when it is not copied."""
        shadowed = self._routes.get((decision.route.route_id, decision.authority))
        if (
            shadowed is None
            or shadowed.route is not decision.route
            or shadowed.stage is not decision.stage
        ):
            shadowed = self._make(decision)
        counts = shadowed.counts
        counts.seen += 1
        if shadowed.share < 1 and not self._is_chosen(shadowed, decision, head, block):
            return None
        pace = shadowed.pace
        if pace.in_flight >= pace.limit and head.method in SAFE:
            # First, because it must cost least: a shadow that hangs sends every request here.
            if pace.lowered:
                counts.slow += 1
            else:
                counts.busy += 1
            return None
        safe = head.method in SAFE
        reason = self._why_not(shadowed, head, block, safe=safe)
        if reason:
            counts.shed[reason] += 1
            return None
        pair = Pair(
            shadowed,
            decision,
            head,
            block,
            orders=self._orders(shadowed, safe=safe),
            budget=self.budget,
            body=self._body(shadowed) if head.length else None,
            owner=self,
            observer=self._observer,
        )
        self.pairs.add(pair)
        return pair

    def tick(self, now: float) -> None:
        """Give up what is too old, and tell what was counted."""
        for pair in tuple(self.pairs):
            if pair.deadline < now:
                pair.expire()
        self._judge.tick(now)
        for way in self.ways.values():
            way.pool.tick(now)
        self._ticks += 1
        if self._ticks % _TICKS_PER_REPORT == 0:
            self.report()

    def close(self) -> None:
        """Let go of everything at once."""
        if self._closed:
            return
        self._closed = True
        self._judge.close()
        for pair in tuple(self.pairs):
            pair.gave_up = True
            pair.end()
        for way in self.ways.values():
            way.pool.close()
        self.spool.close()
        self.report()

    # -- the pairs' side ------------------------------------------------------------------------

    def whole(self, pair: Pair) -> None:
        """Compare it when there is time."""
        self._judge.add(pair)

    def ended(self, pair: Pair) -> None:
        """It holds nothing any more."""
        self.pairs.discard(pair)

    # -- inside ---------------------------------------------------------------------------------

    def report(self) -> None:
        """Tell the observer what was counted since the last time."""
        for (route_id, _), shadowed in self._routes.items():
            facts = shadowed.counts.facts()
            if facts:
                self._observer.note(
                    "shadow", **{f"{route_id}.{name}": count for name, count in facts.items()}
                )
                self._enter(shadowed)
                shadowed.counts = RouteCounts()
        self._judge.forget_heads()
        self._observer.note(
            "shadow_held",
            pairs=len(self.pairs), held_bytes=self.budget.held, backlog=self._judge.waiting_count,
        )  # fmt: skip

    def _enter(self, shadowed: ShadowedRoute) -> None:
        """Enter into the book what a verdict has to say of the copies themselves."""
        route, counts = shadowed.route, shadowed.counts
        verdicts = self._book.of(route.route_id, route.comparison).verdicts
        verdicts.add_requests(counts.seen)
        for reason, count in (counts.shed + counts.uncompared).items():
            verdicts.add_shed(reason, count)
        for (side, cohort), times in counts.latencies.items():
            for took_ms, count in times.each():
                verdicts.add_latency(Side(side), took_ms, count, cohort=cohort)
        for (order, same), count in counts.orders.items():
            verdicts.add_order(order, count, same=same)
        for order, skew in counts.skew_ms.items():
            for took_ms, count in skew.each():
                verdicts.add_skew(order, took_ms, count)

    def _make(self, decision: Decision) -> ShadowedRoute:
        route, authority = decision.route, decision.authority
        known = self._routes.get((route.route_id, authority))
        made = self._routes[route.route_id, authority] = ShadowedRoute(
            decision,
            copies=self._way(route.upstreams[authority.other], copies=True),
            probes=self._way(route.upstreams[authority], copies=False),
            counts=RouteCounts() if known is None else known.counts,
            credentials=self._credentials.get(route.upstreams[authority.other], ()),
            ids=self._ids if decision.epoch else None,
            now=time.monotonic(),
        )
        return made

    def _way(self, upstream: str, *, copies: bool) -> PooledWay:
        found = self.ways.get((upstream, copies))
        if found is None:
            limit = self._limits.copies_max if copies else self._limits.probes_max
            found = PooledWay(self._open_pool(upstream, limit), limit)
            self.ways[upstream, copies] = found
        return found

    def _is_chosen(
        self, shadowed: ShadowedRoute, decision: Decision, head: RequestHead, block: bytes
    ) -> bool:
        share = shadowed.share
        if shadowed.key is None:
            return self._chance() < share
        try:
            lane = shadowed.lane(decision, head, block)
        except StorageUnavailable:
            return False  # It is not known whose it is; the next ones are.
        # As a ramp deals them: the keys copied at 20 % are those read on modern at 20 %.
        return lane is not None and in_cohort(bucket_of(shadowed.salt, lane), share * 100)

    def _why_not(
        self, shadowed: ShadowedRoute, head: RequestHead, block: bytes, *, safe: bool
    ) -> str:
        if not safe and not shadowed.takes(head.method):
            return "unsafe_method"
        if is_marked(block):
            return "copy_of_copy"
        if self._closed or len(self.pairs) - self._judge.waiting_count >= self._limits.waiting_max:
            return "waiting_room"
        if self._judge.waiting_count >= self._limits.backlog_max:
            return "backlog"
        if not shadowed.bucket.take(time.monotonic()):
            return "rate"
        return ""

    def _orders(self, shadowed: ShadowedRoute, *, safe: bool) -> Orders:
        if not safe:
            # A write goes to the stand-in in the order in which the authority answered.
            return _ALONE_AFTER
        chance = self._chance
        orders = _ALONE_TOGETHER if chance() < 0.5 else _ALONE_AFTER
        if chance() >= shadowed.noise_fraction:
            return orders
        if not shadowed.probe_bucket.take(time.monotonic()):
            return orders
        return Orders(orders.copy, TOGETHER if chance() < 0.5 else AFTER)

    def _body(self, shadowed: ShadowedRoute) -> SpooledCopy:
        return self.spool.copy(shadowed.rules.request_bytes_max)

    def _pending(self, decision: Decision) -> bool:
        """Whether the other side has still to be told of writes to the key in the path."""
        if self._journal is None or self._admission is None or not decision.epoch:
            return False
        try:
            lane = self._admission.lane_of_read(decision, None)
            if lane is None:
                return False
            state = self._journal.lane_state(decision.route.group, lane)
        except StorageUnavailable:
            return True
        return state.unreplayed_to is not None or state.in_flight is not None
