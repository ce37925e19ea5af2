"""Call the authority between a durable intent and a durable outcome."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Final, NamedTuple

from bridge.gateway.dual import answers
from bridge.gateway.dual.admission import Write, WriteLimits
from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.dual.ports import KeyInUse, WriteJournal, WriteStateForbidden
from bridge.gateway.dual.replay_attempt import CREDENTIALS, with_key
from bridge.gateway.dual.states import outcome_of
from bridge.gateway.routes.route import KeyPlace, KeyRule, Route
from bridge.gateway.routes.timings import AUTHORITY, INTENT, LANE, OUTCOME
from bridge.gateway.translation.ids import (
    Translated,
    ids_made,
    json_id,
    lane_of,
    translate_response,
)
from bridge.gateway.upstream_ports import AnswerTooLarge
from bridge.model.errors import OutcomeUnknown, StorageUnavailable, UpstreamUnavailable
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.observer import Observer
from bridge.model.stage import Side
from bridge.model.write import JournalledWrite, MadeId, WriteIntent, WriteLevel, WriteState

# At L1 nothing is promised beforehand: what changed nothing leaves nothing.
_WORTH_RECORDING: Final = frozenset({WriteState.APPLIED, WriteState.IN_DOUBT})


class AuthorityCall:
    """Steps 4 to 7 of a dual write: intent, call, outcome, answer."""

    def __init__(
        self,
        *,
        journal: WriteJournal,
        forwarder: Forwarder,
        owner: str,
        limits: WriteLimits,
        observer: Observer,
        swapped: frozenset[str] = frozenset(),
    ) -> None:
        """`swapped` names the upstreams at which replays show credentials of their own."""
        self._journal = journal
        self._forwarder = forwarder
        self._owner = owner
        self._limits = limits
        self._observer = observer
        self._swapped = swapped

    def earlier(self, write: Write) -> HttpResponse | None:
        """Return the answer to a write whose `Idempotency-Key` was seen before."""
        if write.client_key is None:
            return None
        route = write.decision.route
        found = self._journal.keyed(route.group, route.route_id, write.client_key)
        return None if found is None else self._repeat(write, found)

    def waiting_for_both(self, write: Write) -> HttpResponse | None:
        """Return what to answer while an applied write is not on both sides; None once it is."""
        assert write.applied is not None, "only what was applied is waited for"
        state = self._journal.state_of(write.intent_id)
        own = write.client_key is not None
        return _both_answer(write.intent_id, write.applied.other, state, client_key=own)

    async def open_and_call(self, write: Write, side: Side) -> HttpResponse:
        """Return the client's answer; raises what `WriteJournal.open` does, but for a used key."""
        sent = self._forwarder.translated(write.decision.route, write.request, side)
        intent = self.intent_of(write, side)
        asked_at, times = monotonic(), write.decision.times
        try:
            await self._journal.open(intent)
        except KeyInUse as exc:
            return self._repeat(write, exc.write)
        times.waited(LANE, asked_at - write.began_at)
        times.waited(INTENT, monotonic() - asked_at)
        return await self._call(write, intent, sent)

    async def call_and_record(self, write: Write, side: Side) -> HttpResponse:
        """Return the client's answer to a write of which only the outcome is kept (level L1)."""
        sent = self._forwarder.translated(write.decision.route, write.request, side)
        return await self._call(write, self.intent_of(write, side), sent)

    def intent_of(self, write: Write, side: Side) -> WriteIntent:
        """Return the promise to be made durable before `side` is called."""
        decision = write.decision
        return WriteIntent(
            intent_id=write.intent_id,
            group=decision.route.group,
            route=decision.route.route_id,
            epoch=decision.epoch,
            authority=side,
            lane=write.lane,
            idempotency_key=write.key_sent or f'"{write.intent_id}"',
            request=self._kept(write),
            owner=self._owner,
            opened_at=datetime.now(UTC),
            client_key=write.client_key,
            fingerprint=write.fingerprint,
            level=level_of(write),
        )

    def _kept(self, write: Write) -> HttpRequest:
        """Return the request as the journal may keep it: without what replays do not need."""
        route = write.decision.route
        left_out = frozenset(name.lower().encode("ascii") for name in route.dual.withhold)
        if self._swapped.issuperset(route.upstreams.values()):
            left_out |= CREDENTIALS
        if not left_out:
            return write.request
        return dataclasses.replace(
            write.request,
            headers=tuple(
                field for field in write.request.headers if field[0].lower() not in left_out
            ),
        )

    async def _call(self, write: Write, intent: WriteIntent, sent: Translated) -> HttpResponse:
        """Call the authority and record the outcome before anybody hears of it."""
        route, side = write.decision.route, intent.authority
        if side in route.dual.honours_keys:
            # Our own key goes with the first call too: should its answer be lost, the side can tell
            # the second from another write.
            sent = sent._replace(request=with_key(intent, sent.request))
        try:
            response = await self._exchange(write, sent.request, side)
        except Exception as exc:
            return await self.unanswered(write, intent, exc, sent.used)
        return await self.answered(write, intent, response, sent.used)

    async def unanswered(
        self,
        write: Write,
        intent: WriteIntent,
        exc: Exception,
        used: Mapping[tuple[str, str], str],
    ) -> HttpResponse:
        """Record the outcome of a call that brought no whole answer; return the client's."""
        side, group = intent.authority, intent.group
        if isinstance(exc, AnswerTooLarge):
            # What it did stands in its status.
            return await self.answered(write, intent, exc.head, used, whole=False)
        if isinstance(exc, UpstreamUnavailable):
            await self._settle(
                write, intent, WriteState.FAILED, None, "no byte was sent", release_key=True
            )
            return answers.unreachable(side.value)
        if isinstance(exc, OutcomeUnknown):
            return await self._in_doubt(write, intent, None, f"{side.value} gave no whole answer")
        # A fault of our own after bytes may have left leaves the same question open.
        self._observer.note("call_failed", group=group, error=type(exc).__name__)
        return await self._in_doubt(write, intent, None, "the gateway failed while it waited")

    async def answered(
        self,
        write: Write,
        intent: WriteIntent,
        response: HttpResponse,
        used: Mapping[tuple[str, str], str],
        *,
        whole: bool = True,
    ) -> HttpResponse:
        """Record the outcome that an answer means; return the client's.

        `used` as `Translated` has it; an answer that is not `whole` has lost its body.
        """
        route, side = write.decision.route, intent.authority
        outcome = read_outcome(route, side, response.status)
        creates = route.key is not None and route.key.place is KeyPlace.CREATED
        if not whole and creates and outcome.state is WriteState.APPLIED:
            why = f"{side.value} answered {response.status} and the id that it made was cut off"
            return await self._in_doubt(write, intent, response, why)
        if outcome.state is WriteState.IN_DOUBT:
            return await self._in_doubt(write, intent, response, outcome.reason or "")
        ids = ids_made(route.ids, response, used) if outcome.state is WriteState.APPLIED else ()
        if not whole:
            response = answers.answer_too_large(side.value, response.status, write.intent_id)
        await self._settle(
            write,
            intent,
            outcome.state,
            response,
            outcome.reason,
            ids=ids,
            release_key=outcome.release_key,
        )
        return translate_response(route.ids, response, used)

    async def _exchange(self, write: Write, request: HttpRequest, side: Side) -> HttpResponse:
        asked_at, decision = monotonic(), write.decision
        try:
            return await self._forwarder.exchange(decision.route, request, side, write.lane)
        finally:
            write.asked_s = monotonic() - asked_at
            decision.times.on(side.value).waited(AUTHORITY, write.asked_s)

    async def _in_doubt(
        self, write: Write, intent: WriteIntent, response: HttpResponse | None, why: str
    ) -> HttpResponse:
        await self._settle(write, intent, WriteState.IN_DOUBT, None, why)
        status = 0 if response is None else response.status
        self._observer.note(
            "write_in_doubt",
            group=write.decision.route.group,
            intent=write.intent_id,
            status=status,
        )
        return _unknown(write, why)

    async def _settle(
        self,
        write: Write,
        intent: WriteIntent,
        state: WriteState,
        response: HttpResponse | None,
        reason: str | None,
        *,
        ids: Sequence[MadeId] = (),
        release_key: bool = False,
    ) -> None:
        """Record the outcome, however long it takes: only this process knows it.

        While the journal cannot take it the client is told that the outcome is unknown, since an
        answer that is not durable would be a promise; the key stays held.
        """
        route, told_at = write.decision.route, monotonic()
        lane = None
        if state is WriteState.APPLIED and response is not None:
            lane = lane_made(route.key, response)
        while True:
            try:
                if intent.level is WriteLevel.OUTCOME:
                    if state in _WORTH_RECORDING:
                        await self._journal.record(
                            intent, state, response=response, lane=lane, ids=ids, reason=reason
                        )
                else:
                    await self._journal.settle(
                        write.intent_id,
                        state,
                        response=response,
                        lane=lane,
                        ids=ids,
                        reason=reason,
                        release_key=release_key,
                    )
            except StorageUnavailable:
                self._observer.note("outcome_not_recorded", group=route.group, state=state.value)
                why = "the write journal cannot record it now"
                write.tell(_unknown(write, why))
                await asyncio.sleep(self._limits.settle_retry_ms / 1000)
            except WriteStateForbidden:
                # Given up as in doubt while we could not be seen to live; a person decides.
                write.tell(_unknown(write, "it was given up"))
                return
            else:
                write.decision.times.waited(OUTCOME, monotonic() - told_at)
                write.applied = intent.authority if state is WriteState.APPLIED else None
                return

    def _repeat(self, write: Write, earlier: JournalledWrite) -> HttpResponse:
        """Answer a repeated `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07)."""
        if earlier.intent.fingerprint != write.fingerprint:
            return answers.key_reused()
        write.repeats = earlier
        if earlier.state in (WriteState.INTENT, WriteState.IN_DOUBT):
            return answers.still_running(earlier)
        if earlier.intent.level is WriteLevel.BOTH:
            intent = earlier.intent
            other = intent.authority.other
            waits = _both_answer(intent.intent_id, other, earlier.state, client_key=True)
            if waits is not None:
                return waits
        if earlier.response is None:
            return answers.answer_lost(earlier)
        sent = self._forwarder.translated(
            write.decision.route, earlier.intent.request, earlier.intent.authority
        )
        return translate_response(write.decision.route.ids, earlier.response, sent.used)


