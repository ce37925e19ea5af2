"""Call the authority between a durable intent and a durable outcome."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from bridge.gateway.dual import answers
from bridge.gateway.dual.admission import Write, WriteLimits
from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.dual.ports import KeyInUse, WriteJournal, WriteStateForbidden
from bridge.gateway.dual.states import outcome_of
from bridge.gateway.routes.route import KeyPlace, KeyRule
from bridge.gateway.translation.ids import (
    Translated,
    ids_made,
    json_id,
    lane_of,
    translate_response,
)
from bridge.model.errors import OutcomeUnknown, StorageUnavailable, UpstreamUnavailable
from bridge.model.http import HttpResponse
from bridge.model.observer import Observer
from bridge.model.stage import Side
from bridge.model.write import JournalledWrite, MadeId, WriteIntent, WriteState


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
    ) -> None:
        self._journal = journal
        self._forwarder = forwarder
        self._owner = owner
        self._limits = limits
        self._observer = observer

    def earlier(self, write: Write) -> HttpResponse | None:
        """Return the answer to a write whose `Idempotency-Key` was seen before."""
        if write.client_key is None:
            return None
        route = write.decision.route
        found = self._journal.keyed(route.group, route.route_id, write.client_key)
        return None if found is None else self._repeat(write, found)

    async def open_and_call(self, write: Write, side: Side) -> HttpResponse:
        """Return the client's answer; raises what `WriteJournal.open` does, but for a used key."""
        decision = write.decision
        sent = self._forwarder.translated(decision.route, write.request, side)
        try:
            await self._journal.open(
                WriteIntent(
                    intent_id=write.intent_id,
                    group=decision.route.group,
                    route=decision.route.route_id,
                    epoch=decision.epoch,
                    authority=side,
                    lane=write.lane,
                    idempotency_key=write.client_key or f'"{write.intent_id}"',
                    request=write.request,
                    owner=self._owner,
                    opened_at=datetime.now(UTC),
                    client_key=write.client_key,
                    fingerprint=write.fingerprint,
                )
            )
        except KeyInUse as exc:
            return self._repeat(write, exc.write)
        return await self._call(write, side, sent)

    async def _call(self, write: Write, side: Side, sent: Translated) -> HttpResponse:
        """Call the authority and record the outcome before anybody hears of it."""
        route = write.decision.route
        try:
            response = await self._forwarder.exchange(route, sent.request, side)
        except UpstreamUnavailable:
            await self._settle(write, WriteState.FAILED, None, "no byte was sent", release_key=True)
            return answers.unreachable(side.value)
        except OutcomeUnknown:
            return await self._in_doubt(write, None, f"{side.value} gave no whole answer")
        except Exception as exc:
            # A fault of our own after bytes may have left leaves the same question open.
            self._observer.note("call_failed", group=route.group, error=type(exc).__name__)
            return await self._in_doubt(write, None, "the gateway failed while it waited")
        state, release_key = outcome_of(
            response.status, server_error_in_doubt=route.server_error_in_doubt
        )
        if state is WriteState.IN_DOUBT:
            why = f"{side.value} answered {response.status}"
            return await self._in_doubt(write, response, why)
        reason = None if state is WriteState.APPLIED else f"{side.value} answered {response.status}"
        ids = ids_made(route.ids, response, sent.used) if state is WriteState.APPLIED else ()
        await self._settle(write, state, response, reason, ids=ids, release_key=release_key)
        return translate_response(route.ids, response, sent.used)

    async def _in_doubt(
        self, write: Write, response: HttpResponse | None, why: str
    ) -> HttpResponse:
        await self._settle(write, WriteState.IN_DOUBT, None, why)
        status = 0 if response is None else response.status
        self._observer.note(
            "write_in_doubt",
            group=write.decision.route.group,
            intent=write.intent_id,
            status=status,
        )
        return answers.outcome_unknown(write.intent_id, why)

    async def _settle(
        self,
        write: Write,
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
        route = write.decision.route
        lane = None
        if state is WriteState.APPLIED and response is not None:
            lane = _lane_made(route.key, response)
        while True:
            try:
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
                write.tell(answers.outcome_unknown(write.intent_id, why))
                await asyncio.sleep(self._limits.settle_retry_ms / 1000)
            except WriteStateForbidden:
                # Given up as in doubt while we could not be seen to live; a person decides.
                write.tell(answers.outcome_unknown(write.intent_id, "it was given up"))
                return
            else:
                return

    def _repeat(self, write: Write, earlier: JournalledWrite) -> HttpResponse:
        """Answer a repeated `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07)."""
        if earlier.intent.fingerprint != write.fingerprint:
            return answers.key_reused()
        if earlier.state in (WriteState.INTENT, WriteState.IN_DOUBT):
            return answers.still_running(earlier)
        if earlier.response is None:
            return answers.answer_lost(earlier)
        sent = self._forwarder.translated(
            write.decision.route, earlier.intent.request, earlier.intent.authority
        )
        return translate_response(write.decision.route.ids, earlier.response, sent.used)


def _lane_made(key: KeyRule | None, response: HttpResponse) -> str | None:
    """Return the lane of what a create made; None for other writes, or without an id."""
    if key is None or key.place is not KeyPlace.CREATED:
        return None
    made = json_id(response.body, key.name)
    return None if made is None else lane_of(key.entity, made)
