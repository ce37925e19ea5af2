"""The write path's spans: waits for the lane, commits of the journal, and calls of the sides.

Wrappers of three ports, so that the write path itself knows nothing of spans. What they need of a
request stands in the `traceparent` of its fields, which the journal keeps: a replay, in another
process and perhaps hours later, goes on in the trace of the write that it repeats, with a link to
its span.
"""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from bridge.gateway.dual.forwarder import CallFaults
from bridge.gateway.dual.ports import WriteJournal
from bridge.gateway.plane.write_path import WritePath
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.gateway.tracing.outgoing import is_replay, sampled_fields, with_fields
from bridge.gateway.tracing.traced_pool import CallSpan
from bridge.gateway.tracing.tracer import RequestTrace, Tracer
from bridge.gateway.upstream_ports import Upstream
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.write import MadeId, WriteIntent, WriteState


class TracedWritePath:
    """A `WritePath` that remembers when it got a write."""

    def __init__(self, path: WritePath, tracer: Tracer) -> None:
        self._path = path
        self._tracer = tracer

    async def write(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Pass on."""
        trace = _trace_of(self._tracer, request)
        if trace is not None:
            trace.writing_ns = time.time_ns()
        return await self._path.write(decision, request)

    def __getattr__(self, name: str) -> Any:
        # All else is the path's own.
        return getattr(self._path, name)


class TracedJournal:
    """A `WriteJournal` that tells of its commits."""

    def __init__(self, journal: WriteJournal, tracer: Tracer) -> None:
        self._journal = journal
        self._tracer = tracer
        self._open: dict[str, RequestTrace] = {}
        """By intent: as many as the writer has under way."""

    async def open(self, intent: WriteIntent) -> None:
        """Pass on; what came before was the wait for the lane."""
        trace = _trace_of(self._tracer, intent.request)
        if trace is None:
            await self._journal.open(intent)
            return
        attributes = _attributes(intent)
        if trace.writing_ns:
            self._tracer.tell("bridge.lane", trace, trace.writing_ns, attributes)
        began_ns, done = time.time_ns(), False
        try:
            await self._journal.open(intent)
            self._open[intent.intent_id] = trace
            done = True
        finally:
            # A lane that is still taken is waited for anew.
            trace.writing_ns = time.time_ns()
            self._tracer.tell("bridge.intent", trace, began_ns, attributes, failed=not done)

    async def settle(
        self,
        intent_id: str,
        state: WriteState,
        *,
        response: HttpResponse | None = None,
        lane: str | None = None,
        ids: Sequence[MadeId] = (),
        reason: str | None = None,
        release_key: bool = False,
    ) -> int | None:
        """Pass on."""
        trace = self._open.get(intent_id)
        began_ns, done = time.time_ns(), False
        try:
            number = await self._journal.settle(
                intent_id,
                state,
                response=response,
                lane=lane,
                ids=ids,
                reason=reason,
                release_key=release_key,
            )
            self._open.pop(intent_id, None)
            done = True
        finally:
            self._told(trace, began_ns, state, done=done)
        return number

    async def record(
        self,
        intent: WriteIntent,
        state: WriteState,
        *,
        response: HttpResponse | None = None,
        lane: str | None = None,
        ids: Sequence[MadeId] = (),
        reason: str | None = None,
    ) -> int | None:
        """Pass on."""
        trace = _trace_of(self._tracer, intent.request)
        began_ns, done = time.time_ns(), False
        try:
            number = await self._journal.record(
                intent, state, response=response, lane=lane, ids=ids, reason=reason
            )
            done = True
        finally:
            self._told(trace, began_ns, state, done=done)
        return number

    def __getattr__(self, name: str) -> Any:
        # All else is the journal's own.
        return getattr(self._journal, name)

    def _told(
        self, trace: RequestTrace | None, began_ns: int, state: WriteState, *, done: bool
    ) -> None:
        if trace is not None:
            attributes = {"bridge.outcome": state.value}
            self._tracer.tell("bridge.outcome", trace, began_ns, attributes, failed=not done)


class TracedCalls:
    """See `CallFaults`: stands before those of drills, and sees each call of a side."""

    active = True

    def __init__(self, faults: CallFaults, tracer: Tracer) -> None:
        self._faults = faults
        self._tracer = tracer

    def lane_of(self, decision: Decision, request: HttpRequest) -> str | None:
        """Ask only while a drill is on."""
        return self._faults.lane_of(decision, request) if self._faults.active else None

    def fell_back(
        self, decision: Decision, request: HttpRequest, upstream: str, status: int, took_s: float
    ) -> None:
        """Pass on to a drill that is on."""
        if self._faults.active:
            self._faults.fell_back(decision, request, upstream, status, took_s)

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
        """As without, under a span of its own."""
        where = sampled_fields(request.headers)
        if where is None:
            return await self._exchange(upstream, route, name, lane, request, timeout_ms)
        replay = is_replay(request.headers)
        span = CallSpan(
            self._tracer, name, request.method, where, "replay" if replay else "request"
        )
        own = self._tracer.find(where.parent_id)
        # Without the request in this process its span has ended long ago.
        span.linked = own is None
        span.calls(route, None if own is None else own.decision)
        headers = with_fields(request.headers, span.span_id)
        request = dataclasses.replace(request, headers=headers)
        status, failure = 0, "cancelled"
        try:
            answer = await self._exchange(upstream, route, name, lane, request, timeout_ms)
            status, failure = answer.status, ""
        except Exception as exc:
            failure = type(exc).__name__
            raise
        finally:
            span.ended(status, failure)
        return answer

    async def _exchange(
        self,
        upstream: Upstream,
        route: Route,
        name: str,
        lane: str | None,
        request: HttpRequest,
        timeout_ms: int,
    ) -> HttpResponse:
        if self._faults.active:
            return await self._faults.exchange(
                upstream, route, name, lane, request, timeout_ms=timeout_ms
            )
        return await upstream.exchange(request, timeout_ms=timeout_ms)


def _trace_of(tracer: Tracer, request: HttpRequest) -> RequestTrace | None:
    where = sampled_fields(request.headers)
    return None if where is None else tracer.find(where.parent_id)


def _attributes(intent: WriteIntent) -> dict[str, str | int | bool]:
    return {"bridge.route": intent.route, "bridge.side": intent.authority.value}
