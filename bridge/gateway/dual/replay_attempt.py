"""One attempt to bring a journalled write to the other side."""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from bridge.gateway.dual.derived_ids import derived_id, with_id
from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.dual.replay_verdict import Ending, Verdict, judge, judge_look
from bridge.gateway.dual.templates import Facts
from bridge.gateway.routes.route import KeyPlace, Route
from bridge.gateway.translation.ids import Translated, json_id
from bridge.gateway.upstream_ports import AnswerTooLarge
from bridge.model.errors import OutcomeUnknown, UpstreamUnavailable
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.stage import Side
from bridge.model.write import JournalledWrite, MadeId, WriteIntent

REPLAY_FIELD: Final = b"legacy-bridge-replay"
"""Header that names the write a replay belongs to."""
ORIGIN_FIELD: Final = b"legacy-bridge-origin"
"""Header that names the side a replay comes from, so that its echo can be told."""

_ABSENT: Final = frozenset({429, 502, 503, 504})
"""Answers by which a side, or what stands before it, says that it takes nothing now. A 500 is the
application's answer to this one request."""

CREDENTIALS: Final = frozenset({b"authorization", b"cookie"})
"""Request headers by which a client shows who it is."""


class Ready(NamedTuple):
    """A write as the other side understands it."""

    write: JournalledWrite
    route: Route
    side: Side
    sent: Translated
    chosen: MadeId | None = None
    """The id that we ask for, where ids are ours to choose."""


class Sent(NamedTuple):
    """What one attempt came to."""

    verdict: Verdict
    answered: bool
    """Whether the side works: it gave an answer of its application's own."""
    reached: bool = True
    """Whether it may have got the write, so that what failed may be this write's own fault."""


