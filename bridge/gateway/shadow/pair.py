"""Two answers to one request, whichever comes first: the authority's, and that of its copy.

A pair has up to three parts: the authority's exchange, which it only watches; the copy; and, for
some reads, a probe, the same request to the authority once more. Copy and probe begin together with
the authority's call or after its answer, by the toss of a coin each: what warms a cache for whom
then shows in the counts instead of in the verdict. When nothing is outstanding any more, the pair
goes to its comparison, or is counted with the reason why there is none.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.plane.tap import Followed
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.sections.shadow import SAFE
from bridge.gateway.shadow.copied_request import COPY, PROBE, plain_copy
from bridge.gateway.shadow.copy_call import CopyCall
from bridge.gateway.shadow.limits import Budget, BudgetCopy
from bridge.gateway.shadow.shadowed_route import ShadowedRoute, Way
from bridge.gateway.shadow.spool import SpooledCopy
from bridge.model.errors import StorageUnavailable
from bridge.model.observer import Observer
from bridge.model.stage import Side

TOGETHER: Final = "together"
AFTER: Final = "after"


class Orders(NamedTuple):
    """When the calls of a pair begin; None for a probe that is not made."""

    copy: str
    probe: str | None


class PairOwner(Protocol):
    """Whoever made a pair."""

    def whole(self, pair: "Pair") -> None:
        """Nothing is outstanding, and there is something to compare; `pair.end` is the owner's."""

    def ended(self, pair: "Pair") -> None:
        """It holds nothing any more."""


