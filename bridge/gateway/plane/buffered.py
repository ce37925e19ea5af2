"""Hand one whole request to the write path, and its answer to the client."""

import asyncio
import dataclasses
from operator import attrgetter
from time import monotonic
from typing import Final

from bridge.gateway.http.deadline import NAME as DEADLINE
from bridge.gateway.http.preference import REQUEST_FIELD, lines_prefer_async
from bridge.gateway.http.problems import FALLBACK, MARKER, problem
from bridge.gateway.http.relay import CONTINUE, relayed_head
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.response_head import ResponseHead, stored_fields
from bridge.gateway.plane.handling import SAFE, ClientSide, Step
from bridge.gateway.plane.keeper import Flight
from bridge.gateway.plane.plane import Plane
from bridge.gateway.plane.tap import Followed, follow
from bridge.gateway.routes.decision import WRITES_LEGACY_ALONE, Decision
from bridge.gateway.routes.sections.ingress import IngressMode
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.write import WriteLevel

# Requests of these have their length told even when there is no body.
_BODY_METHODS: Final = frozenset((b"POST", b"PUT", b"PATCH"))


def is_whole(plane: Plane, decision: Decision, head: RequestHead) -> bool:
    """Whether a request that is not journalled has to be had whole all the same."""
    if decision.behind_queue:
        return True  # It may have to wait, and its key may stand in its body.
    if decision.choice is not None:
        return True  # Who answers it stands in its body.
    if decision.edits is not None and decision.edits.needs_bodies and head.upgrade is None:
        return True
    mode = decision.route.ingress.mode
    if mode is IngressMode.ALWAYS or (
        mode is IngressMode.PREFERRED and lines_prefer_async(head.lines)
    ):
        return True
    return plane.write_path.translates(decision)


_BUSY: Final = (
    503,
    "busy",
    "too much of other requests is held in memory; nothing was done",
    ((b"Retry-After", b"1"),),
)
"""What a request gets that there is no room for."""


