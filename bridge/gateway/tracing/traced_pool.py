"""A pool whose sampled exchanges are spans: forwarded requests, copies and probes.

It stands before another pool and has its manners. The span of a call is the parent that the side
sees; the one of the client's request stands there until the call begins.
"""

import time

from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.gateway.tracing.outgoing import Outgoing, purpose_of, sampled_head, with_parent
from bridge.gateway.tracing.span import Span, SpanKind, label_attributes, method_name
from bridge.gateway.tracing.tracer import Tracer
from bridge.gateway.upstream_ports import (
    Failure,
    NamedPool,
    UpstreamConnection,
    UpstreamUser,
)


class CallSpan:
    """The span of one call to a side."""

    def __init__(
        self, tracer: Tracer, upstream: str, method: bytes, where: Outgoing, purpose: str
    ) -> None:
        self.span_id = tracer.new_id()
        self._tracer = tracer
        self._where = where
        self._began_ns = time.time_ns()
        self._over = False
        self.method = method_name(method)
        self.attributes: dict[str, str | int | bool] = {
            "http.request.method": self.method,
            "bridge.upstream": upstream,
            "bridge.purpose": purpose,
        }
        self.linked = False
        """Whether its parent belongs to another process, that has long been done with it."""

    def calls(self, route: Route, decision: Decision | None) -> None:
        """Say whose call it is: route, stage and cohort where they are known, and side."""
        if decision is not None:
            self.attributes |= label_attributes(decision.label, decision.times.label)
        self.attributes["http.route"] = route.path
        self.attributes["bridge.route"] = route.route_id
        upstream = self.attributes["bridge.upstream"]
        for side, name in route.upstreams.items():
            if name == upstream:
                self.attributes["bridge.side"] = side.value

    def ended(self, status: int = 0, failure: str = "") -> None:
        """Tell of it, once."""
        if self._over:
            return
        self._over = True
        if status:
            self.attributes["http.response.status_code"] = status
        failed = bool(failure) or status >= 400
        if failed:
            self.attributes["error.type"] = failure or str(status)
        route = self.attributes.get("http.route")
        self._tracer.sink.take(
            Span(
                self.method if route is None else f"{self.method} {route}",
                SpanKind.CLIENT,
                self._where.trace_id,
                self.span_id,
                self._where.parent_id,
                self.linked,
                self._began_ns,
                time.time_ns(),
                self.attributes,
                failed,
                self._where.parent_id if self.linked else 0,
            )
        )


class TracedPool:
    """See `bridge.gateway.upstream_ports.UpstreamPool`. Belongs to one event loop."""

    def __init__(self, pool: NamedPool, tracer: Tracer) -> None:
        self.name = pool.name
        self.tracer = tracer
        self._pool = pool
        self._ordered: dict[UpstreamUser, TracedExchange] = {}

    @property
    def host_line(self) -> bytes:
        """`Host: …` of the upstream."""
        return self._pool.host_line

    def take(self, *, checked: bool) -> UpstreamConnection | None:
        """Return an idle connection, or None."""
        link = self._pool.take(checked=checked)
        return None if link is None else TracedExchange(self, link, None)

    def order(self, user: UpstreamUser) -> None:
        """Call `user.connected` or `user.failed` once, perhaps before returning."""
        exchange = self._ordered[user] = TracedExchange(self, None, user)
        self._pool.order(exchange)

    def cancel(self, user: UpstreamUser) -> None:
        """Forget an order."""
        exchange = self._ordered.pop(user, None)
        if exchange is not None:
            self._pool.cancel(exchange)

    def may_repeat(self) -> bool:
        """Return whether the upstream can bear a second try now."""
        return self._pool.may_repeat()

    def tick(self, now: float) -> None:
        """Let time pass."""
        self._pool.tick(now)

    def close(self) -> None:
        """Close every connection at once."""
        self._pool.close()

    def begun(self, user: UpstreamUser) -> None:
        """An order has come to its end."""
        self._ordered.pop(user, None)


