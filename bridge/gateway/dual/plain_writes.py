"""Take a plain write through intent, authority and outcome by callbacks, without a task.

Most writes need nothing but that: their lane is free, their route translates no ids, changes
nothing, asks for no token, and the journal takes intent and outcome. For those the promise of
`writer` is kept by a chain of callbacks: intent durable, then bytes to the authority; outcome
durable, then bytes to the client, as they came. Each link of it either goes on or hands the write,
as far as it has come, to the coroutines of `writer`, which know every case: with its turn at the
lane, its intent, its answer. Nothing is decided here that they would decide otherwise.
"""

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Final

from bridge.gateway.dual.admission import Admission, Write
from bridge.gateway.dual.authority_call import AuthorityCall, read_outcome
from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.dual.ports import WriteJournal
from bridge.gateway.dual.turns import Turns
from bridge.gateway.http.answer_taker import AnswerTaker
from bridge.gateway.http.response_head import ResponseHead, stored_fields
from bridge.gateway.routes.decision import WRITES_LEGACY_ALONE, Decision
from bridge.gateway.routes.route import KeyPlace, Route
from bridge.gateway.routes.sections.dual import KeyDemand
from bridge.gateway.routes.timings import AUTHORITY, INTENT, LANE, OUTCOME, OWN
from bridge.gateway.upstream_ports import CallbackUpstream
from bridge.model.errors import LaneBusy, StaleEpoch, StorageUnavailable
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side
from bridge.model.write import WriteIntent, WriteLevel, WriteState

GoOn = Callable[[Write, "Coroutine[Any, Any, HttpResponse]"], None]
"""Runs the rest of a write, whose turn it gives back, and tells its answer."""

# A route table has hundreds; one that is replaced leaves its routes behind.
_ROUTES_KNOWN_MAX: Final = 4_096


class PlainWrites:
    """The plain writes of one `DualWriter`, whose parts it shares."""

    def __init__(
        self,
        *,
        journal: WriteJournal,
        admission: Admission,
        authority: AuthorityCall,
        turns: Turns,
        forwarder: Forwarder,
        in_turn: Callable[[Write], Coroutine[Any, Any, HttpResponse]],
        go_on: GoOn,
    ) -> None:
        """`in_turn` takes a write that has its turn, and nothing else yet."""
        self.journal = journal
        self.authority = authority
        self.turns = turns
        self.in_turn = in_turn
        self.go_on = go_on
        self.under_way: set[PlainWrite] = set()
        self._admission = admission
        self._upstreams = forwarder.upstreams
        self._faults = forwarder.faults
        self._known: dict[tuple[int, Side], tuple[Route, CallbackUpstream | None]] = {}
        self._drained: asyncio.Future[None] | None = None

    def begin(
        self, decision: Decision, request: HttpRequest, wire: bytes, told: AnswerTaker
    ) -> bool:
        """Take a write if it is plain: `told` hears the answer later; else return False.

        `request` has no `Idempotency-Key`, and `wire` holds it as the authority is to get it.
        """
        route, side = decision.route, decision.authority
        known = self._known.get((id(route), side))
        upstream = known[1] if known is not None else self._learn(route, side)
        if upstream is None or decision.stage in WRITES_LEGACY_ALONE or self._faults.active:
            return False
        write = self._admission.admit(decision, request, keyless=True)
        if isinstance(write, HttpResponse):
            return False  # It is refused, with the same words, by `write`.
        if not self.turns.take_now(route.group, write.lane):
            return False
        intent = self.authority.intent_of(write, side)
        plain = PlainWrite(self, write, intent, upstream, wire, told)
        try:
            self.journal.open_soon(intent, done=plain.opened)
        except StorageUnavailable:
            self.turns.give_back(route.group, write.lane)
            return False
        self.under_way.add(plain)
        return True

    async def drain(self) -> None:
        """Wait until every write that was begun has its outcome, or was handed on."""
        if self.under_way:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def left(self, plain: "PlainWrite") -> None:
        """Hear that a write has ended, or was handed on."""
        self.under_way.discard(plain)
        if not self.under_way and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _learn(self, route: Route, side: Side) -> CallbackUpstream | None:
        if len(self._known) >= _ROUTES_KNOWN_MAX:
            self._known.clear()
        upstream = self._upstreams.get(route.upstreams[side]) if is_plain(route, side) else None
        found = upstream if isinstance(upstream, CallbackUpstream) else None
        # The route is kept, so that its number is not another one's.
        self._known[id(route), side] = route, found
        return found


