"""Take one write through intent, authority and outcome, so that no acknowledged write is lost.

The order is the promise: the intent is durable before a byte leaves for the authority, and the
outcome is durable before the client is answered. Whatever dies in between leaves an intent without
an outcome, which becomes a write in doubt: listed, holding its key, decided by a person.

Where a write goes. The stage names the authority. While earlier writes of the same key are still on
their way *to* that side (after a switch or a roll back), it waits for them, shortly; if they do not
arrive in time it goes, journalled, to the side that has them (the *sticky* authority), so that
nothing is lost or overtaken. At stages `legacy` and `shadow`, a write whose key has nothing in the
journal is forwarded without a journal entry: there is no other side to be told.

States and their table are in `dual_write_states`.
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping

from bridge.gateway.dual import answers
from bridge.gateway.dual.admission import Admission, Write, WriteLimits
from bridge.gateway.dual.authority_call import AuthorityCall, level_of
from bridge.gateway.dual.forwarder import NO_FAULTS, CallFaults, Forwarder
from bridge.gateway.dual.last_writes import LastWrites
from bridge.gateway.dual.plain_writes import PlainWrites
from bridge.gateway.dual.ports import IdMap, LaneState, WriteJournal
from bridge.gateway.dual.running_writes import RunningWrites
from bridge.gateway.dual.turns import Turns
from bridge.gateway.dual.way_back import Asking, WayBack
from bridge.gateway.dual.write_tokens import WriteTokens
from bridge.gateway.routes.decision import WRITES_LEGACY_ALONE, Decision
from bridge.gateway.routes.timings import AUTHORITY, OWN
from bridge.gateway.upstream_ports import AnswerTooLarge, Upstream
from bridge.model.errors import (
    LaneBusy,
    OutcomeUnknown,
    StaleEpoch,
    StorageUnavailable,
    UpstreamUnavailable,
)
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.observer import Observer, SilentObserver
from bridge.model.stage import Side
from bridge.model.write import WriteLevel, WriteState

_NOTHING_IN_THE_WAY = LaneState()
_L1 = WriteLevel.OUTCOME
_NOT_ON_BOTH = frozenset({WriteState.APPLIED, WriteState.PARKED})


class DualWriter:
    """The write path of one gateway worker; `WritePath` of the data plane."""

    def __init__(
        self,
        *,
        journal: WriteJournal,
        ids: IdMap,
        upstreams: Mapping[str, Upstream],
        owner: str,
        redecide: Callable[[HttpRequest], Decision | None],
        limits: WriteLimits | None = None,
        observer: Observer | None = None,
        swapped: frozenset[str] = frozenset(),
        tokens: WriteTokens | None = None,
        faults: CallFaults = NO_FAULTS,
    ) -> None:
        """`upstreams` are by the names that routes use; `swapped` as for `AuthorityCall`; `faults`
        are those of drills.

        `owner` names this incarnation of the worker, and is locked while it lives. `redecide` reads
        the groups anew and decides a request again, after a switch overtook it; None when no route
        takes it any more.
        """
        self._journal = journal
        self._redecide = redecide
        self._limits = limits or WriteLimits()
        self._forwarder = Forwarder(ids, upstreams, faults)
        self._admission = Admission(ids)
        self._authority = AuthorityCall(
            journal=journal,
            forwarder=self._forwarder,
            owner=owner,
            limits=self._limits,
            observer=observer or SilentObserver(),
            swapped=swapped,
        )
        self._turns = Turns(waiting_count_max=self._limits.lane_waiting_count_max)
        self._tokens = tokens
        self._last_writes = LastWrites(journal, self._admission, tokens)
        self._way_back = WayBack(
            journal=journal,
            admission=self._admission,
            forwarder=self._forwarder,
            brought=self._last_writes.brought,
            observer=observer or SilentObserver(),
        )
        self._running = RunningWrites(self._turns)
        plain = PlainWrites(
            journal=journal,
            admission=self._admission,
            authority=self._authority,
            turns=self._turns,
            forwarder=self._forwarder,
            in_turn=self._in_turn,
            go_on=self._running.go_on,
        )
        self.begin = plain.begin
        self._plain = plain

    def translates(self, decision: Decision) -> bool:
        """Whether the fast path would ask by the wrong id or the wrong side (no wait)."""
        if decision.epoch == 0:
            return False  # Modern never answered, so that no client can know an id of its.
        try:
            return (
                self._forwarder.translates(decision)
                or bool(decision.route.dual.read_your_writes)
                or self._last_writes.side(decision, None) is not decision.authority
            )
        except StorageUnavailable:
            return False  # Reads go on without the journal.

    async def read(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Forward a read, to the side that has the key's last writes, with ids translated."""
        brought = self._last_writes.brought(decision, request)
        try:
            side = self._last_writes.side(decision, request, brought)
            wait_ms = decision.route.dual.read_wait_ms
            waited_ms = 0
            while side is not decision.authority and waited_ms < wait_ms:
                await asyncio.sleep(self._limits.look_again_ms / 1000)
                waited_ms += self._limits.look_again_ms
                side = self._last_writes.side(decision, request, brought)
        except StorageUnavailable:
            side = self._last_writes.told_side(decision, brought)
        if decision.way_back is not None and side is decision.authority:
            return await self._way_back.read(decision, request, self._forward)
        return await self._forward(decision, request, side)

    def instead(self, decision: Decision, request: HttpRequest, asked_at: float) -> Asking | None:
        """Return what asks legacy in modern's place; see `WayBack.instead`."""
        return self._way_back.instead(decision, request, asked_at)

    async def write(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Take a write through intent, authority and outcome; return the client's answer.

        When the caller is cancelled, a write that was begun still goes its whole way.
        """
        admitted = self._admission.admit(decision, request)
        if isinstance(admitted, HttpResponse):
            return admitted
        self._running.start(admitted, self._answer(admitted))
        try:
            answer = await admitted.answer
        except asyncio.CancelledError:
            admitted.abandoned = True
            raise
        own_s = time.monotonic() - admitted.began_at - admitted.asked_s
        decision.times.waited(OWN, own_s)
        return self._with_token(admitted, answer)

    async def drain(self) -> None:
        """Wait until every write that was begun has its outcome."""
        await self._plain.drain()
        await self._running.drain()

    def _with_token(self, write: Write, answer: HttpResponse) -> HttpResponse:
        """Return the answer with what the client needs to read this write, where routes ask."""
        route = write.decision.route
        if self._tokens is None or not route.dual.has_tokens:
            return answer
        side, lane, intent_id, earlier = write.applied, write.lane, write.intent_id, write.repeats
        if side is None and earlier is not None and earlier.state in _NOT_ON_BOTH:
            intent = earlier.intent
            side, lane, intent_id = intent.authority, intent.lane, intent.intent_id
        if side is None:
            return answer
        fields = self._tokens.answer(write.request, route.group, lane, side, intent_id)
        return dataclasses.replace(answer, headers=answer.headers + fields)

    async def _answer(self, write: Write) -> HttpResponse:
        group = write.decision.route.group
        try:
            earlier = self._authority.earlier(write)
            if earlier is not None:
                return earlier
            state = self._first_look(write)
            if _goes_plain(write, state):
                return await self._forward(write.decision, write.request, write.decision.authority)
            await self._turns.take(group, write.lane, self._limits.lane_wait_ms / 1000)
            try:
                answer = await self._in_turn(write)
            finally:
                self._turns.give_back(group, write.lane)
            return answer if write.applied is None else await self._on_both(write, answer)
        except LaneBusy as exc:
            return answers.lane_busy(str(exc))
        except StorageUnavailable:
            return answers.journal_unavailable()

    async def _in_turn(self, write: Write) -> HttpResponse:
        """Wait until a side may have the write, and send it there.

        Raises `StorageUnavailable` only before any side was called.
        """
        began = time.monotonic()
        decisions, refused = 1, False
        state = self._first_look(write)
        while not write.abandoned:
            waited_ms = (time.monotonic() - began) * 1000
            if _goes_plain(write, state):
                return await self._forward(write.decision, write.request, write.decision.authority)
            side = self._writable_side(write, state, waited_ms)
            if (side is None or refused) and waited_ms > self._limits.lane_wait_ms:
                return _busy_answer(state)
            refused = False
            if side is not None:
                try:
                    if level_of(write) is _L1:
                        return await self._authority.call_and_record(write, side)
                    return await self._authority.open_and_call(write, side)
                except StaleEpoch:
                    decisions += 1
                    if decisions > self._limits.decisions_count_max or not self._anew(write):
                        return answers.switching()
                except LaneBusy:
                    refused = True  # What holds the lane says what to do about it, if it is seen.
            state = self._journal.lane_state(write.decision.route.group, write.lane)
            held = state.in_flight is not None or state.unreplayed_to is write.decision.authority
            if held or refused:
                await asyncio.sleep(self._limits.look_again_ms / 1000)
        return answers.lane_busy("the client is gone")

    async def _on_both(self, write: Write, answer: HttpResponse) -> HttpResponse:
        """Hold the answer back until the other side has the write too, or for its time (L3)."""
        rules = write.decision.route.dual
        if rules.level is not WriteLevel.BOTH:
            return answer
        give_up_at = time.monotonic() + rules.both_wait_ms / 1000
        pause_ms = self._limits.look_again_ms
        while True:
            try:
                waits = self._authority.waiting_for_both(write)
            except StorageUnavailable:
                own, why = write.client_key is not None, "the write journal is away"
                waits = answers.outcome_unknown(write.intent_id, why, client_key=own)
            if waits is None or waits.status != 202 or time.monotonic() > give_up_at:
                return answer if waits is None else waits
            await asyncio.sleep(pause_ms / 1000)
            pause_ms = min(pause_ms * 2, self._limits.both_look_ms_max)

    def _first_look(self, write: Write) -> LaneState:
        # Opening asks all of this again, so that only a write that is not opened has to.
        decision = write.decision
        opened = decision.stage not in WRITES_LEGACY_ALONE and level_of(write) is not _L1
        if opened or decision.epoch == 0:
            return _NOTHING_IN_THE_WAY
        return self._journal.lane_state(write.decision.route.group, write.lane)

    def _writable_side(self, write: Write, state: LaneState, waited_ms: float) -> Side | None:
        """Return where the write may go now; None while it has to wait."""
        if state.in_flight is not None:
            return None
        authority = write.decision.authority
        if state.unreplayed_to is not authority:
            return authority
        if waited_ms < self._limits.drain_wait_ms and not state.parked:
            return None
        return authority.other

    def _anew(self, write: Write) -> bool:
        decision = self._redecide(write.request)
        # Another route may mean another key, and with it another turn: let the client come again.
        if decision is None or decision.route.route_id != write.decision.route.route_id:
            return False
        write.decision = decision
        return True

    async def _forward(
        self, decision: Decision, request: HttpRequest, side: Side, timeout_ms: int | None = None
    ) -> HttpResponse:
        asked_at = time.monotonic()
        try:
            return await self._forwarder.forward(decision, request, side, timeout_ms)
        except UpstreamUnavailable:
            return answers.unreachable(side.value)
        except AnswerTooLarge as exc:
            return answers.answer_too_large(side.value, exc.head.status)
        except OutcomeUnknown:
            return answers.plain_outcome_unknown(side.value)
        finally:
            decision.times.on(side.value).waited(AUTHORITY, time.monotonic() - asked_at)


def _goes_plain(write: Write, state: LaneState) -> bool:
    """Whether the stage journals nothing and the lane holds nothing that could be overtaken."""
    return (
        write.decision.stage in WRITES_LEGACY_ALONE
        and state.in_flight is None
        and state.unreplayed_to is not Side.LEGACY
    )


def _busy_answer(state: LaneState) -> HttpResponse:
    if state.in_flight is None:
        return answers.lane_busy("earlier writes of the same key are on their way")
    if state.in_doubt:
        return answers.lane_in_doubt(state.in_flight)
    return answers.lane_busy(f"write {state.in_flight} of the same key is still running")
