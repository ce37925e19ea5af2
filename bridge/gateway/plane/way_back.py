"""Forward a read to modern; should it have no answer in its time, let legacy give one.

Only a read of which no byte was answered goes back, and only where the write path says that legacy
lacks no write (`WritePath.instead`). Otherwise this is a `Forward` like any other.
"""

import asyncio
from time import monotonic

from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.plane.buffered import Buffered, is_whole, last_moment, measured
from bridge.gateway.plane.forward import Forward
from bridge.gateway.plane.handling import ClientSide, Step
from bridge.gateway.plane.own_answers import internal_answer, lost_answer
from bridge.gateway.plane.plane import Plane
from bridge.gateway.plane.write_path import Asking
from bridge.gateway.routes.decision import Decision
from bridge.model.http import HttpRequest, HttpResponse

_READING = frozenset((b"GET", b"HEAD"))


def handler(plane: Plane, decision: Decision, head: RequestHead) -> type[Buffered] | type[Forward]:
    """Return what handles a request that is no plain forward."""
    if decision.journalled or (decision.has_ids and is_whole(plane, decision, head)):
        return Buffered
    reads = head.method in _READING and not head.length and head.upgrade is None
    return ReadWithWayBack if reads and decision.way_back is not None else Forward


class ReadWithWayBack(Forward):
    """See the module."""

    _asking: asyncio.Task[None] | None = None
    _by = float("inf")
    """Monotonic seconds until which modern is waited for, if somebody else can be asked."""
    _usual = 0.0
    """And if nobody can."""

    def __init__(self, conn: ClientSide, head: RequestHead, decision: Decision) -> None:
        super().__init__(conn, head, decision)
        self._by = conn.plane.now + decision.route.fallback_after_s

    def start(self, body: bytes, *, complete: bool) -> None:
        """Send, or order a connection: the wait for one counts too."""
        super().start(body, complete=complete)
        if self._pending is not None:
            self._usual = self._conn.deadline
            self._conn.deadline = min(self._usual, self._by)

    def answered(self, head: ResponseHead, body: bytes, *, ended: bool) -> None:
        """Relay the answer, unless its status is declared to be none."""
        if head.status in self._decision.route.protection.fallback_statuses:
            asking = self._instead()
            if asking is not None:
                if self._link is not None and not ended:
                    self._link.abort()
                self._link = None
                self._begin(asking, lost_answer(self._decision.upstream, head.status))
                return
        super().answered(head, body, ended=ended)

    def expired(self) -> None:
        """Ask legacy when modern's time is over; without that, modern has the usual time."""
        if self._asking is not None:
            self._conn.transport.abort()  # The answer is whole, and its client does not take it.
            return
        if not self._answered and self._conn.plane.now < self._usual:
            self._by = float("inf")
            if self._instead() is None:
                self._conn.deadline = self._usual
                return
        super().expired()

    def client_gone(self, *, body_complete: bool) -> bool:
        """Nobody waits for legacy's answer."""
        if self._asking is not None:
            self._asking.cancel()
            return False
        return super().client_gone(body_complete=body_complete)

    def dropped(self, *, late: bool = False) -> None:
        """Give everything up."""
        if self._asking is not None:
            self._asking.cancel()
        super().dropped(late=late)

    # -- inside ---------------------------------------------------------------------------------

    def _await_answer(self) -> None:
        super()._await_answer()
        self._usual = self._conn.deadline
        self._conn.deadline = min(self._usual, self._by)

    @property
    def _request(self) -> HttpRequest:
        head = self._head
        fields = self._conn.edge.fields(head)
        return HttpRequest(method=head.method, target=head.target, headers=fields, body=b"")

    def _instead(self) -> Asking | None:
        if self._asking is not None or self._conn.step is not Step.ANSWER:
            return None
        if self._conn.plane.now >= self.until:
            return None
        path = self._conn.plane.write_path
        return path.instead(self._decision, self._request, self._began)

    def _own(self, answer: HttpResponse) -> None:
        """Answer in modern's place: by legacy, if it can."""
        asking = self._instead()
        if asking is None:
            super()._own(answer)
        else:
            self._begin(asking, answer)

    def _begin(self, asking: Asking, own: HttpResponse) -> None:
        conn = self._conn
        # The write path bounds itself by the route's times; this is for when it does not.
        conn.deadline = last_moment(conn.plane, self._decision)
        self._asking = conn.plane.spawn(self._ask(asking, own), conn.cut)

    async def _ask(self, asking: Asking, own: HttpResponse) -> None:
        conn, back = self._conn, self._decision.way_back
        assert back is not None, "a way back is what it was made for"
        try:
            answer = await asking()
        except Exception as exc:
            # The client must not wait for ever because of a bug of ours.
            conn.plane.observer.note(
                "fallback_failed", route=back.route.route_id, error=type(exc).__name__
            )
            answer, own = None, internal_answer()
        if answer is None:
            super()._own(own)
            return
        self._landed()
        answer = measured(back, self._head.method, answer)
        if conn.step is not Step.GONE:
            back.times.answered(monotonic() - self._began)
        conn.answer(answer, label=back.label, upstream=back.upstream)
