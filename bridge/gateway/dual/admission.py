"""Admit one write: its lane, its `Idempotency-Key`, and a place where its answer is awaited."""

import asyncio
import base64
import hashlib
import json
import os
import time
from dataclasses import dataclass
from typing import Final

from bridge.gateway.dual import answers
from bridge.gateway.dual.ports import IdMap
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import KeyPlace
from bridge.gateway.routes.sections.dual import KeyDemand
from bridge.gateway.translation.ids import key_of, lane_of
from bridge.model.errors import StorageUnavailable
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side
from bridge.model.write import JournalledWrite

_CLIENT_KEY = b"idempotency-key"
_CLIENT_KEY_BYTES_MAX = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteLimits:
    """How long and how often a write waits; each wait ends in an answer that says so."""

    lane_wait_ms: int = 5_000
    """For an earlier write of the key; longer than most legacy answers, shorter than a client."""
    drain_wait_ms: int = 250
    """For replays on their way to the authority, before the sticky authority is used."""
    lane_waiting_count_max: int = 64
    """Writes of one key that wait in one process."""
    decisions_count_max: int = 8
    """Switches that may overtake one write before it gives up."""
    look_again_ms: int = 4
    """Between two looks at a lane that another process holds."""
    both_look_ms_max: int = 50
    """Between two looks whether the other side has a write that must be on both; grows to this."""
    settle_retry_ms: int = 200
    """Between two tries to record an outcome that the journal could not take."""


class Write:
    """One write on its way: what it is, and where its answer is awaited."""

    __slots__ = (
        "abandoned",
        "answer",
        "applied",
        "asked_s",
        "began_at",
        "client_key",
        "decision",
        "fingerprint",
        "intent_id",
        "key_sent",
        "lane",
        "repeats",
        "request",
    )

    def __init__(self, decision: Decision, request: HttpRequest, lane: str, intent_id: str) -> None:
        self.began_at = time.monotonic()
        self.asked_s = 0.0
        """How long the authority was waited for; none of it is ours."""
        self.decision = decision
        self.request = request
        self.lane = lane
        self.intent_id = intent_id
        self.key_sent: str | None = None
        """The client's `Idempotency-Key` as it came."""
        self.client_key: str | None = None
        """The same in the client's own scope: two clients may choose the same one."""
        self.fingerprint = ""
        self.applied: Side | None = None
        """The side that did it, once the journal knows."""
        self.repeats: JournalledWrite | None = None
        """The write with the same `Idempotency-Key`, whose answer this one gets."""
        self.abandoned = False
        """The client is gone; nothing needs to be begun any more."""
        self.answer: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()

    def tell(self, answer: HttpResponse) -> None:
        """Give the client this answer, unless it has one."""
        if not self.answer.done():
            self.answer.set_result(answer)


class Admission:
    """Finds what a write needs before it may wait for anything."""

    def __init__(self, ids: IdMap) -> None:
        self._ids = ids

    def admit(
        self, decision: Decision, request: HttpRequest, *, keyless: bool = False
    ) -> Write | HttpResponse:
        """Return the write, or the answer that refuses it; `keyless`: without `Idempotency-Key`."""
        intent_id = new_intent_id()
        rule = decision.route.key
        if rule is not None and rule.place is KeyPlace.CREATED:
            lane: str | None = f"new:{intent_id}"
        else:
            try:
                lane = self.lane(decision, request)
            except StorageUnavailable:
                return answers.journal_unavailable()
        if lane is None:
            assert rule is not None, "a route without a key has a lane of its own"
            return answers.key_missing(f"{rule.place.value} {rule.name!r}")
        write = Write(decision, request, lane, intent_id)
        if keyless and decision.route.dual.idempotency is not KeyDemand.REQUIRED:
            return write
        keys = [value for name, value in request.headers if name.lower() == _CLIENT_KEY]
        if keys:
            if len(keys) > 1 or not 0 < len(keys[0]) <= _CLIENT_KEY_BYTES_MAX:
                return answers.bad_client_key()
            write.key_sent = keys[0].decode("latin-1")
            write.client_key = scope_of(request) + write.key_sent
            write.fingerprint = fingerprint_of(request)
        elif decision.route.dual.idempotency is KeyDemand.REQUIRED:
            return answers.client_key_missing()
        return write

    def lane(self, decision: Decision, request: HttpRequest) -> str | None:
        """Return the lane, at every stage and by either side's id the same one."""
        route = decision.route
        if route.key is None:
            # Without a key only the order among the route's own writes can be kept.
            return lane_of("route", route.route_id)
        key = key_of(route.key, decision, request)
        return None if key is None else self._lane(route.group, route.key.entity, key)

    def lane_of_read(self, decision: Decision, request: HttpRequest | None) -> str | None:
        """Return the lane whose data a read asks for; None when it names none.

        Without its request only the path can be asked.
        """
        route = decision.route
        if route.key is not None and route.key.place is KeyPlace.PATH:
            name, entity = route.key.name, route.key.entity
        elif route.key is not None and request is not None and route.dual.read_your_writes:
            found = key_of(route.key, decision, request)
            return None if found is None else self._lane(route.group, route.key.entity, found)
        elif route.ids.path:
            name, entity = next(iter(route.ids.path.items()))
        else:
            return None
        key = decision.params.get(name)
        return None if key is None else self._lane(route.group, entity, key)

    def _lane(self, group: str, entity: str | None, key: str) -> str:
        pair = None if entity is None else self._ids.pair(group, entity, key)
        return lane_of(entity, key) if pair is None else pair.lane


# Drawing gives Python's lock away, and getting it back from the commit thread is what it costs.
_DRAWN_AT_ONCE: Final = 256
_drawn: list[str] = []
# A child must not use what its parent may use too.
os.register_at_fork(after_in_child=_drawn.clear)


def new_intent_id() -> str:
    """Return a new id: 48 bits of milliseconds, then 80 random ones, so that ids sort by age."""
    if not _drawn:
        fresh = os.urandom(10 * _DRAWN_AT_ONCE).hex()
        _drawn.extend(fresh[at : at + 20] for at in range(0, len(fresh), 20))
    return f"{time.time_ns() // 1_000_000:012x}{_drawn.pop()}"


def scope_of(request: HttpRequest) -> str:
    """Return whose `Idempotency-Key` it is, as a prefix of the key; empty for nobody in particular.

    The name in Basic credentials, the subject of a bearer token, else the credentials themselves.
    Nothing is believed: the fingerprint, too, knows the credentials, so that who only claims a name
    gets 422 and never another's answer.
    """
    shown = request.header(b"authorization")
    if shown is None:
        return ""
    scheme, _, rest = shown.partition(b" ")
    who = shown
    try:
        if scheme.lower() == b"basic":
            who = base64.b64decode(rest.strip(), validate=True).partition(b":")[0]
        elif scheme.lower() == b"bearer" and rest.count(b".") == 2:
            part = rest.strip().split(b".")[1]
            claims = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
            who = json.dumps([claims.get("iss"), claims["sub"]]).encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        who = shown
    return hashlib.sha256(scheme.lower() + b" " + who).hexdigest()[:16] + ":"


def fingerprint_of(request: HttpRequest) -> str:
    """Return what must not differ when a client repeats its key.

    Credentials count: another caller that guesses a key must not be given the stored answer.
    """
    digest = hashlib.sha256()
    for part in (
        request.method,
        request.target,
        request.header(b"content-type") or b"",
        request.header(b"authorization") or b"",
        request.body,
    ):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
