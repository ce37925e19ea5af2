"""Undo on the authority what the other side refused, where a route declares the inverse.

The client was told success (but at L3, where it waits for this), so that undoing is a write of its
own: journalled as an intent of kind COMPENSATION before a byte leaves, in the lane of the write it
undoes. When it is APPLIED the journal takes that write out of its lane in the same commit. One
whose answer is lost is in doubt like any other, and holds the lane; nothing is undone twice.
"""

import itertools
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple

from bridge.gateway.dual.ports import GroupReader, WriteJournal, WriteStateForbidden
from bridge.gateway.dual.replay_attempt import CREDENTIALS, Attempts, with_key
from bridge.gateway.dual.states import outcome_of
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.dual import Conflict
from bridge.model.errors import LaneBusy, OutcomeUnknown, StaleEpoch, UpstreamUnavailable
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.write import JournalledWrite, WriteIntent, WriteKind, WriteState

# Each try that did not reach the authority is an intent of its own, so that none is opened twice.
TRIES_MAX: Final = 100


class Undoing(Enum):
    """How far a compensation is."""

    UNDONE = "undone"  # The write is COMPENSATED and has left its lane.
    LATER = "later"  # Something passing is in the way, or it is in doubt: look again.
    REFUSED = "refused"  # The authority will not undo it; somebody must decide.


class Undone(NamedTuple):
    """What became of one try to undo."""

    how: Undoing
    reason: str = ""


class Compensator:
    """Undoes writes on their authority; used by the replayer, one lane at a time."""

    def __init__(
        self,
        *,
        journal: WriteJournal,
        groups: GroupReader,
        attempts: Attempts,
        owner: str,
        now: Callable[[], datetime],
    ) -> None:
        self._journal = journal
        self._groups = groups
        self._attempts = attempts
        self._owner = owner
        self._now = now

    def begun(self, write: JournalledWrite, route: Route) -> bool:
        """Whether undoing `write` was begun; it must not be sent to the other side any more."""
        if route.dual.conflict is not Conflict.COMPENSATE:
            return False
        return self._journal.state_of(_undo_id(write, 1)) is not None

    async def undo(self, write: JournalledWrite, route: Route) -> Undone:
        """Undo `write`, or go on with undoing it.

        Raises:
            StorageUnavailable: nothing was sent; call again.
        """
        intent_id = self._next_id(write)
        if isinstance(intent_id, Undone):
            return intent_id
        request = self._request(write, route)
        if request is None:
            return Undone(Undoing.REFUSED, "the inverse names what the write does not have")
        epoch = next(
            (group.epoch for group in self._groups.groups() if group.group == route.group), 0
        )
        intent = WriteIntent(
            intent_id=intent_id,
            group=route.group,
            route=route.route_id,
            epoch=epoch,
            authority=write.intent.authority,
            lane=write.intent.lane,
            # Of every try the same, so that a side that honours keys undoes it once.
            idempotency_key=f'"{write.intent.intent_id}-undo"',
            request=request,
            owner=self._owner,
            opened_at=self._now(),
            kind=WriteKind.COMPENSATION,
            compensates=write.intent.intent_id,
        )
        try:
            await self._journal.open(intent)
        except (StaleEpoch, LaneBusy):
            return Undone(Undoing.LATER)
        return await self._call(intent, route)

    def _next_id(self, write: JournalledWrite) -> str | Undone:
        for number in itertools.count(1):
            intent_id = _undo_id(write, number)
            state = self._journal.state_of(intent_id)
            if state is None:
                return intent_id
            if state in (WriteState.INTENT, WriteState.IN_DOUBT):
                return Undone(Undoing.LATER)
            if state is WriteState.DONE:
                return Undone(Undoing.UNDONE)
            if state is WriteState.REJECTED or number >= TRIES_MAX:
                break
        return Undone(Undoing.REFUSED, "the authority refused to undo it")

    async def _call(self, intent: WriteIntent, route: Route) -> Undone:
        side = intent.authority
        response: HttpResponse | None = None
        try:
            response = await self._attempts.exchange(route, with_key(intent, intent.request), side)
        except UpstreamUnavailable:
            state, why = WriteState.FAILED, f"{side.value} cannot be reached"
        except OutcomeUnknown:
            state, why = WriteState.IN_DOUBT, f"{side.value} gave no whole answer"
        else:
            state, passing = outcome_of(
                response.status, server_error_in_doubt=route.server_error_in_doubt
            )
            why = f"{side.value} answered {response.status}"
            if state is WriteState.REJECTED and (passing or response.status >= 500):
                state = WriteState.FAILED
            elif 300 <= response.status < 400:
                state = WriteState.REJECTED  # Sent elsewhere, to a login page perhaps: not undone.
        try:
            await self._journal.settle(
                intent.intent_id,
                state,
                response=response if state is WriteState.APPLIED else None,
                reason=None if state is WriteState.APPLIED else why,
            )
        except WriteStateForbidden:
            return Undone(Undoing.LATER)  # Taken for dead meanwhile, and decided.
        if state is WriteState.APPLIED:
            return Undone(Undoing.UNDONE)
        if state is WriteState.REJECTED:
            return Undone(Undoing.REFUSED, f"{why} to undo it")
        return Undone(Undoing.LATER, why)

    def _request(self, write: JournalledWrite, route: Route) -> HttpRequest | None:
        inverse = route.dual.compensate
        assert inverse is not None, "the route's rules were checked"
        facts = self._attempts.facts(write, route, write.intent.authority)
        target, body = facts.target(inverse.target), facts.body(inverse.body)
        if target is None or body is None:
            return None
        kept = tuple(
            field for field in write.intent.request.headers if field[0].lower() in CREDENTIALS
        )
        typed = ((b"Content-Type", b"application/json"),) if body else ()
        return HttpRequest(
            method=inverse.method.encode("ascii"), target=target, headers=typed + kept, body=body
        )


def _undo_id(write: JournalledWrite, number: int) -> str:
    return f"{write.intent.intent_id}-u{number}"
