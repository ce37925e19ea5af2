"""A pool whose forwarded requests may meet a fault: it stands before another one during a drill."""

import asyncio
from collections.abc import Callable
from math import ceil
from typing import Any, Final

from bridge.gateway.drill.drill import FaultKind, Touch
from bridge.gateway.drill.running import SAFE, Call, Drills, Meeting
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.response_head import ResponseHead, parse_response_head
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.gateway.upstream_ports import (
    Failure,
    FailureKind,
    NamedPool,
    UpstreamConnection,
    UpstreamUser,
)
from bridge.model.http import HttpRequest

FIELD: Final = b"Legacy-Bridge-Drill"
"""Field of an answer that a drill gave; its value is the drill's id."""


def refused(upstream: str, drill_id: str) -> Failure:
    """Return what a request meets that cannot be sent."""
    detail = f"cannot connect to upstream {upstream!r}: drill {drill_id} refuses it"
    return Failure(FailureKind.UNREACHABLE, detail)


class DrilledPool:
    """See `bridge.gateway.upstream_ports.NamedPool`.

    Whoever is not of the cohort gets a connection of the pool behind, and sends and hears what he
    would without a drill.
    """

    def __init__(self, pool: NamedPool, drills: Drills) -> None:
        self.name = pool.name
        self.behind = pool
        self._drills = drills
        self._repeating = False

    @property
    def host_line(self) -> bytes:
        """`Host: …` of the upstream."""
        return self.behind.host_line

    def take(self, *, checked: bool) -> UpstreamConnection | None:
        """Return None: for whom it would be is known with the order."""
        return None

    def order(self, user: UpstreamUser) -> None:
        """Call `user.connected` or `user.failed` once, perhaps before returning."""
        repeating, self._repeating = self._repeating, False
        meeting = None if repeating else self._met(user)
        if meeting is None:
            link = None if repeating else self.behind.take(checked=True)
            if link is None:
                self.behind.order(user)
            else:
                user.connected(link)
            return
        rest_s = meeting.let_through()
        if rest_s is not None:
            detail = f"upstream {self.name!r} has failed too often in drill {meeting.drill_id}"
            wait_s = max(1, ceil(rest_s))
            user.failed(Failure(FailureKind.BUSY, detail, retry_after_s=wait_s))
        elif meeting.fault.kind is FaultKind.REFUSE:
            meeting.failed("refused")
            user.failed(refused(self.name, meeting.drill_id))
        else:
            user.connected(FaultyLink(self.behind, meeting, user))

    def cancel(self, user: UpstreamUser) -> None:
        """Forget an order: it waits behind, for those of the cohort have a link at once."""
        self.behind.cancel(user)

    def may_repeat(self) -> bool:
        """Return whether the upstream can bear a second try now."""
        self._repeating = self.behind.may_repeat()
        return self._repeating

    def tick(self, now: float) -> None:
        """Pass on."""
        self.behind.tick(now)

    def close(self) -> None:
        """Pass on."""
        self.behind.close()

    def _met(self, user: UpstreamUser) -> Meeting | None:
        decision: Decision | None = getattr(user, "decision", None)
        head: RequestHead | None = getattr(user, "head", None)
        # A tunnel outlives a drill; it is left alone.
        if decision is None or head is None or head.upgrade is not None:
            return None
        reads = head.method in SAFE and not decision.route.writes
        call = Call(
            Touch.READS if reads else Touch.WRITES,
            decision.route,
            self.name,
            lambda: self._drills.lane_of(decision, _request(head)),
            head.lines,
            decision.epoch,
        )
        return self._drills.meet(call)


def _request(head: RequestHead) -> HttpRequest:
    """Return a head as those who look for keys want it."""
    parts = (line.partition(b":") for line in head.lines)
    headers = tuple((name, value.strip(b" \t")) for name, _, value in parts)
    return HttpRequest(method=head.method, target=head.target, headers=headers)


