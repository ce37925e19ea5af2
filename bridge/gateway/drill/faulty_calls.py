"""Whole exchanges (journalled writes, replays, translated reads) that may meet a fault."""

import asyncio
from math import ceil

from bridge.gateway.drill.drill import FaultKind, Touch
from bridge.gateway.drill.faulty_pool import FIELD
from bridge.gateway.drill.running import SAFE, Call, Drills, Meeting
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.gateway.upstream_ports import Upstream
from bridge.model.errors import OutcomeUnknown, UpstreamUnavailable
from bridge.model.http import HttpRequest, HttpResponse

# As `dual.replay_attempt` marks a replay.
_REPLAY_FIELD = b"legacy-bridge-replay"


class FaultyCalls:
    """Does what drills ask to the exchanges of one process (`dual.forwarder.CallFaults`)."""

    def __init__(self, drills: Drills) -> None:
        self._drills = drills

    @property
    def active(self) -> bool:
        """Whether anything is to be asked."""
        return self._drills.active

    def lane_of(self, decision: Decision, request: HttpRequest) -> str | None:
        """Return the lane that a client's request is about."""
        return self._drills.lane_of(decision, request)

    def fell_back(
        self, decision: Decision, request: HttpRequest, upstream: str, status: int, took_s: float
    ) -> None:
        """Hear that the other side answered in place of `upstream`."""
        call = Call(
            Touch.READS,
            decision.route,
            upstream,
            lambda: self._drills.lane_of(decision, request),
            _lines(request),
            decision.epoch,
        )
        self._drills.fell_back(call, status, took_s)

    async def exchange(
        self,
        upstream: Upstream,
        route: Route,
        name: str,
        lane: str | None,
        request: HttpRequest,
        *,
        timeout_ms: int,
    ) -> HttpResponse:
        """As `Upstream.exchange` of the upstream called `name`, with a drill's fault or without."""
        if request.header(_REPLAY_FIELD) is not None:
            touch = Touch.REPLAYS
        elif request.method in SAFE and not route.writes:
            touch = Touch.READS
        else:
            touch = Touch.WRITES
        call = Call(touch, route, name, lambda: lane, _lines(request))
        meeting = self._drills.meet(call)
        if meeting is None:
            return await upstream.exchange(request, timeout_ms=timeout_ms)
        try:
            return await self._faulty(upstream, name, meeting, request, touch, timeout_ms)
        finally:
            meeting.given_up()  # Counts only what did not end otherwise.

    async def _faulty(
        self,
        upstream: Upstream,
        name: str,
        meeting: Meeting,
        request: HttpRequest,
        touch: Touch,
        timeout_ms: int,
    ) -> HttpResponse:
        if meeting.let_through() is not None:
            raise UpstreamUnavailable(f"upstream {name!r} has failed too often in a drill")
        fault, drill_id = meeting.fault, meeting.drill_id
        if fault.kind is FaultKind.REFUSE:
            meeting.failed("refused")
            raise UpstreamUnavailable(f"cannot send to upstream {name!r}: drill {drill_id}")
        if fault.kind is FaultKind.STATUS:
            meeting.answered(fault.status)
            if touch is Touch.WRITES:
                # What the journal then records is what is true: nothing was executed.
                raise UpstreamUnavailable(f"upstream {name!r} answered {fault.status} unasked")
            return HttpResponse(
                status=fault.status,
                reason=b"Drill",
                headers=((b"Content-Type", b"text/plain"), (FIELD, drill_id.encode("ascii"))),
                body=b"drill\n",
            )
        if fault.kind is FaultKind.DELAY:
            if fault.delay_s * 1000 >= timeout_ms:
                await asyncio.sleep(timeout_ms / 1000)
                meeting.failed("late")
                raise OutcomeUnknown(f"no answer of upstream {name!r} in time: drill {drill_id}")
            await asyncio.sleep(fault.delay_s)
            timeout_ms -= ceil(fault.delay_s * 1000)
        try:
            answer = await upstream.exchange(request, timeout_ms=max(1, timeout_ms))
        except UpstreamUnavailable:
            meeting.failed("refused")
            raise
        except OutcomeUnknown:
            meeting.failed("late")
            raise
        if fault.kind is FaultKind.CUT:
            meeting.failed("cut")
            raise OutcomeUnknown(f"answer of upstream {name!r} was lost: drill {drill_id}")
        meeting.answered(answer.status)
        return answer


def _lines(request: HttpRequest) -> list[bytes]:
    return [b"%b: %b" % pair for pair in request.headers]
