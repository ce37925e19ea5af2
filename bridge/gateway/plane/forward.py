"""Forward one request to the authority and relay its answer, as the bytes come."""

from operator import attrgetter
from time import monotonic
from typing import Final

from bridge.gateway.http.chunked import LAST_CHUNK, encode_chunk
from bridge.gateway.http.framing import CHUNKED
from bridge.gateway.http.relay import interim_head, switched_head
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.http.trailers import carried, last_chunk
from bridge.gateway.plane.edited_heads import edited_answer, relayed_answer
from bridge.gateway.plane.handling import ANSWER, BODY, GONE, IDEMPOTENT, SAFE, ClientSide
from bridge.gateway.plane.keeper import Flight
from bridge.gateway.plane.own_answers import failed_answer, late_answer, unasked_switch
from bridge.gateway.plane.special_requests import Deadline, added, announcing, has_key
from bridge.gateway.plane.tap import Followed, follow
from bridge.gateway.plane.tunnel import Tunnel
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.timings import CONNECTION
from bridge.gateway.upstream_ports import Failure, UpstreamConnection
from bridge.model.http import HttpResponse

# A body that came together with its head, or soon after, is kept for a second try up to this size.
_REPLAY_BYTES_MAX: Final = 65_536
_NOBODY_WAITS: Final = 3_600.0


