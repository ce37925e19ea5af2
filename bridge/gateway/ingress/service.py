"""Take writes at once and answer 202; show where they stand. The write path of a worker, wrapped.

A queued request is durable before its 202. It is sent by the one sender of all processes
(`ingress.sender`), through the ordinary write path, so that everything which holds for writes holds
for it: lanes, intents, `Idempotency-Key`, both sides.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from bridge.gateway.dual import answers
from bridge.gateway.dual.admission import Admission, WriteLimits, fingerprint_of, scope_of
from bridge.gateway.dual.ports import IdMap, WriteJournal
from bridge.gateway.http.answer_taker import AnswerTaker
from bridge.gateway.http.preference import prefers_async, without_preference
from bridge.gateway.ingress.entries import ended_entry
from bridge.gateway.ingress.line import LaneWait
from bridge.gateway.ingress.ports import Backlog, IngressBook, Kept, QueuedRequest, QueueState
from bridge.gateway.ingress.status import (
    RESULT_ROUTE,
    STATUS_ROUTE,
    accepted_answer,
    cancelled_answer,
    queue_full,
    result_answer,
    status_answer,
    too_late,
    unknown_request,
)
from bridge.gateway.plane.write_path import Asking, WritePath
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import KeyPlace
from bridge.gateway.routes.sections.dual import KeyDemand
from bridge.gateway.routes.sections.ingress import IngressMode
from bridge.model.errors import StorageUnavailable
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.observer import Observer, SilentObserver
from bridge.model.write import WriteState

_KEY: Final = b"idempotency-key"
_KEY_BYTES_MAX: Final = 255
# 192 bits: nobody finds another one's by trying.
_ID_BYTES: Final = 24
# How long what waits is taken as known: a spike of a thousand asks a store once or twice.
_BACKLOG_S: Final = 0.05


class AsyncIngress:
    """`WritePath` around another one: takes what its route lets be taken, serves the statuses."""

    def __init__(
        self,
        inner: WritePath,
        *,
        book: IngressBook,
        journal: WriteJournal,
        ids: IdMap,
        prefix: str,
        limits: WriteLimits | None = None,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`prefix` is the path under which statuses are served."""
        self._inner = inner
        self._book = book
        self._journal = journal
        self._admission = Admission(ids)
        self._prefix = prefix
        self._line = LaneWait(book, limits or WriteLimits())
        self._observer = observer or SilentObserver()
        self._clock = clock
        self._backlogs: dict[tuple[str, str], tuple[float, Backlog]] = {}

    def translates(self, decision: Decision) -> bool:
        """Whether the authority knows an id of this request by another name."""
        return self._inner.translates(decision)

    def instead(self, decision: Decision, request: HttpRequest, asked_at: float) -> Asking | None:
        """Return what asks legacy in modern's place; statuses are ours, and have no sides."""
        return self._inner.instead(decision, request, asked_at)

    async def write(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Take a write, or pass it on."""
        if _takes(decision, request):
            return await self._accept(decision, request)
        busy = await self._behind(decision, request) if decision.behind_queue else None
        return busy or await self._inner.write(decision, request)

    def begin(
        self, decision: Decision, request: HttpRequest, wire: bytes, told: AnswerTaker
    ) -> bool:
        """Pass on what is not taken here, and does not have to wait for what was."""
        if decision.behind_queue or _takes(decision, request):
            return False
        return self._inner.begin(decision, request, wire, told)

    async def read(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Serve a status, take a request that is not journalled, or pass it on."""
        if decision.route.route_id in (STATUS_ROUTE, RESULT_ROUTE):
            return await self._status(decision, request)
        if _takes(decision, request):
            return await self._accept(decision, request)
        busy = await self._behind(decision, request) if decision.behind_queue else None
        return busy or await self._inner.read(decision, request)

    async def _behind(self, decision: Decision, request: HttpRequest) -> HttpResponse | None:
        """Wait for what is queued of a write's key; return the answer when it takes too long."""
        route = decision.route
        if route.key is not None and route.key.place is KeyPlace.CREATED:
            return None  # Nobody can have queued a write of what does not exist yet.
        try:
            lane = self._admission.lane(decision, request)
            # Without its key the request is not ours to judge: it is refused where that matters.
            if lane is None or await self._line.passes(route.group, lane):
                return None
        except StorageUnavailable:
            return answers.journal_unavailable()
        self._observer.note("queue_overtaking", route=route.route_id)
        return answers.lane_busy(
            "earlier writes of this key are queued; ask with 'Prefer: respond-async' where the"
            " operation takes it, and this one is taken in order"
        )

    async def _accept(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        try:
            queued = self._queued(decision, request)
            if isinstance(queued, HttpResponse):
                return queued
            if self._is_full(decision, len(request.body)):
                self._observer.note("queue_full", route=decision.route.route_id)
                return queue_full()
            accepted = await self._book.accept(queued)
        except StorageUnavailable:
            return answers.journal_unavailable()
        if accepted.fingerprint != queued.fingerprint:
            return answers.key_reused()
        return accepted_answer(
            f"{self._prefix}/{accepted.request_id}",
            accepted.request_id,
            preferred=prefers_async(request.headers),
        )

    def _queued(self, decision: Decision, request: HttpRequest) -> QueuedRequest | HttpResponse:
        route = decision.route
        request_id = secrets.token_urlsafe(_ID_BYTES)
        if route.key is not None and route.key.place is KeyPlace.CREATED:
            lane: str | None = f"new:{request_id}"
        else:
            lane = self._admission.lane(decision, request)
        if lane is None:
            assert route.key is not None, "a route without a key has a lane of its own"
            return answers.key_missing(f"{route.key.place.value} {route.key.name!r}")
        keys = [value for name, value in request.headers if name.lower() == _KEY]
        if len(keys) > 1 or (keys and not 0 < len(keys[0]) <= _KEY_BYTES_MAX):
            return answers.bad_client_key()
        if not keys and route.dual.idempotency is KeyDemand.REQUIRED:
            return answers.client_key_missing()
        sent = replace(request, headers=without_preference(request.headers))
        if not keys:
            # By this key the journal knows it again, should we be killed while it is under way.
            own = (b"Idempotency-Key", b'"' + request_id.encode("ascii") + b'"')
            sent = replace(sent, headers=(*sent.headers, own))
        return QueuedRequest(
            request_id=request_id,
            group=route.group,
            route=route.route_id,
            lane=lane,
            client_key=scope_of(request) + keys[0].decode("latin-1") if keys else None,
            fingerprint=fingerprint_of(request),
            caller=caller_of(request),
            request=sent,
            accepted_at=self._clock(),
        )

    def _is_full(self, decision: Decision, body_bytes: int) -> bool:
        """Look at what waits; what this process took since its last look is counted beside it."""
        route = decision.route
        key = (route.group, route.route_id)
        now = time.monotonic()
        looked_at, backlog = self._backlogs.get(key, (-1.0, Backlog(0, 0)))
        if now - looked_at > _BACKLOG_S:
            looked_at, backlog = now, self._book.backlog(*key)
        rules = route.ingress
        taken = Backlog(backlog.requests + 1, backlog.body_bytes + body_bytes)
        full = taken.requests > rules.waiting_max or taken.body_bytes > rules.waiting_bytes_max
        self._backlogs[key] = (looked_at, backlog if full else taken)
        return full

    async def _status(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        request_id = decision.params["id"]
        try:
            kept = self._book.find(request_id)
            # Somebody else's is not told from one that is not there.
            if kept is None or kept.queued.caller != caller_of(request):
                return unknown_request()
            if request.method == b"DELETE":
                return await self._cancel(kept)
            kept = self._resolved(kept)
        except StorageUnavailable:
            return answers.journal_unavailable()
        location = f"{self._prefix}/{request_id}"
        if decision.route.route_id == RESULT_ROUTE:
            return result_answer(kept, location)
        return status_answer(kept, location)

    async def _cancel(self, kept: Kept) -> HttpResponse:
        if kept.state is QueueState.CANCELLED:
            return cancelled_answer(kept.queued.request_id)
        at = datetime.fromtimestamp(self._clock(), UTC)
        draft = ended_entry(kept, QueueState.CANCELLED, None, at)
        if await self._book.cancel(kept.queued.request_id, draft):
            return cancelled_answer(kept.queued.request_id)
        return too_late()

    def _resolved(self, kept: Kept) -> Kept:
        """Return a request in doubt as done, once the journal knows its answer."""
        if kept.state is not QueueState.IN_DOUBT or not kept.guarded:
            return kept
        queued = kept.queued
        write = self._journal.keyed(queued.group, queued.route, journal_key(queued.request))
        if write is None or write.response is None or write.state is WriteState.IN_DOUBT:
            return kept
        return replace(kept, state=QueueState.DONE, response=write.response)


def caller_of(request: HttpRequest) -> str:
    """Return a digest of the credentials, by which a caller is known again."""
    shown = request.header(b"authorization") or b""
    return hashlib.sha256(b"caller\0" + shown).hexdigest()


def journal_key(request: HttpRequest) -> str:
    """Return the key by which the write journal knows a queued request."""
    key = request.header(_KEY)
    assert key is not None, "a queued request always has one"
    return scope_of(request) + key.decode("latin-1")


def _takes(decision: Decision, request: HttpRequest) -> bool:
    mode = decision.route.ingress.mode
    if mode is IngressMode.OFF:
        return False
    return mode is IngressMode.ALWAYS or prefers_async(request.headers)