class Buffered:
    """Gathers a body, then runs the write path in a task that its client cannot cancel."""

    __slots__ = (
        "_began", "_begun", "_body", "_bypass", "_conn", "_decision", "_followed", "_head",
        "_table", "_task",
    )  # fmt: skip

    until = float("inf")
    """The write path has its own limits, which its client cannot shorten."""
    decision = property(attrgetter("_decision"))

    def __init__(self, conn: ClientSide, head: RequestHead, decision: Decision) -> None:
        self._began = monotonic()
        self._conn = conn
        self._head = head
        self._decision = decision
        self._table = conn.plane.keeper.table
        """By which it was decided just now."""
        self._body: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._begun = False
        self._bypass: Flight | None = None
        self._followed: Followed | None = None

    def start(self, body: bytes, *, complete: bool) -> None:
        """Admit the request: `100 Continue` is ours to send, because nobody else sees the body."""
        length = self._head.length
        if length > 0 and not self._conn.hold(length):
            self._conn.refuse(*_BUSY)
            return
        if self._head.expects and not complete:
            self._conn.write(CONTINUE)
        self.body(body, complete=complete)

    def body(self, data: bytes, *, complete: bool) -> None:
        """Gather; the connection has checked the route's limit."""
        if self._head.length < 0 and not self._conn.hold(len(data)):
            self._conn.refuse(*_BUSY)
            return
        self._body.append(data)
        if not complete:
            return
        conn = self._conn
        whole = b"".join(self._body)
        self._body.clear()
        route = self._decision.route
        if self._decision.choice is not None:
            request = self._request(whole)
            self._decision = conn.plane.sides.choose_whole(self._decision, request)
        if self._decision.journalled or (route.writes and len(route.upstreams) > 1):
            self._decide_again()
        # The write path bounds itself; this is for the day on which it does not.
        conn.deadline = last_moment(conn.plane, self._decision)
        if self._begin(whole):
            return
        request = self._request(whole)
        if self._decision.tapped:
            self._follow(request)
        self._task = conn.plane.spawn(self._run(request), self._broke)

    def _broke(self) -> None:
        """End what nobody will answer any more."""
        self._conn.cut()
        if self._conn.step is Step.GONE:
            self._conn.finished(close=True)

    def _request(self, body: bytes) -> HttpRequest:
        head = self._head
        return HttpRequest(
            method=head.method,
            target=head.target,
            headers=self._conn.edge.fields(head) + self._deadline(),
            body=body,
        )

    def _begin(self, body: bytes) -> bool:
        """Have a write that is like most carried out without a task; return False for others."""
        conn, head, decision = self._conn, self._head, self._decision
        if (
            not (decision.journalled and head.plain)
            or decision.stage in WRITES_LEGACY_ALONE
            or decision.tapped
            or decision.edits is not None
            or (not body and head.method in _BODY_METHODS)  # It may have to be told: length 0.
            or self._deadline()
        ):
            return False
        fields = conn.edge.whole(head)
        if not fields.plain:
            return False
        request = HttpRequest(
            method=head.method, target=head.target, headers=fields.fields, body=body
        )
        wire = b"%b\r\n%b\r\n%b" % (head.start, fields.block, body)
        self._begun = conn.plane.write_path.begin(decision, request, wire, self)
        if self._begun:
            conn.plane.begun(self)
        return self._begun

    def _deadline(self) -> Headers:
        """Mark a request whose upstream is to be told how long it is waited for.

        The number is written when it is sent: a write may have to wait for its lane before.
        """
        total_s = self._decision.route.phases.total_s
        if total_s is None and self._conn.edge.deadline_ms(self._head) is None:
            return ()
        return ((DEADLINE, b"%d" % self._decision.route.phases.whole_ms),)

    def _decide_again(self) -> None:
        """Take the newest table: the body may have come long after the head.

        After a roll back a write may pass the journal; it is then counted until it has ended, so
        that the next switch waits for it (see `plane.Flight`).
        """
        head, keeper = self._head, self._conn.plane.keeper
        table = keeper.latest()
        if table is not self._table:
            host = head.authority.name if head.authority else None
            again = table.decide(head.method, host, head.target, head.lines)
            if isinstance(again, Decision) and again.journalled:
                self._decision = again
        if self._decision.stage in WRITES_LEGACY_ALONE:
            self._bypass = keeper.flight
            self._bypass.count += 1

    async def _run(self, request: HttpRequest) -> None:
        conn, decision = self._conn, self._decision
        path = conn.plane.write_path
        try:
            if decision.journalled:
                response = await path.write(decision, request)
            else:
                response = await path.read(decision, request)
        except Exception as exc:
            response = self._broken(exc)
        finally:
            if self._bypass is not None:
                self._bypass.land()
        self._answer(response)

    def _broken(self, exc: Exception) -> HttpResponse:
        # The client must not wait for ever because of a bug of ours, and neither must its lane be
        # told more than it knows: the journal holds what was promised.
        self._conn.plane.observer.note(
            "write_path_failed", route=self._decision.route.route_id, error=type(exc).__name__
        )
        return problem(500, "internal", "the gateway failed; the outcome is in its journal")

    def _answer(self, response: HttpResponse) -> None:
        conn, decision = self._conn, self._decision
        response = measured(decision, self._head.method, response)
        own = response.header(MARKER) is not None or response.header(REQUEST_FIELD) is not None
        if decision.way_back is not None and response.header(FALLBACK) is not None:
            decision = decision.way_back
        upstream = "" if own else decision.route.upstreams[decision.authority]
        if conn.step is not Step.GONE:
            decision.times.answered(monotonic() - self._began)
        conn.answer(response, label=decision.label, upstream=upstream)
        if self._followed is not None:
            if own or decision is self._decision.way_back:
                self._followed.failed("authority_failed")
            else:
                self._followed.responded(response)

    # -- from the write path, when there is no task ---------------------------------------------

    def answered(self, response: HttpResponse) -> None:
        """Take an answer that was made, or changed, by the write path."""
        self._conn.plane.ended(self)
        self._answer(response)

    def relayed(self, head: ResponseHead, body: bytes) -> None:
        """Take the authority's whole answer, as it came."""
        conn, decision = self._conn, self._decision
        plane = conn.plane
        plane.ended(self)
        if head.length < 0:
            # It had no length, and has one now.
            fields = stored_fields(head)
            reason = head.lines[0][13:]
            self._answer(HttpResponse(status=head.status, reason=reason, headers=fields, body=body))
            return
        upstream = decision.route.upstreams[decision.authority]
        plane.answers[decision.label, upstream, head.status // 100] += 1
        relayed = relayed_head(head, conn.client, plane.via_line, plane.date_line)
        if conn.step is not Step.GONE:
            decision.times.answered(monotonic() - self._began)
        conn.write(relayed.head + body)
        conn.finished(close=relayed.close)

    def broke(self, exc: Exception) -> None:
        """There is no answer because of a bug."""
        self.answered(self._broken(exc))

    def _follow(self, request: HttpRequest) -> None:
        conn, head = self._conn, self._head
        plane, block = conn.plane, conn.edge.block(head)
        self._followed = follow(plane.tap, plane.observer, self._decision, head, block)
        if self._followed is not None:
            self._followed.more_request(request.body, complete=True)

    def trailed(self, lines: list[bytes]) -> None:
        """Dropped whole: a journalled request has none (RFC 9110 6.5.1)."""

    def client_gone(self, *, body_complete: bool) -> bool:
        """A write goes on without its client, a read does not."""
        if self._begun:
            return True
        if self._task is None or self._task.done():
            return False
        if not self._decision.journalled and self._head.method in SAFE:
            self._task.cancel()
            if self._followed is not None:
                self._followed.failed("client_gone")
            return False
        return True

    def client_ended(self) -> None:
        """There is no tunnel here."""

    def dropped(self) -> None:
        """The body was refused half read; nothing has begun."""
        self._body.clear()

    def expired(self) -> None:
        """The client does not take its answer, or there is none: neither is waited for longer."""
        if self._begun or (self._task is not None and not self._task.done()):
            route_id = self._decision.route.route_id
            self._conn.plane.observer.note("write_path_late", route=route_id)
        if self._conn.step is not Step.GONE:
            self._conn.transport.abort()

    def pause_reading(self) -> None:
        """The answer is whole already."""

    def resume_reading(self) -> None:
        """So there is nothing to resume."""


def last_moment(plane: Plane, decision: Decision) -> float:
    """Return when a request that is taken whole is given up at last (monotonic seconds).

    Two calls, because legacy may be asked after modern; every other wait stands in the settings.
    """
    rules, settings = decision.route.dual, plane.settings
    both_ms = rules.both_wait_ms if rules.level is WriteLevel.BOTH else 0
    waits_ms = 2 * decision.route.phases.whole_ms + both_ms + settings.write_wait_ms
    return plane.now + (waits_ms + settings.write_margin_ms) / 1000


def measured(decision: Decision, method: bytes, response: HttpResponse) -> HttpResponse:
    """Return an answer to HEAD without the length of a body that a GET would have changed."""
    if method != b"HEAD" or not _changes_bodies(decision):
        return response
    # The body of a GET would be another one than the upstream has measured.
    return dataclasses.replace(response, headers=_unmeasured(response.headers))


def _changes_bodies(decision: Decision) -> bool:
    edits = decision.edits
    return bool(decision.route.ids.response or (edits is not None and edits.answer_bodies))


def _unmeasured(headers: Headers) -> Headers:
    return tuple(field for field in headers if field[0].lower() != b"content-length")