class Attempts:
    """Sends journalled writes to one side or the other, with that side's ids and credentials."""

    def __init__(
        self,
        forwarder: Forwarder,
        *,
        credentials: Mapping[str, Headers],
        now: Callable[[], datetime],
    ) -> None:
        """`credentials` are by upstream: what replays show there in place of the client's own."""
        self._forwarder = forwarder
        self._credentials = credentials
        self._now = now

    def prepare(self, write: JournalledWrite, route: Route, side: Side) -> Ready | Verdict:
        """Return the write ready to be sent to `side`, or why that cannot be done."""
        translated = self._forwarder.translated(route, write.intent.request, side)
        if translated.unknown:
            # By its own number it might be another entity over there.
            entity = translated.unknown[0]
            missing = f"does not know the id of a {entity!r}; import it:"
            how = f"`legacy-bridge ids import {route.group} {entity} FILE`, then `writes replay"
            return Verdict(Ending.PARK, f"{missing} {how} {write.intent.intent_id}`")
        ready = Ready(write, route, side, translated)
        return ready if route.dual.chosen_id is None else _choosing(ready)

    async def send(self, ready: Ready) -> Sent:
        """Send once; a refusal is looked into, where the route says how the entity is read."""
        route, write, side = ready.route, ready.write, ready.side
        try:
            request = marked(write, ready.sent.request)
            response = await self.exchange(route, request, side, write.intent.lane)
        except UpstreamUnavailable:
            unreachable = Verdict(Ending.RETRY, "cannot be reached")
            return Sent(unreachable, answered=False, reached=False)
        except OutcomeUnknown:
            return Sent(Verdict(Ending.RETRY, "gave no whole answer"), answered=False)
        verdict = judge(route, write, ready.sent, response, at=self._now())
        if verdict.ending is Ending.REFUSED and route.dual.read is not None:
            seen = await self.read(write, route, side)
            if seen is not None:
                verdict = judge_look(route, write, verdict, seen)
        chosen = ready.chosen
        if verdict.ending is Ending.DONE and chosen is not None and not verdict.ids:
            verdict = verdict._replace(ids=(chosen,))
        return Sent(verdict, answered=response.status not in _ABSENT)

    def as_first(self, write: JournalledWrite, route: Route) -> HttpRequest:
        """Return the request as the authority was sent it."""
        intent = write.intent
        return self._forwarder.translated(route, intent.request, intent.authority).request

    async def read(self, write: JournalledWrite, route: Route, side: Side) -> HttpResponse | None:
        """Read the entity that `write` touches; None when it cannot be named or reached."""
        rules = route.dual.read
        target = None if rules is None else self.facts(write, route, side).target(rules.target)
        return None if target is None else await self.fetch(route, side, target, write)

    async def fetch(
        self, route: Route, side: Side, target: bytes, write: JournalledWrite
    ) -> HttpResponse | None:
        """Ask `side` with GET, as whoever sent `write`; None without a whole answer."""
        kept = tuple(
            field for field in write.intent.request.headers if field[0].lower() in CREDENTIALS
        )
        headers = ((b"Accept", b"application/json"), *kept)
        request = HttpRequest(method=b"GET", target=target, headers=headers)
        try:
            return await self._exchange(route, request, side)
        except (UpstreamUnavailable, OutcomeUnknown):
            return None

    async def exchange(
        self, route: Route, request: HttpRequest, side: Side, lane: str | None = None
    ) -> HttpResponse:
        """Send a write with the credentials of replays; raises as `Upstream.exchange` does.

        An answer that is too large comes without its body: its status says what was done, and it
        would be as large the next time.
        """
        try:
            return await self._exchange(route, request, side, lane)
        except AnswerTooLarge as exc:
            return exc.head

    async def _exchange(
        self, route: Route, request: HttpRequest, side: Side, lane: str | None = None
    ) -> HttpResponse:
        own = self._credentials.get(route.upstreams[side], ())
        if own:
            replaced = CREDENTIALS | {name.lower() for name, _ in own}
            theirs = tuple(field for field in request.headers if field[0].lower() not in replaced)
            request = dataclasses.replace(request, headers=(*theirs, *own))
        return await self._forwarder.exchange(route, request, side, lane)

    def facts(self, write: JournalledWrite, route: Route, side: Side) -> Facts:
        """Return what templates may name of `write`, by the ids of `side`."""
        group, authority, ids = route.group, write.intent.authority, self._forwarder.ids

        def made_id(entity: str, made: str) -> str | None:
            if side is authority:
                return made
            pair = ids.pair_on(group, entity, authority, made)
            return None if pair is None else pair.on(side)

        return Facts(
            route,
            write,
            client_id=lambda entity, known: self._forwarder.find(group, side, entity, known),
            made_id=made_id,
        )


def _choosing(ready: Ready) -> Ready | Verdict:
    rule, key, write = ready.route.dual.chosen_id, ready.route.key, ready.write
    assert rule is not None, "the caller looked"
    if key is None or key.place is not KeyPlace.CREATED or key.entity is None:
        return ready
    made = None if write.response is None else json_id(write.response.body, key.name)
    if made is None:
        return Verdict(Ending.PARK, "cannot be told which id to give: the authority's is not known")
    chosen = derived_id(rule, ready.route.group, key.entity, made)
    request = with_id(rule, ready.sent.request, chosen)
    if request is None:
        return Verdict(Ending.PARK, "cannot be told which id to give: the body is no JSON object")
    return ready._replace(
        sent=ready.sent._replace(request=request), chosen=MadeId(key.entity, chosen, key.name)
    )


def marked(write: JournalledWrite, request: HttpRequest) -> HttpRequest:
    """Return `request` with the fields by which the other side knows a replay."""
    intent = write.intent
    fields = (
        (REPLAY_FIELD, intent.intent_id.encode("ascii")),
        (ORIGIN_FIELD, intent.authority.value.encode("ascii")),
    )
    request = dataclasses.replace(request, headers=request.headers + fields)
    return with_key(intent, request)


def with_key(intent: WriteIntent, request: HttpRequest) -> HttpRequest:
    """Return `request` with the write's `Idempotency-Key`, the client's own or ours."""
    if request.header(b"idempotency-key") is not None:
        return request
    field = (b"Idempotency-Key", intent.idempotency_key.encode("latin-1"))
    return dataclasses.replace(request, headers=(*request.headers, field))