class Pair(Followed):
    """See the module."""

    __slots__ = (
        "_budget", "_owner", "answer", "copy", "deadline", "finished", "orders", "probe",
        "shadowed", "spooled",
    )  # fmt: skip

    def __init__(
        self,
        shadowed: ShadowedRoute,
        decision: Decision,
        head: RequestHead,
        block: bytes,
        *,
        orders: Orders,
        budget: Budget,
        body: SpooledCopy | None,
        owner: PairOwner,
        observer: Observer,
    ) -> None:
        rules = shadowed.rules
        answer = BudgetCopy(rules.answer_bytes_max, budget)
        super().__init__(decision, head, block, body=body, answer=answer, observer=observer)
        self.shadowed = shadowed
        self.orders = orders
        self.spooled = body
        self._budget = budget
        self._owner = owner
        self.answer = answer
        self.copy: CopyCall | None = None
        self.probe: CopyCall | None = None
        self.finished = False
        self.deadline = self.began_at + decision.route.phases.first_byte_s + rules.timeout_ms / 1000
        """Monotonic seconds at which it is given up: a body may come slowly, and holds memory."""

    # -- from the data plane --------------------------------------------------------------------

    def on_request(self) -> None:
        """The request is whole and on its way."""
        # From now on the authority has as long for its answer as the copy.
        shadowed, orders = self.shadowed, self.orders
        self.deadline = time.monotonic() + shadowed.timeout_s
        if orders.copy == TOGETHER:
            self._send_copy()
        if orders.probe == TOGETHER and not self.finished:
            self._send_probe()

    def on_answer(self) -> None:
        """The authority's answer is whole."""
        if self.finished:
            return
        shadowed = self.shadowed
        took_s = self.ended_at - self.began_at
        orders = self.orders
        shadowed.counts.took(shadowed.authority_key[1], shadowed.cohort, took_s * 1000)
        shadowed.pace.authority_took(took_s)
        if orders.copy == AFTER:
            self._send_copy()
        if orders.probe == AFTER and not self.finished:
            self._send_probe()
        copy = self.copy
        if copy is not None and copy.done:
            self._look()

    def on_given_up(self, reason: str) -> None:
        """There is no whole answer of the authority, or no whole request."""
        if not self.finished:
            counts = self.shadowed.counts
            (counts.shed if self.copy is None else counts.uncompared)[reason] += 1
            self.end()

    # -- its copies -----------------------------------------------------------------------------

    def _send_copy(self) -> None:
        shadowed = self.shadowed
        pace = shadowed.pace
        if pace.in_flight >= pace.limit:
            self.shed("slow" if pace.lowered else "busy")
            return
        call = self.call(shadowed.target, COPY, self._copy_ended)
        if call is None:
            self.shed("ids_unavailable")
            return
        shadowed.counts.copied += 1
        pace.in_flight += 1
        self.copy = call
        call.begin()
        self.deadline = call.began_at + shadowed.timeout_s

    def _send_probe(self) -> None:
        shadowed = self.shadowed
        pace = shadowed.probes.pace
        call = None
        if pace.has_room():
            call = self.call(shadowed.authority, PROBE, self._probe_ended)
        if call is None:
            shadowed.counts.probed["busy"] += 1
            return
        self.deadline = time.monotonic() + shadowed.rules.timeout_ms / 1000
        pace.in_flight += 1
        self.probe = call
        call.begin()

    def way_to(self, side: Side) -> Way:
        """Return how requests of ours reach `side`."""
        return self.shadowed.copies if side is self.shadowed.target else self.shadowed.probes

    def call(self, side: Side, mark: bytes, ended: Callable[[CopyCall], None]) -> CopyCall | None:
        """Return a call of the same request to `side`, not begun; None without the id map."""
        shadowed, spooled, head = self.shadowed, self.spooled, self.head
        if spooled is None and shadowed.copies_plainly and side is shadowed.target:
            return CopyCall(
                self.way_to(side).pool,
                head.method,
                plain_copy(head.start, self.block, mark),
                BudgetCopy(shadowed.rules.answer_bytes_max, self._budget),
                ended,
                repeatable=head.method in SAFE,
            )
        on_disk = spooled is not None and spooled.on_disk
        body = b"" if spooled is None or on_disk else spooled.body
        length = 0 if spooled is None else spooled.size
        try:
            data, asked = shadowed.encoded(side, mark, head, self.block, body, length)
        except StorageUnavailable:
            return None
        return CopyCall(
            self.way_to(side).pool,
            head.method,
            data,
            BudgetCopy(shadowed.rules.answer_bytes_max, self._budget),
            ended,
            spooled=spooled if on_disk else None,
            repeatable=head.method in SAFE,
            asked=asked,
        )

    def _copy_ended(self, call: CopyCall) -> None:
        shadowed = self.shadowed
        pace, took_s = shadowed.pace, call.ended_at - call.began_at
        pace.in_flight -= 1
        if call.failure and call.failure != "answer_too_large":
            pace.failed(call.began_at, call.ended_at)
        else:
            pace.answered(took_s, call.began_at, call.ended_at)
        if self.finished:
            return
        if call.whole:
            counts = shadowed.counts
            counts.took(shadowed.target_key[1], shadowed.cohort, took_s * 1000)
            counts.first["copy" if not self.ended_at else "authority"] += 1
            counts.skewed(self.orders.copy, (call.began_at - self.began_at) * 1000)
        else:
            shadowed.counts.uncompared[f"copy_{call.failure}"] += 1
        if self.ended_at:
            self._look()

    def _probe_ended(self, call: CopyCall) -> None:
        self.shadowed.probes.pace.in_flight -= 1
        if not self.finished:
            if not call.whole:
                self.shadowed.counts.probed[call.failure] += 1
            self._look()

    # -- its end --------------------------------------------------------------------------------

    def _look(self) -> None:
        """Go to the comparison when nothing is outstanding, and there is something to compare."""
        copy, probe = self.copy, self.probe
        if not self.ended_at or self.gave_up or copy is None or not copy.done:
            return
        if probe is not None and not probe.done:
            return
        if copy.whole or (probe is not None and probe.whole):
            self._owner.whole(self)
        else:
            self.end()

    def expire(self) -> None:
        """Give up what is too old."""
        if self.finished:
            return
        counts = self.shadowed.counts
        if self.gave_up:
            self.end()  # A bug of ours stopped it half-way.
            return
        if not self.ended_at:
            # The authority itself is late, or its client sends slowly: there is no first answer.
            self.gave_up = True
            (counts.shed if self.copy is None else counts.uncompared)["age"] += 1
            self.end()
            return
        for call in (self.copy, self.probe):
            if call is not None:
                call.expire()

    def shed(self, reason: str) -> None:
        """Let the request go without a copy."""
        self.shadowed.counts.shed[reason] += 1
        self.gave_up = True
        self.end()

    def end(self) -> None:
        """Let go of everything it holds."""
        if self.finished:
            return
        self.finished = True
        copy, probe, shadowed = self.copy, self.probe, self.shadowed
        if copy is not None:
            if not copy.done:
                shadowed.pace.in_flight -= 1
            copy.abort()
        if probe is not None:
            if not probe.done:
                shadowed.probes.pace.in_flight -= 1
            probe.abort()
        self.answer.release()
        if self.spooled is not None:
            self.spooled.release()
        self._owner.ended(self)
