"""One client's connection: requests in, one at a time and in order, answers out."""

import asyncio
from typing import Final

from bridge.gateway.http.edge import Edge, Origin, is_loop
from bridge.gateway.http.framing import HEAD_BYTES_MAX, MessageRefused
from bridge.gateway.http.head_reader import HeadReader
from bridge.gateway.http.problems import CODES, problem
from bridge.gateway.http.relay import Client, whole_answer
from bridge.gateway.http.request_body import RequestBody, too_large
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.request_line import refuse_partial
from bridge.gateway.http.target import ASTERISK
from bridge.gateway.plane.client_transport import ClientTransport
from bridge.gateway.plane.forward import Forward
from bridge.gateway.plane.handling import ANSWER, BODY, GONE, HEAD, LINGER, SAFE, TUNNEL, Handling
from bridge.gateway.plane.last_decision import LastDecision
from bridge.gateway.plane.lenient_heads import may_become_lenient, read_leniently
from bridge.gateway.plane.own_answers import refused_answer
from bridge.gateway.plane.plane import Plane
from bridge.gateway.plane.way_back import handler
from bridge.gateway.routes.table import Refusal
from bridge.model.http import Headers, HttpResponse

# Requests sent ahead wait here; beyond it the client is not read until it has its answer.
_AHEAD_BYTES_MAX: Final = 65_536
_NOBODY: Final = Client(b"GET", 1, keep_alive=False)


