"""Whole exchanges with one upstream, for the write path and the replays."""

import asyncio
import time

from bridge.gateway.http.deadline import NAME as DEADLINE
from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.upstream_ports import AnswerTooLarge, Failure, NamedPool, UpstreamConnection
from bridge.model.errors import OutcomeUnknown, UpstreamUnavailable
from bridge.model.http import Headers, HttpRequest, HttpResponse

# An answer that is journalled or translated is held in memory, and the former is stored; larger
# ones belong to routes that stream.
ANSWER_BYTES_MAX_DEFAULT = 16 * 1024 * 1024

_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_BODY_METHODS = frozenset((b"POST", b"PUT", b"PATCH"))
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
_DEADLINE = DEADLINE.lower()


class UpstreamClient:
    """See `bridge.gateway.dual.ports.Upstream`: one whole request, one whole answer, sent once."""

    def __init__(
        self, pool: NamedPool, *, answer_bytes_max: int = ANSWER_BYTES_MAX_DEFAULT
    ) -> None:
        self._pool = pool
        self._answer_bytes_max = answer_bytes_max

    async def exchange(self, request: HttpRequest, *, timeout_ms: int) -> HttpResponse:
        """Send `request` once and return the whole answer.

        Only a safe request is sent again, once, when a kept connection was closed under it. A PUT
        or DELETE may change the *answer* of its second sending (404, 409, 412), and the write path
        would take that for the outcome: such a write is in doubt, which has its own ways out.

        Raises:
            UpstreamUnavailable: provably no byte of the request was sent.
            OutcomeUnknown: bytes were sent and no whole answer came.
            AnswerTooLarge: so it is, but the answer's head came.
        """
        deadline = time.monotonic() + timeout_ms / 1000
        if request.method in _SAFE:
            try:
                return await self._once(request, deadline, timeout_ms)
            except _Stale:
                if not self._pool.may_repeat():
                    raise
        return await self._once(request, deadline, timeout_ms)

    async def _once(self, request: HttpRequest, deadline: float, timeout_ms: int) -> HttpResponse:
        exchange = _Exchange(self._pool, request, deadline, self._answer_bytes_max)
        # One timer and one future: a write waits here between two commits.
        timer = exchange.loop.call_later(deadline - time.monotonic(), exchange.expired, timeout_ms)
        try:
            connection = self._pool.take(checked=True)
            if connection is None:
                self._pool.order(exchange)
            else:
                exchange.connected(connection)
            return await exchange.answer
        finally:
            timer.cancel()
            if not exchange.sent:
                self._pool.cancel(exchange)
            exchange.close()


class _Stale(OutcomeUnknown):
    """A kept connection was closed before an answer: most likely the request was never read."""