class FaultyLink:
    """A connection for its user, and a user for the connection behind, where there is one."""

    def __init__(self, pool: NamedPool, meeting: Meeting, user: UpstreamUser) -> None:
        self._pool = pool
        self._meeting = meeting
        self._user = user
        self._kind = meeting.fault.kind
        self._method = b""
        self._data = b""
        self._complete = False
        self._link: UpstreamConnection | None = None
        self._ordered = False
        self._over = False
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None

    @property
    def route(self) -> Route | None:
        """Say what goes first when the upstream has no room."""
        return getattr(self._user, "route", None)

    # -- the connection's side: what its user does ----------------------------------------------

    def start(self, user: UpstreamUser, method: bytes, data: bytes, *, complete: bool) -> None:
        """Take the request, and let it meet its fault."""
        self._user, self._method, self._data = user, method, data
        self._complete = complete
        if self._kind is FaultKind.DELAY:
            self._later(self._meeting.fault.delay_s, self._go)
            if not complete:
                user.pause_sending()
        elif self._kind is FaultKind.CUT:
            self._go()
        elif complete:
            self._later(0.0, self._answer)

    def send(self, data: bytes) -> None:
        """Take more of the request."""
        if self._link is not None:
            self._link.send(data)
        elif self._kind is not FaultKind.STATUS:
            self._data += data

    def finish(self) -> None:
        """Hear that the request is complete."""
        self._complete = True
        if self._link is not None:
            self._link.finish()
        elif self._kind is FaultKind.STATUS and self._timer is None:
            self._later(0.0, self._answer)

    def hand_over(self, user: UpstreamUser) -> None:
        """Pass on: no tunnel begins here."""
        self._user = user

    def pause_reading(self) -> None:
        """Pass on."""
        if self._link is not None:
            self._link.pause_reading()

    def resume_reading(self) -> None:
        """Pass on."""
        if self._link is not None:
            self._link.resume_reading()

    def abort(self, *, late: bool = False) -> None:
        """End it; what was held back is not sent any more."""
        if self._over:
            return
        if late:
            self._meeting.failed("late")
        else:
            self._meeting.given_up()
        self._drop(late=late)

    # -- the user's side: what the connection behind tells --------------------------------------

    def connected(self, connection: UpstreamConnection) -> None:
        """Send what was held back."""
        self._ordered = False
        if self._over:
            connection.abort()
            return
        self._link = connection
        data, self._data = self._data, b""
        connection.start(self, self._method, data, complete=self._complete)
        if not self._complete and not self._over:
            self._user.resume_sending()

    def interim(self, head: ResponseHead) -> None:
        """Pass on."""
        if self._kind is not FaultKind.CUT:
            self._user.interim(head)

    def answered(self, head: ResponseHead, body: bytes, *, ended: bool) -> None:
        """Pass the answer on, or cut it off."""
        if self._kind is FaultKind.CUT:
            self._cut(ended=ended)
            return
        self._meeting.answered(head.status)
        if ended:
            self._end()
        self._user.answered(head, body, ended=ended)

    def more(self, data: bytes) -> None:
        """Pass on."""
        self._user.more(data)

    def trailers(self, lines: list[bytes]) -> None:
        """Pass on."""
        self._user.trailers(lines)

    def ended(self) -> None:
        """Pass on."""
        self._end()
        self._user.ended()

    def switched(self, head: ResponseHead) -> None:
        """Pass on."""
        self._user.switched(head)

    def failed(self, failure: Failure) -> None:
        """Pass on: the upstream failed by itself."""
        if self._over:
            return
        self._meeting.failed("cut" if failure.sent else "refused")
        self._end()
        # A second try would meet its fault again.
        self._user.failed(failure._replace(stale=False))

    def pause_sending(self) -> None:
        """Pass on."""
        self._user.pause_sending()

    def resume_sending(self) -> None:
        """Pass on."""
        self._user.resume_sending()

    # -- inside ---------------------------------------------------------------------------------

    def _later(self, seconds: float, act: Callable[[], Any]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, act)

    def _go(self) -> None:
        if self._over:
            return
        link = self._pool.take(checked=True)
        if link is not None:
            self.connected(link)
        else:
            self._ordered = True
            self._pool.order(self)

    def _answer(self) -> None:
        if self._over:
            return
        status = self._meeting.fault.status
        self._meeting.answered(status)
        self._end()
        body = b"" if self._method == b"HEAD" else b"drill\n"
        raw = b"HTTP/1.1 %d Drill\r\nContent-Type: text/plain\r\n%b: %b\r\nContent-Length: 6" % (
            status, FIELD, self._meeting.drill_id.encode("ascii"),
        )  # fmt: skip
        head = parse_response_head(raw, self._method)
        self._user.answered(head, body, ended=True)

    def _cut(self, *, ended: bool) -> None:
        self._meeting.failed("cut")
        link, self._link = self._link, None
        self._over = True
        if link is not None and not ended:
            link.abort()
        drill_id = self._meeting.drill_id
        detail = f"upstream {self._pool.name!r} closed the connection: drill {drill_id}"
        self._user.failed(Failure(FailureKind.LOST, detail))

    def _end(self) -> None:
        self._over = True
        self._link = None

    def _drop(self, *, late: bool) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._link is not None:
            self._link.abort(late=late)
            self._link = None
        elif self._ordered:
            self._pool.cancel(self)