class ClientConnection(ClientTransport):
    """See the module."""

    __slots__ = (
        "_ahead", "_body", "_decided", "_forgiven", "_handling", "_head_began", "_heads", "_hosts",
        "_origin", "_pumping", "_scanned", "client", "edge",
    )  # fmt: skip

    def __init__(self, plane: Plane, origin: Origin | None = None) -> None:
        """`origin` is what an entrance has learnt; without one it is the connection's peer."""
        super().__init__(plane)
        self._origin = origin
        self._hosts = origin.hosts if origin is not None else (plane.hosts or None)
        self.client = _NOBODY
        self.edge: Edge
        self._handling: Handling | None = None
        self._body: RequestBody | None = None
        self._ahead = b""
        self._head_began = False
        self._forgiven = False
        self._heads = HeadReader()
        self._decided = LastDecision()
        self._pumping = False
        self._scanned = 0

    # -- the event loop's side ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, unless there are too many already."""
        super().connection_made(transport)
        plane = self.plane
        plane.connections.add(self)
        edge = plane.new_edge(self._origin, transport)
        if edge is None:
            self.transport.abort()  # It was gone before we looked.
            return
        self.edge = edge
        if len(plane.connections) > plane.settings.connections_max:
            limit = f"{plane.settings.connections_max} connections are open"
            self.refuse(503, "too-many-connections", limit, ((b"Retry-After", b"1"),))

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        step = self.step
        if step is HEAD:
            self._ahead = self._ahead + data if self._ahead else data
            self._pump()
        elif step is BODY:
            self._more_body(data)
        elif step is ANSWER:
            self._ahead += data
            if len(self._ahead) > _AHEAD_BYTES_MAX:
                self.pause_receiving()
        elif step is TUNNEL:
            assert self._handling is not None
            self._handling.body(data, complete=False)
        elif step is LINGER:
            self.throw_away(data)

    def eof_received(self) -> bool:
        """Take the end of what the client sends.

        Almost always the client has closed: a safe request is cancelled. A write goes on, and its
        answer is sent in case the client has only ended its own direction.
        """
        if self.step is TUNNEL and self._handling is not None:
            self._handling.client_ended()
            return True
        if self.step is ANSWER and self.client.method not in SAFE:
            self._ahead = b""
            self.client = self.client._replace(keep_alive=False)
            return True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        handling, complete = self._handling, self.step is not BODY
        self.step = GONE
        if handling is None or not handling.client_gone(body_complete=complete):
            self._handling = None
            self.let_go()
            self.plane.connections.discard(self)

    def pause_writing(self) -> None:
        """The client takes the answers slowly: neither it nor the upstream is read meanwhile."""
        self.fall_behind(self._handling)
        if self._handling is not None:
            self._handling.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        self.catch_up(self._handling)
        if self._handling is not None:
            self._handling.resume_reading()
        self._pump()

    def expired(self) -> None:
        """The deadline has passed; called by the worker's tick."""
        if self.step is BODY and not self._paused:
            self.refuse(408, "body-timeout", "the request's body came too slowly")
        elif self._handling is not None:
            self._handling.expired()
        elif self.step is HEAD and self._head_began:
            self.refuse(408, "head-timeout", "the request's head came too slowly")
        elif self.step is HEAD and not self.transport.get_write_buffer_size():
            self.transport.close()  # Idle.
        else:
            # Refused and still sending, or not taking its answer.
            self.transport.abort()

    def drain(self) -> None:
        """Take no more than the request that is under way, or that comes within a moment.

        Closing an idle connection at once would cut a request that is already on its way to us.
        """
        if self.step is HEAD and not self._head_began:
            idle_s = self.plane.settings.drain_idle_ms / 1000
            if idle_s:
                self.deadline = min(self.deadline, self.plane.now + idle_s)
            else:
                self.transport.close()
        else:
            self.client = self.client._replace(keep_alive=False)

    # -- requests -------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Take as many requests as can be answered at once; a loop, for pipelines are long."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self.step is HEAD and self._ahead and not self._choked and self._take_head():
                pass
        finally:
            self._pumping = False

    def _take_head(self) -> bool:
        """Begin one request; return False when its head is not whole yet."""
        data = self._ahead
        if data[0] == 0x0D and data[:2] in (b"\r", b"\r\n") and not self._forgiven:
            # One empty line before a request is forgiven (RFC 9112 2.2), and only one.
            self._begin_head()
            if len(data) == 1:
                return False
            self._forgiven = True
            data = self._ahead = data[2:]
        end = data.find(b"\r\n\r\n", max(0, self._scanned - 3))
        try:
            if end < 0 or end > HEAD_BYTES_MAX:
                self._begin_head()
                refuse_partial(data, self._scanned)
                self._scanned = len(data)
                return False
            head = self._heads.read(data[:end])
        except MessageRefused as refused:
            return self._take_leniently(data, refused)
        self._taken(head, data[end + 4 :])
        return True

    def _take_leniently(self, data: bytes, refused: MessageRefused) -> bool:
        """Begin a request that only its route's leniences save; else refuse it."""
        plane = self.plane
        table = plane.keeper.latest()
        found = read_leniently(table, data) if table.leniences else None
        if found is not None:
            plane.leniences.update((found.route_id, name) for name in found.used)
            self._taken(found.head, data[found.end :])
        elif not may_become_lenient(table, data):
            self._refuse_message(refused)
        return found is not None

    def _taken(self, head: RequestHead, rest: bytes) -> None:
        self._ahead = rest
        self._head_began = self._forgiven = False
        self._scanned = 0
        self._begin(head)

    def _begin_head(self) -> None:
        if not self._head_began:
            self._head_began = True
            self.deadline = self.plane.now + self.plane.settings.head_ms / 1000

    def _begin(self, head: RequestHead) -> None:
        plane = self.plane
        keep_alive = head.keep_alive and not plane.draining
        if (head.method, head.minor, keep_alive) != self.client:
            self.client = Client(head.method, head.minor, keep_alive)
        self.step = BODY if head.length else ANSWER
        host = head.authority.name if head.authority else None
        hosts = self._hosts
        if hosts is not None and host not in hosts:
            self.refuse(421, "host-unknown", "that host is not served over this connection")
        elif head.plain:
            self._route(head, host)
        elif head.via and is_loop(head.via, plane.name):
            self.refuse(508, "loop", "the request has passed this gateway before")
        elif head.target == ASTERISK or head.max_forwards == 0:
            self.answer(HttpResponse(status=204, reason=b"No Content", headers=()))
        else:
            self._route(head, host)

    def _route(self, head: RequestHead, host: bytes | None) -> None:
        plane = self.plane
        decision = self._decided.of(plane.keeper.latest(), head, host)
        if isinstance(decision, Refusal):
            self.answer(refused_answer(decision))
            return
        route = decision.route
        over = plane.limiter.refuse(route, self.edge, head) if route.limited else None
        if over is not None:
            self.answer(over, label=decision.label)
            return
        if head.length > route.body_bytes_max:
            self._refuse_message(too_large(route.body_bytes_max))
            return
        if decision.choice is not None:
            decision, head = plane.sides.choose(decision, head)
        handles = handler(plane, decision, head) if decision.special else Forward
        handling: Handling = handles(self, head, decision)
        self._handling = handling
        if not head.length:
            handling.start(b"", complete=True)
            return
        self._body = RequestBody(head.length, route.body_bytes_max, plane.now)
        self.deadline = plane.now + plane.settings.body_idle_ms / 1000
        ahead, self._ahead = self._ahead, b""
        data = self._fed(ahead)
        if data is not None:
            handling.start(data, complete=self.step is ANSWER)

    def _more_body(self, data: bytes) -> None:
        handling, body, plane = self._handling, self._body, self.plane
        assert handling is not None
        assert body is not None
        decoded = self._fed(data)
        if decoded is None:
            return
        idle_s = plane.settings.body_idle_ms / 1000
        if body.keeps_pace(plane.now, plane.settings.body_rate_min, idle_s):
            self.deadline = min(plane.now + idle_s, handling.until)
        if decoded or body.done:
            handling.body(decoded, complete=body.done)

    def _fed(self, data: bytes) -> bytes | None:
        """Return the body data in `data`, or None when the request was refused."""
        handling, body = self._handling, self._body
        assert handling is not None
        assert body is not None
        try:
            decoded = body.feed(data)
        except MessageRefused as refused:
            self._refuse_message(refused)
            return None
        if body.done:
            if body.trailers:
                handling.trailed(body.trailers)
            self._ahead = body.rest
            self._body = None
            self.step = ANSWER
        return decoded

    def begin_tunnel(self, tunnel: Handling) -> None:
        """Hand `tunnel` all bytes from now on, beginning with those already read."""
        self._handling = tunnel
        self.step = TUNNEL
        ahead, self._ahead = self._ahead, b""
        self.resume_receiving()
        if ahead:
            tunnel.body(ahead, complete=False)

    # -- answers --------------------------------------------------------------------------------

    def answer(self, response: HttpResponse, *, label: str = "-", upstream: str = "") -> None:
        """Send a whole answer; `upstream` is empty for the gateway's own."""
        if self.step is not GONE:
            close = self.step is not ANSWER or not self.client.keep_alive
            via = self.plane.via_line if upstream else None
            date = self.plane.date_line
            self.transport.write(whole_answer(response, self.client, via, date, close=close))
        else:
            close = True
        self.plane.count(label, upstream, response.status)
        self.finished(close=close)

    def refuse(self, status: int, code: str, detail: str, headers: Headers = ()) -> None:
        """Answer a request that cannot be read or taken any further; the connection ends."""
        handling, self._handling = self._handling, None
        if handling is not None:
            handling.dropped()
        if self.step is HEAD:
            self.client = _NOBODY
        self.client = self.client._replace(keep_alive=False)
        self.answer(problem(status, code, detail, headers))

    def _refuse_message(self, no: MessageRefused) -> None:
        self.refuse(no.status, CODES[no.status], f"{no.detail} ({no.section})")

    def finished(self, *, close: bool) -> None:
        """The answer is sent: take the next request, or end."""
        self._handling = None
        self._body = None
        if self._held:
            self.let_go()
        if self.step is GONE:
            self.plane.connections.discard(self)
        elif close:
            self._ahead = b""
            self.linger()
        else:
            self.step = HEAD
            plane = self.plane
            self.deadline = plane.now + plane.keep_alive_s
            if self._paused:
                self.resume_receiving()
            if self._ahead:
                self._pump()
            elif plane.draining:
                self.drain()  # The answer did not say that it was the last.