class TracedExchange:
    """A connection for its user and, while its exchange is sampled, a user for the connection."""

    __slots__ = ("_link", "_pool", "_span", "_status", "_user")

    def __init__(
        self, pool: TracedPool, link: UpstreamConnection | None, user: UpstreamUser | None
    ) -> None:
        self._pool = pool
        self._link = link
        self._user = user
        self._span: CallSpan | None = None
        self._status = 0

    def __getattr__(self, name: str) -> object:
        # What pools ask of their users beside the port: the route or decision they work for.
        return getattr(self._user, name)

    # -- the connection's side: what its user does ----------------------------------------------

    def start(self, user: UpstreamUser, method: bytes, data: bytes, *, complete: bool) -> None:
        """Send; from here on its time is the side's."""
        assert self._link is not None, "started before it was connected"
        self._user = user
        found = sampled_head(data)
        if found is None:
            self._link.start(user, method, data, complete=complete)
            return
        where, at = found
        tracer = self._pool.tracer
        self._span = span = CallSpan(tracer, self._pool.name, method, where, purpose_of(data))
        request = tracer.find(where.parent_id)
        decision = getattr(user, "decision", None)
        if decision is None and request is not None:
            decision = request.decision
        if decision is not None:
            span.calls(decision.route, decision)
        data = with_parent(data, at, span.span_id)
        self._link.start(self, method, data, complete=complete)

    def send(self, data: bytes) -> None:
        """Send more."""
        if self._link is not None:
            self._link.send(data)

    def finish(self) -> None:
        """Say that the request is complete."""
        if self._link is not None:
            self._link.finish()

    def hand_over(self, user: UpstreamUser) -> None:
        """Tell `user` instead; a tunnel is no exchange."""
        self._user = user
        if self._link is not None:
            self._link.hand_over(user)

    def pause_reading(self) -> None:
        """Read no more for a while."""
        if self._link is not None:
            self._link.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._link is not None:
            self._link.resume_reading()

    def abort(self, *, late: bool = False) -> None:
        """End the exchange and close the connection."""
        link, self._link = self._link, None
        if self._span is not None:
            self._span.ended(self._status, "timeout" if late else "given_up")
        if link is not None:
            link.abort(late=late)

    # -- the user's side: what the connection tells ---------------------------------------------

    def connected(self, connection: UpstreamConnection) -> None:
        """Pass the connection on."""
        user = self._user
        assert user is not None, "connected without an order"
        self._link = connection
        self._pool.begun(user)
        user.connected(self)

    def interim(self, head: ResponseHead) -> None:
        """Pass on."""
        assert self._user is not None
        self._user.interim(head)

    def answered(self, head: ResponseHead, body: bytes, *, ended: bool) -> None:
        """Take the status, and pass on."""
        assert self._user is not None
        self._status = head.status
        if ended:
            self._end()
        self._user.answered(head, body, ended=ended)

    def more(self, data: bytes) -> None:
        """Pass on."""
        assert self._user is not None
        self._user.more(data)

    def trailers(self, lines: list[bytes]) -> None:
        """Pass on."""
        assert self._user is not None
        self._user.trailers(lines)

    def ended(self) -> None:
        """The answer is whole."""
        assert self._user is not None
        self._end()
        self._user.ended()

    def switched(self, head: ResponseHead) -> None:
        """A tunnel begins, and the call has ended."""
        assert self._user is not None
        if self._span is not None:
            self._span.ended(head.status)
        self._user.switched(head)

    def failed(self, failure: Failure) -> None:
        """Take the reason, and pass on."""
        user = self._user
        assert user is not None
        self._link = None
        self._pool.begun(user)
        if self._span is not None:
            self._span.ended(self._status, failure.kind.value)
        user.failed(failure)

    def pause_sending(self) -> None:
        """Pass on."""
        if self._user is not None:
            self._user.pause_sending()

    def resume_sending(self) -> None:
        """Pass on."""
        if self._user is not None:
            self._user.resume_sending()

    def _end(self) -> None:
        # The connection may serve somebody else from now on.
        self._link = None
        if self._span is not None:
            self._span.ended(self._status)
