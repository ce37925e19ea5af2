"""Reads that legacy answers in place of a modern side that cannot, where that shows nothing old.

Legacy may answer when it has every write that was acknowledged: none of the key is still to be
replayed to it, and none runs or is in doubt on modern, which may have done it and shown it to
somebody. A read without a key needs that of the whole group. What the journal does not say, because
it is away or because an id is not in the map, is no.

Writes have no way back: only a switch moves the authority.
"""

import dataclasses
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from bridge.gateway.dual.admission import Admission
from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.dual.ports import Behind, LaneState
from bridge.gateway.dual.states import FINAL
from bridge.gateway.dual.write_tokens import Written
from bridge.gateway.http.problems import FALLBACK, MARKER
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import KeyPlace
from bridge.gateway.routes.sections.protection import Fallback
from bridge.model.errors import OutcomeUnknown, StorageUnavailable, UpstreamUnavailable
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.observer import Observer
from bridge.model.stage import Side, Stage
from bridge.model.write import WriteState

_READING: Final = frozenset((b"GET", b"HEAD"))

Forward: TypeAlias = Callable[
    [Decision, HttpRequest, Side, int | None], Coroutine[Any, Any, HttpResponse]
]
"""Asks a side within so many milliseconds; what fails is an answer of our own."""
Asking: TypeAlias = Callable[[], Coroutine[Any, Any, HttpResponse | None]]
"""Asks legacy for its answer; None when it has none either."""


class Standing(Protocol):
    """The write journal, as far as it knows what legacy lacks."""

    def lane_state(self, group: str, lane: str) -> LaneState:
        """Return what stands in the lane's way now."""

    def behind(self, group: str, side: Side) -> Behind:
        """Return whether `side` may lack writes of any lane of the group now."""

    def state_of(self, intent_id: str) -> WriteState | None:
        """Return where the write stands; None when the journal does not have it."""


class WayBack:
    """Asks legacy instead."""

    def __init__(
        self,
        *,
        journal: Standing,
        admission: Admission,
        forwarder: Forwarder,
        brought: Callable[[Decision, HttpRequest], Sequence[Written]],
        observer: Observer,
    ) -> None:
        """`brought` returns the writes that a client says it must see."""
        self._journal = journal
        self._admission = admission
        self._forwarder = forwarder
        self._brought = brought
        self._observer = observer

    def instead(self, decision: Decision, request: HttpRequest, asked_at: float) -> Asking | None:
        """Return what asks legacy; None when it may lack something, and must not be asked.

        `asked_at` is when the client was heard (monotonic seconds).
        """
        back = decision.way_back
        if back is None or decision.forced or request.body or request.method not in _READING:
            return None
        try:
            lags = self._lags(decision, request)
        except StorageUnavailable:
            return None
        rules = decision.route.protection
        if lags is None or (lags and rules.fallback is not Fallback.STALE):
            return None
        if self._forwarder.translated(decision.route, request, Side.LEGACY).unknown:
            return None  # By its number on modern it might be another entity on legacy.
        back = back._replace(params=decision.params)
        return partial(self._ask, decision, back, request, lags, asked_at)

    async def read(
        self, decision: Decision, request: HttpRequest, forward: Forward
    ) -> HttpResponse:
        """Ask modern by `forward`, and legacy when modern has no whole answer in its time."""
        asked_at, route = time.monotonic(), decision.route
        if self.instead(decision, request, asked_at) is None:
            # Nobody else can be asked: it has the time that it always has.
            return await forward(decision, request, decision.authority, None)
        timeout_ms = min(round(route.fallback_after_s * 1000), route.phases.whole_ms)
        answer = await forward(decision, request, decision.authority, timeout_ms)
        failed = answer.header(MARKER) is not None
        if not failed and answer.status not in route.protection.fallback_statuses:
            return answer
        asking = self.instead(decision, request, asked_at)
        found = None if asking is None else await asking()
        return answer if found is None else found

    def _lags(self, decision: Decision, request: HttpRequest) -> bool | None:
        """Return whether the answer may lag behind, which is for lists alone; None where it must
        not be given at all."""
        group = decision.route.group
        lane = self._lane(decision, request)
        on_modern = decision.stage is Stage.MODERN
        for written in self._brought(decision, request):
            if (
                written.side is Side.MODERN
                and written.concerns(group, lane)
                and self._journal.state_of(written.intent_id) not in FINAL
            ):
                return None
        if lane is None:
            behind = self._journal.behind(group, Side.LEGACY)
            return behind.unreplayed or (behind.open and on_modern)
        state = self._journal.lane_state(group, lane)
        lacks = state.unreplayed_to is Side.LEGACY
        return None if lacks or (state.in_flight is not None and on_modern) else False

    def _lane(self, decision: Decision, request: HttpRequest) -> str | None:
        rule = decision.route.key
        if rule is None or rule.place is KeyPlace.CREATED:
            return self._admission.lane_of_read(decision, request)
        return self._admission.lane(decision, request)

    async def _ask(
        self,
        decision: Decision,
        back: Decision,
        request: HttpRequest,
        lags: bool,
        asked_at: float,
    ) -> HttpResponse | None:
        route = decision.route
        timeout_ms = route.phases.whole_ms
        if route.phases.total_s is not None:
            timeout_ms -= round((time.monotonic() - asked_at) * 1000)
        name, stage = route.route_id, decision.stage.value
        try:
            if timeout_ms <= 0:
                raise OutcomeUnknown(f"no time is left to ask legacy for route {name!r}")
            answer = await self._forwarder.forward(back, request, Side.LEGACY, timeout_ms)
        except (UpstreamUnavailable, OutcomeUnknown):
            self._observer.note("fallback_failed", route=name, stage=stage, requests=1)
            return None
        self._observer.note("fell_back", route=name, stage=stage, requests=1)
        faults = self._forwarder.faults
        if faults.active:
            took_s = time.monotonic() - asked_at
            faults.fell_back(decision, request, decision.upstream, answer.status, took_s)
        return _marked(answer, lags=lags)


def _marked(answer: HttpResponse, *, lags: bool) -> HttpResponse:
    headers = answer.headers
    if lags:
        # No cache may keep what is known to be old perhaps.
        kept = tuple(field for field in headers if field[0].lower() != b"cache-control")
        headers = (*kept, (b"Cache-Control", b"no-store"))
    value = b"legacy;may-lag" if lags else b"legacy"
    return dataclasses.replace(answer, headers=(*headers, (FALLBACK, value)))
