"""Whole exchanges with one upstream, for the write path and the replays."""

import asyncio
import time
from collections.abc import Callable

from bridge.gateway.http.deadline import NAME as DEADLINE
from bridge.gateway.http.response_head import ResponseHead, stored_fields
from bridge.gateway.upstream_ports import (
    AnswerTooLarge,
    ExchangeUser,
    Failure,
    NamedPool,
    UpstreamConnection,
)
from bridge.model.errors import OutcomeUnknown, UpstreamUnavailable
from bridge.model.http import HttpRequest, HttpResponse

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
        waiter = _Waiter(request.method)

        def encoded() -> bytes:
            return _encoded(request, self._pool.host_line, deadline - time.monotonic())

        exchange = _Exchange(self._pool, waiter, request.method, encoded, self._answer_bytes_max)
        # One timer and one future: a write waits here between two commits.
        exchange.begin(deadline - time.monotonic(), timeout_ms)
        try:
            return await waiter.answer
        finally:
            exchange.give_up()
            waiter.leave()

    def begin(
        self, user: ExchangeUser, request: HttpRequest, wire: bytes, *, timeout_ms: int
    ) -> None:
        """See `CallbackUpstream.begin`."""
        exchange = _Exchange(self._pool, user, request.method, lambda: wire, self._answer_bytes_max)
        exchange.begin(timeout_ms / 1000, timeout_ms)


class _Stale(OutcomeUnknown):
    """A kept connection was closed before an answer: most likely the request was never read."""


class _Waiter:
    """Lets a coroutine wait for an exchange."""

    def __init__(self, method: bytes) -> None:
        self.answer: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self._method = method

    def heard(self, head: ResponseHead, body: bytes) -> None:
        if not self.answer.done():
            bodiless = self._method == b"HEAD" or head.status == 304
            self.answer.set_result(_answer_of(head, body, bodiless=bodiless))

    def unheard(self, why: OutcomeUnknown | UpstreamUnavailable) -> None:
        if not self.answer.done():
            self.answer.set_exception(why)

    def leave(self) -> None:
        """Look at an answer that came as its waiter was cancelled."""
        if self.answer.done() and not self.answer.cancelled():
            self.answer.exception()


class _Exchange:
    """Gathers one answer; its user hears once how it ended, unless it gives up."""

    __slots__ = (
        "_body", "_bytes_max", "_encoded", "_head", "_method", "_over", "_pool", "_sent", "_size",
        "_timer", "_user", "_using",
    )  # fmt: skip

    def __init__(
        self,
        pool: NamedPool,
        user: ExchangeUser,
        method: bytes,
        encoded: Callable[[], bytes],
        bytes_max: int,
    ) -> None:
        self._pool = pool
        self._user = user
        self._method = method
        self._encoded = encoded
        self._bytes_max = bytes_max
        self._sent = False
        self._over = False
        self._using: UpstreamConnection | None = None
        self._head: ResponseHead | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle

    def begin(self, within_s: float, timeout_ms: int) -> None:
        """Send on an idle connection, or order one."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(within_s, self._expired, timeout_ms)
        connection = self._pool.take(checked=True)
        if connection is None:
            self._pool.order(self)
        else:
            self.connected(connection)

    def give_up(self) -> None:
        """Hear nothing any more; an answer that was not read to its end closes its connection."""
        self._end()

    def connected(self, connection: UpstreamConnection) -> None:
        """Send: there is a connection."""
        if self._over:
            connection.abort()  # Too late, and nothing was sent.
            return
        self._using = connection
        data = self._encoded()
        self._sent = True
        connection.start(self, self._method, data, complete=True)

    def _expired(self, timeout_ms: int) -> None:
        if self._sent:
            self._fail(
                self._unknown(f"no whole answer within {timeout_ms} ms after the request was sent"),
                late=True,
            )
        else:
            why = f"cannot send to upstream {self._pool.name!r}: no connection within"
            self._fail(UpstreamUnavailable(f"{why} {timeout_ms} ms"), late=True)

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
        if self._size > self._bytes_max:
            self._body.clear()
            if not self._over:
                # The connection is in the middle of telling us: it is closed in the next round,
                # unless this was all of it.
                asyncio.get_running_loop().call_soon(self._end)
                what = f"is larger than {self._bytes_max} bytes"
                assert self._head is not None, "a body before its head"
                cut = _answer_of(self._head, b"", bodiless=False)
                self._tell(AnswerTooLarge(f"answer of upstream {self._pool.name!r} {what}", cut))
        elif not self._over:
            self._body.append(data)

    def trailers(self, lines: list[bytes]) -> None:
        """Dropped whole: a stored answer has none (RFC 9110 6.5.1)."""

    def ended(self) -> None:
        self._using = None  # Its pool has it back.
        if not self._over:
            assert self._head is not None, "ended without a head"
            self._over = True
            self._timer.cancel()
            body = self._body
            self._user.heard(self._head, body[0] if len(body) == 1 else b"".join(body))

    def switched(self, head: ResponseHead) -> None:
        self._fail(self._unknown("switched protocols, which nobody asked for"))

    def failed(self, failure: Failure) -> None:
        self._using = None
        if not self._sent:
            self._fail(UpstreamUnavailable(failure.detail))
        elif failure.stale:
            self._fail(self._unknown(failure.detail, _Stale))
        else:
            self._fail(self._unknown(failure.detail))

    def pause_sending(self) -> None:
        """The request was written whole, and is bounded by its route."""

    def resume_sending(self) -> None:
        """Nothing waits for it."""

    def _unknown(self, why: str, kind: type[OutcomeUnknown] = OutcomeUnknown) -> OutcomeUnknown:
        return kind(
            f"outcome of {self._method.decode('ascii')} on upstream {self._pool.name!r} is"
            f" unknown: {why}"
        )

    def _fail(self, why: OutcomeUnknown | UpstreamUnavailable, *, late: bool = False) -> None:
        if not self._over:
            self._end(late=late)
            self._tell(why)

    def _tell(self, why: OutcomeUnknown | UpstreamUnavailable) -> None:
        self._over = True
        self._user.unheard(why)

    def _end(self, *, late: bool = False) -> None:
        """Close a connection whose answer was not read to its end, or withdraw the order."""
        self._over = True
        self._timer.cancel()
        if not self._sent:
            self._pool.cancel(self)
        if self._using is not None:
            self._using.abort(late=late)
            self._using = None


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


def _answer_of(head: ResponseHead, body: bytes, *, bodiless: bool) -> HttpResponse:
    return HttpResponse(
        status=head.status,
        reason=head.lines[0][13:],
        headers=stored_fields(head, bodiless=bodiless),
        body=body,
    )
