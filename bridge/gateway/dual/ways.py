"""The ways out of doubt: each asks once and says what it found."""

import asyncio
from datetime import datetime
from typing import Final

from bridge.gateway.dual.authority_call import lane_made
from bridge.gateway.dual.doubt import Answer, Finding
from bridge.gateway.dual.entity_look import Look, look_at
from bridge.gateway.dual.ports import SeenChanges
from bridge.gateway.dual.replay_attempt import Attempts, with_key
from bridge.gateway.dual.states import outcome_of
from bridge.gateway.routes.route import KeyPlace, Route
from bridge.gateway.routes.sections.dual import Way
from bridge.gateway.translation.ids import ids_made, json_id, lane_of
from bridge.model.errors import OutcomeUnknown, UpstreamUnavailable
from bridge.model.http import HttpResponse
from bridge.model.write import JournalledWrite, MadeId, WriteKind, WriteState

_AGAIN: Final = frozenset({b"PUT", b"DELETE"})
_GONE: Final = frozenset({404, 410})


class Ways:
    """Asks the authority of a write in doubt, and what was captured from it."""

    def __init__(self, attempts: Attempts, changes: SeenChanges | None) -> None:
        self._attempts = attempts
        self._changes = changes

    async def look(
        self, way: Way, write: JournalledWrite, route: Route, *, quiet: bool
    ) -> Finding | None:
        """Take one way that only looks; None for those that do not.

        `quiet` tells that the authority cannot carry the request out any more: before that, what is
        not there may still come.
        """
        if write.intent.kind is not WriteKind.CLIENT:
            return None  # What the route declares is about its own writes.
        if way is Way.ASK:
            return await self._ask(write, route, quiet)
        if way is Way.READ:
            return await self._read(write, route, quiet)
        if way is Way.SEEN:
            return await self._seen(write, route)
        return None

    async def _ask(self, write: JournalledWrite, route: Route, quiet: bool) -> Finding:
        rules, side = route.dual.ask, write.intent.authority
        assert rules is not None, "the route's rules were checked"
        target = self._attempts.facts(write, route, side).target(rules.target)
        if target is None:
            return Finding(Way.ASK, Answer.SILENT, "the write does not have what the template asks")
        answer = await self._attempts.fetch(route, side, target, write)
        if answer is None:
            return Finding(Way.ASK, Answer.LATER, f"{side.value} gave no answer")
        evidence = f"{side.value} answered {answer.status} about the key"
        if 200 <= answer.status < 300:
            if rules.stored_answer:
                return _happened(Way.ASK, route, answer, evidence)
            return _complete(Finding(Way.ASK, Answer.HAPPENED, evidence), route)
        if answer.status in rules.absent:
            return _not_done(Way.ASK, evidence, quiet)
        return Finding(Way.ASK, Answer.LATER, evidence)

    async def _read(self, write: JournalledWrite, route: Route, quiet: bool) -> Finding:
        rules, side = route.dual.read, write.intent.authority
        assert rules is not None, "the route's rules were checked"
        answer = await self._attempts.read(write, route, side)
        if answer is None:
            return Finding(Way.READ, Answer.LATER, f"{side.value} gave no answer")
        look = look_at(rules, write.intent.request, answer)
        evidence = f"{side.value} answered {answer.status}, the entity is {look.value}"
        if look is Look.UNCLEAR:
            return Finding(Way.READ, Answer.LATER, evidence)
        if look is Look.NOT_THERE:
            return _not_done(Way.READ, evidence, quiet)
        found = Finding(Way.READ, Answer.HAPPENED, evidence)
        made = None if rules.made_id is None else json_id(answer.body, rules.made_id)
        key = route.key
        if made is not None and key is not None and key.place is KeyPlace.CREATED:
            ids = () if key.entity is None else (MadeId(key.entity, made, key.name),)
            found = found._replace(ids=ids, lane=lane_of(key.entity, made))
        return _complete(found, route)

    async def _seen(self, write: JournalledWrite, route: Route) -> Finding:
        if self._changes is None:
            return Finding(Way.SEEN, Answer.SILENT, "nothing is captured from the authority")
        seen = await asyncio.to_thread(self._changes.of, write, route)
        if seen is None:
            # Capture may be behind, or not see this table: its silence is no sign of anything.
            return Finding(Way.SEEN, Answer.SILENT, "no such change was captured")
        return _complete(Finding(Way.SEEN, Answer.HAPPENED, f"captured as {seen}"), route)

    def may_replay(self, write: JournalledWrite, route: Route, *, quiet: bool) -> bool:
        """Whether sending the write to its authority again can do no harm now."""
        if write.intent.authority in route.dual.honours_keys:
            return True
        return quiet and write.intent.request.method in _AGAIN

    async def replay(self, write: JournalledWrite, route: Route) -> Finding:
        """Send the write to its authority again."""
        side, intent = write.intent.authority, write.intent
        by_key = side in route.dual.honours_keys
        if intent.kind is WriteKind.CLIENT:
            ready = self._attempts.as_first(write, route)
        else:
            ready = intent.request
        try:
            answer = await self._attempts.exchange(route, with_key(intent, ready), side)
        except (UpstreamUnavailable, OutcomeUnknown):
            return Finding(Way.REPLAY, Answer.LATER, f"{side.value} gave no answer")
        evidence = f"sent again, {side.value} answered {answer.status}"
        state, passing = outcome_of(answer.status, server_error_in_doubt=True)
        if 300 <= answer.status < 400:
            # To its login page, perhaps: what the first answer would have been is not known.
            return Finding(Way.REPLAY, Answer.SILENT, evidence)
        if state is WriteState.APPLIED:
            return _happened(Way.REPLAY, route, answer, evidence)
        if answer.status in _GONE and intent.request.method == b"DELETE":
            return Finding(Way.REPLAY, Answer.HAPPENED, f"{evidence}: gone")
        if passing or answer.status >= 500 or (by_key and answer.status == 409):
            return Finding(Way.REPLAY, Answer.LATER, evidence)
        if by_key:
            return Finding(Way.REPLAY, Answer.REFUSED, evidence, answer)
        # A PUT that is refused the second time may be so because of the first.
        return Finding(Way.REPLAY, Answer.SILENT, evidence)


def _not_done(way: Way, evidence: str, quiet: bool) -> Finding:
    if quiet:
        return Finding(way, Answer.NOT_DONE, evidence)
    return Finding(way, Answer.LATER, f"{evidence}, but it may still be carried out")


def _happened(way: Way, route: Route, answer: HttpResponse, evidence: str) -> Finding:
    ids = ids_made(route.ids, answer, {})
    lane = lane_made(route.key, answer)
    return _complete(Finding(way, Answer.HAPPENED, evidence, answer, ids, lane), route)


def _complete(found: Finding, route: Route) -> Finding:
    """Return `found`, marked when it lacks the id without which a create cannot be followed."""
    creates = route.key is not None and route.key.place is KeyPlace.CREATED
    return found._replace(whole=False) if creates and found.lane is None else found


def is_quiet(write: JournalledWrite, route: Route, at: datetime) -> bool:
    """Whether the authority can no longer carry out what it may have got."""
    since = write.settled_at or write.intent.opened_at
    return (at - since).total_seconds() >= route.dual.quiet_s(route.timeout_ms)