class Forward:
    """Both a `Handling` of the client's connection and the user of an upstream's."""

    # Defaults stand on the class: most requests change few of them, and there is one per request.
    _link: UpstreamConnection | None = None
    _pending: bytes | None = None
    _replay: bytes | None = None
    _chunk_out = _complete = _answered = _close = False
    _last_in = LAST_CHUNK
    _lines_out: list[bytes] | None = None
    _trailers_in: frozenset[bytes] = frozenset()
    _trailers_out: frozenset[bytes] = frozenset()
    _deadline: Deadline | None = None
    until = float("inf")
    """Monotonic seconds at which the whole exchange is over."""
    _bypass: Flight | None = None
    _followed: Followed | None = None
    decision, head = property(attrgetter("_decision")), property(attrgetter("_head"))
    route = property(attrgetter("_decision.route"))
    """Says what goes first when its upstream has no room (see `protection.guarded_pool`)."""

    def __init__(self, conn: ClientSide, head: RequestHead, decision: Decision) -> None:
        self._began = monotonic()
        self._conn = conn
        self._head = head
        self._decision = decision
        self._phases = decision.route.phases
        self._pool = conn.plane.pools[decision.upstream]
        self._chunk_in = head.length == CHUNKED
        # A write that passes the journal is counted until it has ended: see `plane.Flight`.
        if decision.route.writes and len(decision.route.upstreams) > 1:
            self._bypass = conn.plane.keeper.flight
            self._bypass.count += 1

    # -- from the client ------------------------------------------------------------------------

    def start(self, body: bytes, *, complete: bool) -> None:
        """Send the head with what there is of the body, or order a connection first."""
        conn, head, method = self._conn, self._head, self._head.method
        edge, edits, start = conn.edge, self._decision.edits, head.start
        block = base = edge.base(head)
        if edits is not None:
            start, block = conn.edited.head(edits, start, base)
        own = self._added() if self._phases.total_s is not None or not head.plain else b""
        block = edge.stamped(block)
        if self._decision.tapped and head.upgrade is None:
            plane, plain_block = conn.plane, edge.stamped(base) + own
            self._followed = follow(plane.tap, plane.observer, self._decision, head, plain_block)
        plain = body
        if head.length:
            body = self._encoded(body, complete)
        data = b"".join((start, b"\r\n", block, own, b"\r\n", body))
        self._complete = complete
        route = self._decision.route
        if method in IDEMPOTENT or (route.accepts.idempotency_key and has_key(head)):
            self._replay = data
        link = self._pool.take(checked=method not in SAFE)
        if link is None:
            self._pending = data
            if not complete:
                conn.pause_receiving()
            connect_s = self._phases.connect_s or _NOBODY_WAITS  # The pool's own limit holds.
            conn.deadline = min(conn.plane.now + connect_s, self.until)
            self._pool.order(self)
        else:
            self._send(link, data)
        if self._followed is not None:
            self._followed.more_request(plain, complete=complete)

    def body(self, data: bytes, *, complete: bool) -> None:
        """Send more."""
        link = self._link
        encoded = self._encoded(data, complete)
        self._complete = complete
        if self._replay is not None:
            whole = self._replay + encoded
            self._replay = whole if len(whole) <= _REPLAY_BYTES_MAX else None
        if link is None:
            # Only what was already read when reading was paused.
            self._pending = (self._pending or b"") + encoded
        else:
            if complete:
                self._await_answer()
                link.finish()
            link.send(encoded)
        if self._followed is not None:
            self._followed.more_request(data, complete=complete)

    def client_gone(self, *, body_complete: bool) -> bool:
        """A write of which a byte was sent is finished without its client."""
        if self._link is not None and body_complete and self._conn.client.method not in SAFE:
            self._link.resume_reading()
            return True
        self.dropped()
        return False

    def trailed(self, lines: list[bytes]) -> None:
        """Take the trailers of the request, before its end."""
        self._lines_out = lines

    def client_ended(self) -> None:
        """There is no tunnel yet."""

    def dropped(self, *, late: bool = False) -> None:
        """Give everything up; `late`: because no answer came in time."""
        self._landed()
        if self._followed is not None:
            self._followed.failed("client_gone")
        if self._link is not None:
            self._link.abort(late=late)
            self._link = None
        elif self._pending is not None:
            self._pool.cancel(self)
            self._pending = None

    def expired(self) -> None:
        """No answer in time, or no more of it."""
        conn, waiting = self._conn, not self._answered
        if self._followed is not None:
            self._followed.failed("authority_timeout" if waiting else "authority_cut")
        sent = self._link is not None
        self.dropped(late=waiting)
        if waiting:
            late = conn.plane.now >= self.until
            self._own(late_answer(self._decision, sent=sent, whole=late, method=self._head.method))
        elif conn.step is GONE:
            conn.finished(close=True)
        else:
            conn.cut()

    def pause_reading(self) -> None:
        """The client takes the answer slower than it comes."""
        if self._link is not None:
            self._link.pause_reading()

    def resume_reading(self) -> None:
        """It has caught up."""
        if self._link is not None:
            self._link.resume_reading()

    # -- from the upstream ----------------------------------------------------------------------

    def connected(self, connection: UpstreamConnection) -> None:
        """Send what was waiting for a connection."""
        data, self._pending = self._pending, None
        assert data is not None, "connected without an order"
        self._decision.times.waited(CONNECTION, monotonic() - self._began)
        if self._deadline is not None:
            data = self._deadline.renewed(data)
        self._send(connection, data)

    def interim(self, head: ResponseHead) -> None:
        """Relay a 1xx; HTTP/1.0 knows none (RFC 9110 15.2)."""
        conn = self._conn
        if conn.client.minor == 1:
            conn.write(interim_head(head, conn.plane.via_line))

    def answered(self, head: ResponseHead, body: bytes, *, ended: bool) -> None:
        """Relay the final answer's head, and what came with it."""
        conn, decision = self._conn, self._decision
        plane = conn.plane
        self._answered, self._replay = True, None
        plane.answers[decision.label, decision.upstream, head.status // 100] += 1
        client, edits = conn.client, decision.edits
        if edits is not None and (self._followed is not None or head.trailer):
            head, edits = edited_answer(edits, head), None
        if head.trailer and self._head.takes_trailers:
            head, self._trailers_in = announcing(head)
        if conn.step is BODY:
            # An early answer: the rest of the body is not wanted, and its end cannot be found.
            conn.step = ANSWER
            client = conn.client = client._replace(keep_alive=False)
        data, self._chunk_out, self._close = relayed_answer(
            head, edits, client, plane.via_line, plane.date_line
        )
        if body:
            data += encode_chunk(body) if self._chunk_out else body
        if not ended:
            self._touch()
            conn.write(data)
            decision.times.began(monotonic() - self._began)
        else:
            if self._chunk_out and head.length:
                data += LAST_CHUNK
            conn.write(data)
            decision.times.answered(monotonic() - self._began)
        if self._followed is not None:
            self._followed.answered(head, body, ended=ended)
        if ended:
            self._finish()

    def more(self, data: bytes) -> None:
        """Relay more of the body."""
        self._touch()
        self._conn.write(encode_chunk(data) if self._chunk_out else data)
        if self._followed is not None:
            self._followed.more_answer(data)

    def trailers(self, lines: list[bytes]) -> None:
        """Take the trailers of the answer, before its end."""
        if self._trailers_in:
            self._last_in = last_chunk(carried(lines, self._trailers_in))

    def ended(self) -> None:
        """The body is whole."""
        if self._chunk_out:
            self._conn.write(self._last_in)
        self._decision.times.ended(monotonic() - self._began)
        if self._followed is not None:
            self._followed.ended()
        self._finish()

    def switched(self, head: ResponseHead) -> None:
        """Become a tunnel, if that is what this client asked for."""
        conn = self._conn
        if self._head.upgrade is None or conn.step is GONE:
            self.dropped()
            self._own(unasked_switch(self._decision.upstream))
            return
        link, self._link = self._link, None
        assert link is not None, "switched without a connection"
        conn.plane.count(self._decision.label, self._decision.upstream, head.status)
        conn.write(switched_head(head, conn.plane.via_line))
        tunnel = Tunnel(conn, link, self._decision, self._head)
        link.hand_over(tunnel)
        self._landed()
        conn.begin_tunnel(tunnel)

    def failed(self, failure: Failure) -> None:
        """Try once more where that cannot do harm, else tell the client."""
        conn = self._conn
        self._link = None
        if self._answered:
            # A clean end would make a cut answer look whole.
            self._landed()
            if self._followed is not None:
                self._followed.failed("authority_cut")
            if conn.step is GONE:
                conn.finished(close=True)
            else:
                conn.cut()
            return
        self._pending, self._replay = self._replay, None
        if failure.stale and self._pending is not None and self._pool.may_repeat():
            if not self._complete:
                conn.pause_receiving()
            self._pool.order(self)
            return
        self._pending = None
        if self._followed is not None:
            self._followed.failed("authority_failed")
        self._own(failed_answer(failure))

    def pause_sending(self) -> None:
        """The upstream reads slowly: stop reading the client."""
        self._conn.pause_receiving()

    def resume_sending(self) -> None:
        """It has caught up: the client's time begins again."""
        conn = self._conn
        conn.resume_receiving()
        if conn.step is BODY:
            plane = conn.plane
            conn.deadline = min(plane.now + plane.settings.body_idle_ms / 1000, self.until)

    # -- inside ---------------------------------------------------------------------------------

    def _send(self, link: UpstreamConnection, data: bytes) -> None:
        self._link = link
        if self._complete:
            self._await_answer()
        else:
            self.resume_sending()
        link.start(self, self._head.method, data, complete=self._complete)

    def _await_answer(self) -> None:
        conn = self._conn
        deadline = conn.plane.now + self._phases.first_byte_s
        conn.deadline = deadline if deadline < self.until else self.until

    def _touch(self) -> None:
        conn = self._conn
        idle_s = self._phases.idle_s or conn.plane.settings.relay_idle_ms / 1000
        conn.deadline = min(conn.plane.now + idle_s, self.until)

    def _added(self) -> bytes:
        """Return the field lines that this request gets beside its own and the forwarding ones."""
        head, said_ms = self._head, self._conn.edge.deadline_ms(self._head)
        own = added(head, self._decision.route, self._pool.host_line, said_ms)
        self._trailers_out, self._deadline = own.trailers, own.deadline
        if own.deadline is not None:
            self.until = own.deadline.until
        return own.lines

    def _encoded(self, data: bytes, complete: bool) -> bytes:
        if not self._chunk_in:
            return data
        encoded = encode_chunk(data) if data else b""
        if not complete:
            return encoded
        if self._lines_out is not None and self._trailers_out:
            return encoded + last_chunk(carried(self._lines_out, self._trailers_out))
        return encoded + LAST_CHUNK

    def _landed(self) -> None:
        if self._bypass is not None:
            self._bypass.land()
            self._bypass = None

    def _finish(self) -> None:
        self._link = None
        if self._bypass is not None:
            self._landed()
        self._conn.finished(close=self._close)

    def _own(self, answer: HttpResponse) -> None:
        """Answer in the upstream's place."""
        self._landed()
        if self._conn.step is not GONE:
            self._decision.times.ended(monotonic() - self._began)
        self._conn.answer(answer, label=self._decision.label)
