"""A client's connection that makes a span of each sampled request.

Chosen once, when a connection comes in; without spans it is not there at all, and costs nothing.
"""

import asyncio
import time
from typing import Final

from bridge.gateway.http.edge import Edge, Network, Origin
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.trace_context import traced
from bridge.gateway.plane.client_connection import ClientConnection
from bridge.gateway.plane.handling import Handling
from bridge.gateway.plane.plane import Plane
from bridge.gateway.routes.decision import Decision
from bridge.gateway.tracing.span import Span, SpanKind, label_attributes, method_name
from bridge.gateway.tracing.tracer import RequestTrace, Tracer
from bridge.model.http import Headers, HttpResponse

_SAMPLED: Final = b"01"
_NOT_SAMPLED: Final = b"00"


class SpanEdge(Edge):
    """Passes on the trace context of the request that is under way."""

    __slots__ = ("scheme", "trace")

    def __init__(self, origin: Origin, trusted: tuple[Network, ...], name: bytes) -> None:
        super().__init__(origin, trusted, name)
        self.scheme = origin.scheme.decode("ascii")
        self.trace: RequestTrace

    def stamped(self, block: bytes) -> bytes:
        """Return a block with the request's own span as parent, however often it is asked for."""
        trace = self.trace
        return traced(block, trace.bits, _SAMPLED if trace.sampled else _NOT_SAMPLED)

    def fields(self, head: RequestHead) -> Headers:
        """Return all fields, among them the trace context."""
        lines = b"".join(b"%b: %b\r\n" % pair for pair in super().fields(head))
        split = (line.partition(b":") for line in self.stamped(lines).split(b"\r\n") if line)
        return tuple((name, value.strip(b" \t")) for name, _, value in split)


class TracedConnection(ClientConnection):
    """See the module."""

    __slots__ = ("_spans", "_trace", "_tracer")

    def __init__(self, tracer: Tracer, plane: Plane, origin: Origin | None = None) -> None:
        super().__init__(plane, origin)
        self._tracer = tracer
        self._trace: RequestTrace | None = None
        self._spans: SpanEdge

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, with an edge that knows the request's span."""
        super().connection_made(transport)
        address, plane = transport.get_extra_info("peername"), self.plane
        origin = self._origin or (Origin(address[0]) if address else None)
        if origin is not None:
            self.edge = self._spans = SpanEdge(origin, plane.settings.trusted_hops, plane.name)

    def _route(self, head: RequestHead, host: bytes | None) -> None:
        self._trace = trace = self._tracer.begin(head.method, head.lines)
        self._spans.trace = trace
        super()._route(head, host)
        if self._trace is trace:
            trace.decision = _decision_of(self._handling)

    def write(self, data: bytes) -> None:
        """Send to the client; the first line of a final answer has its status."""
        trace = self._trace
        if trace is not None and not trace.status and data[9:10] != b"1":
            trace.status = int(data[9:12])
        super().write(data)

    def answer(self, response: HttpResponse, *, label: str = "-", upstream: str = "") -> None:
        """Send a whole answer."""
        trace = self._trace
        if trace is not None:
            trace.status, trace.label, trace.own = response.status, label, not upstream
        super().answer(response, label=label, upstream=upstream)

    def finished(self, *, close: bool) -> None:
        """The answer is sent."""
        trace = self._trace
        if trace is not None:
            # Who answers may have been chosen anew since the request began.
            trace.decision = _decision_of(self._handling) or trace.decision
            self._end(trace)
        super().finished(close=close)

    def cut(self) -> None:
        """End with a reset, half-way."""
        self._give_up("cut")
        super().cut()

    def begin_tunnel(self, tunnel: Handling) -> None:
        """The exchange is over; a tunnel may last for days."""
        trace = self._trace
        if trace is not None:
            trace.status = 101
            self._end(trace)
        super().begin_tunnel(tunnel)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; a write of its goes on, and so does its span."""
        super().connection_lost(exc)
        if self._handling is None:
            self._give_up("client_gone")

    def _give_up(self, why: str) -> None:
        trace = self._trace
        if trace is not None:
            trace.failure = why
            self._end(trace)

    def _end(self, trace: RequestTrace) -> None:
        self._trace = None
        if not trace.sampled:
            return
        decision, status = trace.decision, trace.status
        method = method_name(trace.method)
        attributes: dict[str, str | int | bool] = {
            "http.request.method": method,
            "url.scheme": self._spans.scheme,
            "network.protocol.version": f"1.{self.client.minor}",
        }
        name = method
        if decision is not None:
            name = f"{method} {decision.route.path}"
            attributes["http.route"] = decision.route.path
            # A whole answer says itself whose it is: legacy may have stood in for modern.
            label = decision.label if trace.label == "-" else trace.label
            attributes |= label_attributes(label, decision.times.label)
        else:
            attributes |= label_attributes(trace.label)
        failed = bool(trace.failure) or status >= 500
        if status:
            attributes["http.response.status_code"] = status
            attributes["bridge.answered_by"] = "gateway" if trace.own else "upstream"
        if failed:
            attributes["error.type"] = trace.failure or str(status)
        self._tracer.sink.take(
            Span(
                name,
                SpanKind.SERVER,
                trace.trace_id,
                trace.span_id,
                trace.parent_id,
                trace.remote,
                trace.began_ns,
                time.time_ns(),
                attributes,
                failed,
            )
        )


def _decision_of(handling: Handling | None) -> Decision | None:
    """Return what a request was decided by; a tunnel does not tell."""
    return getattr(handling, "decision", None)