class Outcome(NamedTuple):
    """What an answer of the authority means for its write."""

    state: WriteState
    reason: str | None
    release_key: bool


def read_outcome(route: Route, side: Side, status: int) -> Outcome:
    """Return the outcome that `status`, answered by `side`, means."""
    state, release_key = outcome_of(status, server_error_in_doubt=route.server_error_in_doubt)
    if state is WriteState.APPLIED:
        return _APPLIED
    return Outcome(state, f"{side.value} answered {status}", release_key)


_APPLIED: Final = Outcome(WriteState.APPLIED, None, False)


def level_of(write: Write) -> WriteLevel:
    """Return the level at which this write is journalled.

    A client's key means nothing without an intent (two requests at once would both be carried out),
    so that a write which has one is journalled at L2 where its route says L1.
    """
    level = write.decision.route.dual.level
    if level is WriteLevel.OUTCOME and write.client_key is not None:
        return WriteLevel.INTENT
    return level


def _unknown(write: Write, why: str) -> HttpResponse:
    own = write.client_key is not None
    return answers.outcome_unknown(write.intent_id, why, client_key=own)


def _both_answer(
    intent_id: str, other: Side, state: WriteState | None, *, client_key: bool
) -> HttpResponse | None:
    """Return the answer of level L3 while the authority's own may not be given; else None."""
    if state is WriteState.COMPENSATED:
        return answers.undone(intent_id, other.value)
    if state in (WriteState.APPLIED, WriteState.PARKED):
        return answers.not_on_both(intent_id, state, other.value, client_key=client_key)
    return None  # DONE, or skipped by somebody's decision: the authority's answer holds.


def lane_made(key: KeyRule | None, response: HttpResponse) -> str | None:
    """Return the lane of what a create made; None for other writes, or without an id."""
    if key is None or key.place is not KeyPlace.CREATED:
        return None
    made = json_id(response.body, key.name)
    return None if made is None else lane_of(key.entity, made)