class _Exchange:
    """Gathers one answer."""

    def __init__(
        self, pool: NamedPool, request: HttpRequest, deadline: float, bytes_max: int
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[HttpResponse] = self.loop.create_future()
        self.sent = False
        self.late = False
        self._using: UpstreamConnection | None = None
        self._pool = pool
        self._request = request
        self._deadline = deadline
        self._upstream = pool.name
        self._method = request.method
        self._bytes_max = bytes_max
        self._head: ResponseHead | None = None
        self._body: list[bytes] = []
        self._size = 0

    def connected(self, connection: UpstreamConnection) -> None:
        """Send: there is a connection."""
        self._using = connection
        if self.answer.done():
            self.close()  # Too late, and nothing was sent.
            return
        left_s = self._deadline - time.monotonic()
        data = _encoded(self._request, self._pool.host_line, left_s)
        self.sent = True
        connection.start(self, self._method, data, complete=True)

    def expired(self, timeout_ms: int) -> None:
        """Hear that the time is up."""
        if self.answer.done():
            return
        self.late = True
        if self.sent:
            self.answer.set_exception(
                OutcomeUnknown(
                    f"outcome of {self._method.decode('ascii')} on upstream"
                    f" {self._upstream!r} is unknown: no whole answer within {timeout_ms} ms"
                    " after the request was sent"
                )
            )
        else:
            self.answer.set_exception(
                UpstreamUnavailable(
                    f"cannot send to upstream {self._upstream!r}: no connection within"
                    f" {timeout_ms} ms"
                )
            )

    def interim(self, head: ResponseHead) -> None:
        """Nobody waits for it."""

    def answered(self, head: ResponseHead, body: bytes, *, ended: bool) -> None:
        self._head = head
        if body:
            self.more(body)
        if ended:
            self.ended()

    def more(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._bytes_max:
            self._body.append(data)
        elif not self.answer.done():
            self._body.clear()
            assert self._head is not None, "a body before its head"
            self.answer.set_exception(
                AnswerTooLarge(
                    f"answer of upstream {self._upstream!r} is larger than {self._bytes_max} bytes",
                    _response(self._head, b"", bodiless=False),
                )
            )

    def trailers(self, lines: list[bytes]) -> None:
        """Dropped whole: a stored answer has none (RFC 9110 6.5.1)."""

    def ended(self) -> None:
        self._using = None  # Its pool has it back.
        if not self.answer.done():
            assert self._head is not None, "ended without a head"
            bodiless = self._method == b"HEAD" or self._head.status == 304
            answer = _response(self._head, b"".join(self._body), bodiless=bodiless)
            self.answer.set_result(answer)

    def switched(self, head: ResponseHead) -> None:
        self.failed_after_sending("switched protocols, which nobody asked for")

    def failed(self, failure: Failure) -> None:
        self._using = None
        if self.sent:
            self.failed_after_sending(failure.detail, _Stale if failure.stale else OutcomeUnknown)
        elif not self.answer.done():
            self.answer.set_exception(UpstreamUnavailable(failure.detail))

    def failed_after_sending(self, why: str, kind: type[OutcomeUnknown] = OutcomeUnknown) -> None:
        if not self.answer.done():
            self.answer.set_exception(
                kind(
                    f"outcome of {self._method.decode('ascii')} on upstream {self._upstream!r} is"
                    f" unknown: {why}"
                )
            )

    def pause_sending(self) -> None:
        """The request was written whole, and is bounded by its route."""

    def resume_sending(self) -> None:
        """Nothing waits for it."""

    def close(self) -> None:
        """Close a connection whose answer was not read to its end."""
        if self._using is not None:
            self._using.abort(late=self.late)
            self._using = None
        if not self.answer.done():
            self.answer.cancel()
        elif not self.answer.cancelled():
            self.answer.exception()  # Seen, even if its waiter was cancelled just now.


def _encoded(request: HttpRequest, host_line: bytes, left_s: float) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method, request.target)]
    for name, value in request.headers:
        lower = name.lower()
        if lower == _DEADLINE:
            # What the request was marked with is old by now: it waited, or is replayed.
            lines.append(b"%b: %d" % (name, max(0, round(left_s * 1000))))
        elif lower not in _FRAMING:
            lines.append(b"%b: %b" % (name, value))
    if request.header(b"host") is None:
        lines.append(host_line)
    if request.body or request.method in _BODY_METHODS:
        lines.append(b"Content-Length: %d" % len(request.body))
    return b"\r\n".join([*lines, b"\r\n"]) + request.body


def _response(head: ResponseHead, body: bytes, *, bodiless: bool) -> HttpResponse:
    headers: list[tuple[bytes, bytes]] = []
    for line in head.lines[1:]:
        name, _, value = line.partition(b":")
        lower = name.lower()
        # Without a body its length says how long it would be: nobody else knows (RFC 9110 8.6).
        if lower not in _FRAMING or (bodiless and lower == b"content-length"):
            headers.append((name, value.strip(b" \t")))
    answer: Headers = tuple(headers)
    return HttpResponse(status=head.status, reason=head.lines[0][13:], headers=answer, body=body)