def is_plain(route: Route, side: Side) -> bool:
    """Whether a route's writes on `side` need nothing but intent, call and outcome."""
    rules = route.dual
    return (
        rules.level is WriteLevel.INTENT
        and rules.idempotency is not KeyDemand.REQUIRED
        and not rules.has_tokens
        and side not in rules.honours_keys
        and not route.ids
        and route.rewriting[side] is None
        and (route.key is None or route.key.place is not KeyPlace.CREATED)
    )


class PlainWrite:
    """One plain write on its way; it holds its turn at the lane until it has ended."""

    __slots__ = ("_answer", "_home", "_intent", "_since", "_told", "_upstream", "_wire", "_write")

    def __init__(
        self,
        home: PlainWrites,
        write: Write,
        intent: WriteIntent,
        upstream: CallbackUpstream,
        wire: bytes,
        told: AnswerTaker,
    ) -> None:
        self._home = home
        self._write = write
        self._intent = intent
        self._upstream = upstream
        self._wire = wire
        self._told = told
        self._since = monotonic()
        write.decision.times.waited(LANE, self._since - write.began_at)
        self._answer: tuple[ResponseHead, bytes]

    def opened(self, error: Exception | None, _: object) -> None:
        """The intent is durable: call the authority. Or it was refused."""
        if error is not None:
            self._hand_on(self._refused(error))
            return
        now = monotonic()
        self._write.decision.times.waited(INTENT, now - self._since)
        self._since = now
        wire, self._wire = self._wire, b""
        timeout_ms = self._write.decision.route.phases.whole_ms
        try:
            self._upstream.begin(self, self._write.request, wire, timeout_ms=timeout_ms)
        except Exception as exc:
            self.unheard(exc)

    def heard(self, head: ResponseHead, body: bytes) -> None:
        """The authority has answered: make the outcome durable before anybody hears of it."""
        write = self._write
        try:
            state, reason, release_key = read_outcome(
                write.decision.route, self._intent.authority, head.status
            )
            self._answer = head, body
            self._asked()
            if state is WriteState.IN_DOUBT:
                self._settle_on()
                return
            self._home.journal.settle_soon(
                write.intent_id,
                state,
                response=_kept(head, body),
                reason=reason,
                release_key=release_key,
                done=self.settled,
            )
        except StorageUnavailable:
            self._settle_on()
        except Exception as exc:
            self.unheard(exc)

    def unheard(self, why: Exception) -> None:
        """There is no whole answer: record what that means."""
        self._asked()
        self._hand_on(self._home.authority.unanswered(self._write, self._intent, why, {}))

    def settled(self, error: Exception | None, _: object) -> None:
        """The outcome is durable: tell the client."""
        if error is not None:
            self._settle_on()
            return
        home, write = self._home, self._write
        times = write.decision.times
        now = monotonic()
        times.waited(OUTCOME, now - self._since)
        times.waited(OWN, now - write.began_at - write.asked_s)
        home.turns.give_back(self._intent.group, write.lane)
        home.left(self)
        self._told.relayed(*self._answer)

    def _asked(self) -> None:
        write, now = self._write, monotonic()
        write.asked_s = now - self._since
        self._since = now
        # A plain write asks the authority that its decision names.
        write.decision.times.waited(AUTHORITY, write.asked_s)

    def _settle_on(self) -> None:
        """Record the outcome for as long as it takes: what is recorded already stays."""
        answer = _kept(*self._answer)
        self._hand_on(self._home.authority.answered(self._write, self._intent, answer, {}))

    async def _refused(self, error: Exception) -> HttpResponse:
        if isinstance(error, StaleEpoch | LaneBusy):
            # Whatever stands in its way is looked at again.
            return await self._home.in_turn(self._write)
        raise error

    def _hand_on(self, rest: Coroutine[Any, Any, HttpResponse]) -> None:
        told = self._told

        def tell(answer: asyncio.Future[HttpResponse]) -> None:
            error = answer.exception()
            if error is None:
                told.answered(answer.result())
            elif isinstance(error, Exception):
                told.broke(error)

        self._write.answer.add_done_callback(tell)
        self._home.go_on(self._write, rest)
        self._home.left(self)


def _kept(head: ResponseHead, body: bytes) -> HttpResponse:
    return HttpResponse(
        status=head.status, reason=head.lines[0][13:], headers=stored_fields(head), body=body
    )
