"""What the gateway asks of the two sides: pooled connections, and whole exchanges over them.

Callbacks instead of coroutines: a forwarded request costs no task, and bytes go from one socket to
the other in the call that read them.
"""

from enum import Enum
from typing import NamedTuple, Protocol, runtime_checkable

from bridge.gateway.http.response_head import ResponseHead
from bridge.model.errors import OutcomeUnknown, UpstreamUnavailable
from bridge.model.http import HttpRequest, HttpResponse


class FailureKind(Enum):
    """How an exchange ended without a whole answer."""

    UNREACHABLE = "unreachable"  # No connection could be made: provably no byte was sent.
    CONNECT_TIMEOUT = "connect-timeout"  # Nor within the time for connecting.
    BUSY = "busy"  # Every connection is taken and the queue is full or too slow; no byte was sent.
    LOST = "lost"  # The connection ended after bytes were sent.
    MALFORMED = "malformed"  # The answer breaks a rule of RFC 9112.


class Failure(NamedTuple):
    """Why there is no (whole) answer."""

    kind: FailureKind
    detail: str
    stale: bool = False
    """LOST on a reused connection before any byte of an answer: it was closed while idle."""
    retry_after_s: int = 1
    """Of BUSY: when another try is worth it."""

    @property
    def sent(self) -> bool:
        """Whether a byte of the request may have left."""
        return self.kind in (FailureKind.LOST, FailureKind.MALFORMED)


class UpstreamUser(Protocol):
    """Whoever has ordered a connection or an exchange; called from the event loop."""

    def connected(self, connection: "UpstreamConnection") -> None:
        """Take the ordered connection; it is the user's until its exchange has ended."""

    def interim(self, head: ResponseHead) -> None:
        """Hear a 1xx answer other than 101."""

    def answered(self, head: ResponseHead, body: bytes, *, ended: bool) -> None:
        """Hear the final answer's head and the body read with it."""

    def more(self, data: bytes) -> None:
        """Hear more of the body (never empty), or of the tunnel."""

    def trailers(self, lines: list[bytes]) -> None:
        """Hear the field lines of a trailer section, before the end that they belong to."""

    def ended(self) -> None:
        """Hear that the body is whole, or that the tunnel's other end sends no more."""

    def switched(self, head: ResponseHead) -> None:
        """Hear 101: from now on the connection is a tunnel."""

    def failed(self, failure: Failure) -> None:
        """Hear that there will be no (whole) answer; the connection is gone."""

    def pause_sending(self) -> None:
        """Stop sending for a while: the upstream reads slower than we write."""

    def resume_sending(self) -> None:
        """Send again."""


class UpstreamConnection(Protocol):
    """One connection during one exchange. Every method is a no-op after the exchange's end."""

    def start(self, user: UpstreamUser, method: bytes, data: bytes, *, complete: bool) -> None:
        """Send `data`, the head and perhaps the body; `complete` when nothing follows it."""

    def send(self, data: bytes) -> None:
        """Send more of the request, or of the tunnel."""

    def finish(self) -> None:
        """Say that the request is complete; in a tunnel, that we send no more."""

    def hand_over(self, user: UpstreamUser) -> None:
        """From now on tell `user` instead; called while the present one hears `switched`."""

    def pause_reading(self) -> None:
        """Read no more for a while: the client reads slower than the upstream writes."""

    def resume_reading(self) -> None:
        """Read again."""

    def abort(self, *, late: bool = False) -> None:
        """End the exchange and close the connection, without a word to the user.

        `late`: because no answer came in time.
        """


class UpstreamPool(Protocol):
    """Bounded keep-alive connections to one upstream."""

    @property
    def host_line(self) -> bytes:
        """`Host: …` of the upstream, for HTTP/1.0 clients that sent none."""

    def take(self, *, checked: bool) -> UpstreamConnection | None:
        """Return an idle connection, or None; `checked` looks at the socket once more."""

    def order(self, user: UpstreamUser) -> None:
        """Call `user.connected` or `user.failed` once, perhaps before returning."""

    def cancel(self, user: UpstreamUser) -> None:
        """Forget an order."""

    def may_repeat(self) -> bool:
        """Return whether the upstream can bear a second try now; the next order is it."""

    def tick(self, now: float) -> None:
        """Close what is idle too long, fail orders that waited too long; `now` is monotonic."""

    def close(self) -> None:
        """Close every connection at once."""


class NamedPool(UpstreamPool, Protocol):
    """A pool that tells whose it is."""

    name: str


class AnswerTooLarge(OutcomeUnknown):
    """An answer began, and its body is more than may be held in memory: its status is known."""

    def __init__(self, message: str, head: HttpResponse) -> None:
        super().__init__(message)
        self.head = head
        """The answer without its body."""


class Upstream(Protocol):
    """One side's HTTP application, behind a bounded pool of connections."""

    async def exchange(self, request: HttpRequest, *, timeout_ms: int) -> HttpResponse:
        """Send `request` once and return the whole answer.

        Raises:
            UpstreamUnavailable: provably no byte of the request was sent.
            OutcomeUnknown: bytes were sent and no whole answer came.
            AnswerTooLarge: so it is, but the answer's head came.
        """


class ExchangeUser(Protocol):
    """Whoever waits for a whole exchange without a task; hears one of these, once."""

    def heard(self, head: ResponseHead, body: bytes) -> None:
        """Take the whole answer."""

    def unheard(self, why: UpstreamUnavailable | OutcomeUnknown) -> None:
        """Hear what `Upstream.exchange` would have raised."""


@runtime_checkable
class CallbackUpstream(Protocol):
    """An `Upstream` that can be asked without a task as well."""

    def begin(
        self, user: ExchangeUser, request: HttpRequest, wire: bytes, *, timeout_ms: int
    ) -> None:
        """Send `request`, which `wire` holds as it goes over the wire, once; `user` hears the end.

        Perhaps before returning, when there is no connection to be had.
        """
