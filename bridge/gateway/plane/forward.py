"""Forward one request to the authority and relay its answer, as the bytes come."""

from typing import Final

from bridge.gateway.http.chunked import LAST_CHUNK, encode_chunk
from bridge.gateway.http.framing import CHUNKED
from bridge.gateway.http.problems import problem
from bridge.gateway.http.relay import interim_head, relayed_head, switched_head
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.plane.handling import IDEMPOTENT, SAFE, ClientSide, Step
from bridge.gateway.plane.keeper import Flight
from bridge.gateway.plane.tap import Followed, follow
from bridge.gateway.routes.decision import Decision
from bridge.gateway.upstream_ports import Failure, FailureKind, UpstreamConnection

_STATUS: Final = {
    FailureKind.UNREACHABLE: 502,
    FailureKind.CONNECT_TIMEOUT: 504,
    FailureKind.BUSY: 503,
    FailureKind.LOST: 502,
    FailureKind.MALFORMED: 502,
}


class Forward:
    """Both a `Handling` of the client's connection and the user of an upstream's."""

    # Defaults stand on the class: most requests change few of them, and there is one per request.
    _link: UpstreamConnection | None = None
    _pending: bytes | None = None
    _replay: bytes | None = None
    _chunk_out = False
    _complete = False
    _answered = False
    _close = False
    _ends = 0
    _bypass: Flight | None = None
    _followed: Followed | None = None

    def __init__(self, conn: ClientSide, head: RequestHead, decision: Decision) -> None:
        self._conn = conn
        self._head = head
        self._decision = decision
        route = decision.route
        self._pool = conn.plane.pools[decision.upstream]
        self._chunk_in = head.length == CHUNKED
        # A write that passes the journal is counted until it has ended: see `plane.Flight`.
        if route.writes and len(route.upstreams) > 1:
            self._bypass = conn.plane.keeper.flight
            self._bypass.count += 1

    # -- from the client ------------------------------------------------------------------------

    def start(self, body: bytes, *, complete: bool) -> None:
        """Send the head with what there is of the body, or order a connection first."""
        conn, head = self._conn, self._head
        method = head.method
        block = conn.edge.block(head)
        if head.authority is None:
            block += self._pool.host_line + b"\r\n"
        if head.upgrade is not None:
            block += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.upgrade
        elif self._decision.tapped:
            plane = conn.plane
            self._followed = follow(plane.tap, plane.observer, self._decision, head, block)
        plain = body
        if head.length:
            body = self._encoded(body, complete)
        data = b"%b\r\n%b\r\n%b" % (head.start, block, body)
        self._complete = complete
        if complete and method in IDEMPOTENT:
            self._replay = data
        link = self._pool.take(checked=method not in SAFE)
        if link is None:
            self._pending = data
            if not complete:
                conn.pause_receiving()
            self._pool.order(self)
        else:
            self._send(link, data)
        if self._followed is not None:
            self._followed.more_request(plain, complete=complete)

    def body(self, data: bytes, *, complete: bool) -> None:
        """Send more."""
        link = self._link
        if self._conn.step is Step.TUNNEL:
            self._touch()
            if link is not None:
                link.send(data)
            return
        encoded = self._encoded(data, complete)
        self._complete = complete
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

    def client_ended(self) -> None:
        """Pass on, in a tunnel, that the client sends no more."""
        if self._link is not None:
            self._link.finish()
        self._end_of_direction()

    def dropped(self) -> None:
        """Give everything up."""
        self._landed()
        if self._followed is not None:
            self._followed.failed("client_gone")
        if self._link is not None:
            self._link.abort()
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
        self.dropped()
        if waiting and conn.step is not Step.TUNNEL:
            what = "no answer" if sent else "no connection"
            may = "; it may have been executed" if sent and conn.client.method not in SAFE else ""
            self._problem(
                504,
                "upstream-timeout",
                f"{what} from upstream {self._upstream!r} within"
                f" {self._decision.route.timeout_ms} ms{may}",
            )
        elif conn.step is Step.GONE:
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
        self._send(connection, data)
        if not self._complete:
            self._conn.resume_receiving()

    def interim(self, head: ResponseHead) -> None:
        """Relay a 1xx; HTTP/1.0 knows none (RFC 9110 15.2)."""
        conn = self._conn
        if conn.client.minor == 1:
            conn.write(interim_head(head, conn.plane.via_line))

    def answered(self, head: ResponseHead, body: bytes, *, ended: bool) -> None:
        """Relay the final answer's head, and what came with it."""
        conn = self._conn
        plane = conn.plane
        decision = self._decision
        self._answered = True
        self._replay = None
        plane.answers[decision.route.route_id, decision.upstream, head.status // 100] += 1
        client = conn.client
        if conn.step is Step.BODY:
            # An early answer: the rest of the body is not wanted, and its end cannot be found.
            conn.step = Step.ANSWER
            client = conn.client = client._replace(keep_alive=False)
        relayed = relayed_head(head, client, plane.via_line, plane.date_line)
        self._close = relayed.close
        self._chunk_out = relayed.chunked
        data = relayed.head
        if body:
            data += encode_chunk(body) if relayed.chunked else body
        if not ended:
            self._touch()
            conn.write(data)
        else:
            if relayed.chunked and head.length:
                data += LAST_CHUNK
            conn.write(data)
        if self._followed is not None:
            self._followed.answered(head, body, ended=ended)
        if ended:
            self._finish()

    def more(self, data: bytes) -> None:
        """Relay more of the body, or of the tunnel."""
        self._touch()
        self._conn.write(encode_chunk(data) if self._chunk_out else data)
        if self._followed is not None:
            self._followed.more_answer(data)

    def ended(self) -> None:
        """The body is whole, or the tunnel's other end sends no more."""
        conn = self._conn
        if conn.step is Step.TUNNEL:
            if not conn.transport.is_closing():
                conn.transport.write_eof()
            self._end_of_direction()
            return
        if self._chunk_out:
            conn.write(LAST_CHUNK)
        if self._followed is not None:
            self._followed.ended()
        self._finish()

    def switched(self, head: ResponseHead) -> None:
        """Become a tunnel, if that is what this client asked for."""
        conn = self._conn
        if self._head.upgrade is None or conn.step is Step.GONE:
            self.dropped()
            self._problem(
                502, "upstream-malformed", f"upstream {self._upstream!r} switched protocols unasked"
            )
            return
        self._answered = True
        conn.plane.count(self._decision.route.route_id, self._upstream, head.status)
        conn.write(switched_head(head, conn.plane.via_line))
        conn.begin_tunnel()
        self._touch()

    def failed(self, failure: Failure) -> None:
        """Try once more where that cannot do harm, else tell the client."""
        conn = self._conn
        self._link = None
        if conn.step is Step.TUNNEL or self._answered:
            # A clean end would make a cut answer look whole.
            self._landed()
            if self._followed is not None:
                self._followed.failed("authority_cut")
            if conn.step is Step.GONE:
                conn.finished(close=True)
            else:
                conn.cut()
            return
        if failure.stale and self._replay is not None:
            self._pending, self._replay = self._replay, None
            self._pool.order(self)
            return
        self._pending = None
        if self._followed is not None:
            self._followed.failed("authority_failed")
        headers = ((b"Retry-After", b"1"),) if failure.kind is FailureKind.BUSY else ()
        self._problem(
            _STATUS[failure.kind], f"upstream-{failure.kind.value}", failure.detail, headers
        )

    def pause_sending(self) -> None:
        """The upstream reads slowly: stop reading the client."""
        self._conn.pause_receiving()

    def resume_sending(self) -> None:
        """It has caught up."""
        self._conn.resume_receiving()

    # -- inside ---------------------------------------------------------------------------------

    @property
    def _upstream(self) -> str:
        return self._decision.upstream

    def _send(self, link: UpstreamConnection, data: bytes) -> None:
        self._link = link
        if self._complete:
            self._await_answer()
        link.start(self, self._head.method, data, complete=self._complete)

    def _await_answer(self) -> None:
        conn = self._conn
        conn.deadline = conn.plane.now + self._decision.route.timeout_ms / 1000

    def _touch(self) -> None:
        conn = self._conn
        settings = conn.plane.settings
        idle_ms = settings.tunnel_idle_ms if conn.step is Step.TUNNEL else settings.relay_idle_ms
        conn.deadline = conn.plane.now + idle_ms / 1000

    def _encoded(self, data: bytes, complete: bool) -> bytes:
        if not self._chunk_in:
            return data
        encoded = encode_chunk(data) if data else b""
        return encoded + LAST_CHUNK if complete else encoded

    def _end_of_direction(self) -> None:
        self._ends += 1
        if self._ends == 2:
            self.dropped()
            self._conn.transport.close()

    def _landed(self) -> None:
        if self._bypass is not None:
            self._bypass.land()
            self._bypass = None

    def _finish(self) -> None:
        self._link = None
        if self._bypass is not None:
            self._landed()
        self._conn.finished(close=self._close)

    def _problem(
        self, status: int, code: str, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self._landed()
        self._conn.answer(
            problem(status, code, detail, headers), route_id=self._decision.route.route_id
        )
