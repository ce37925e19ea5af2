"""Ask one side, with that side's ids, and answer with the client's."""

import dataclasses
from collections.abc import Mapping
from typing import Final, Protocol

from bridge.gateway.dual.ports import IdMap
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.gateway.translation.ids import (
    Translated,
    readable,
    translate_request,
    translate_response,
    without_markers,
)
from bridge.gateway.translation.rewriting import answer_from, request_for
from bridge.gateway.upstream_ports import Upstream
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side


class CallFaults(Protocol):
    """What drills do to whole exchanges (see `bridge.gateway.drill`)."""

    @property
    def active(self) -> bool:
        """Whether anything is to be asked; the rest is called only then."""

    def lane_of(self, decision: Decision, request: HttpRequest) -> str | None:
        """Return the lane that a client's request is about."""

    def fell_back(
        self, decision: Decision, request: HttpRequest, upstream: str, status: int, took_s: float
    ) -> None:
        """Hear that the other side answered a read in place of `upstream`."""

    async def exchange(
        self,
        upstream: Upstream,
        route: Route,
        name: str,
        lane: str | None,
        request: HttpRequest,
        *,
        timeout_ms: int,
    ) -> HttpResponse:
        """As `Upstream.exchange` of the upstream called `name`, with a fault or without."""


class NoFaults:
    """No drill is ever on."""

    active = False

    def lane_of(self, decision: Decision, request: HttpRequest) -> str | None:
        """Not asked."""

    def fell_back(
        self, decision: Decision, request: HttpRequest, upstream: str, status: int, took_s: float
    ) -> None:
        """Not told."""

    async def exchange(
        self,
        upstream: Upstream,
        route: Route,
        name: str,
        lane: str | None,
        request: HttpRequest,
        *,
        timeout_ms: int,
    ) -> HttpResponse:
        """As without."""
        return await upstream.exchange(request, timeout_ms=timeout_ms)


NO_FAULTS: Final = NoFaults()


class Forwarder:
    """The two sides of each group, by their own ids."""

    def __init__(
        self, ids: IdMap, upstreams: Mapping[str, Upstream], faults: CallFaults = NO_FAULTS
    ) -> None:
        self.ids = ids
        self.faults = faults
        self.upstreams = upstreams

    def translates(self, decision: Decision) -> bool:
        """Whether the authority may know an id of the request by another name.

        Ids in queries and bodies are looked for when the request is there: it is taken whole.
        """
        route = decision.route
        if route.ids.query or route.ids.request:
            return True
        for name, entity in route.ids.path.items():
            known_id = decision.params.get(name)
            if known_id is not None:
                found = self.find(route.group, decision.authority, entity, known_id)
                if found not in (None, known_id):
                    return True
        return False

    def find(self, group: str, side: Side, entity: str, known_id: str) -> str | None:
        """Return the id on `side` of what the client calls `known_id`; None when unknown."""
        pair = self.ids.pair(group, entity, known_id)
        return None if pair is None else pair.on(side)

    def translated(self, route: Route, request: HttpRequest, side: Side) -> Translated:
        """Return `request` as `side` understands it; ids that it is not known to have stay."""
        translated = translate_request(
            route.path,
            route.ids,
            request,
            lambda entity, known_id: self.find(route.group, side, entity, known_id),
        )
        sent = request_for(route, side, readable(translated.request, route.ids))
        headers = without_markers(sent.headers)
        if headers is not sent.headers:
            sent = dataclasses.replace(sent, headers=headers)
        return translated._replace(request=sent)

    async def exchange(
        self,
        route: Route,
        request: HttpRequest,
        side: Side,
        lane: str | None = None,
        timeout_ms: int | None = None,
    ) -> HttpResponse:
        """Send a request that is translated already; raises as `Upstream.exchange` does.

        The answer is as the route's rules have it, with the side's ids. `lane` is what the request
        is about, where that is known; `timeout_ms` is the route's, unless it is given.
        """
        name = route.upstreams[side]
        upstream = self.upstreams[name]
        if timeout_ms is None:
            timeout_ms = route.phases.whole_ms
        if self.faults.active:
            answer = await self.faults.exchange(
                upstream, route, name, lane, request, timeout_ms=timeout_ms
            )
        else:
            answer = await upstream.exchange(request, timeout_ms=timeout_ms)
        return answer_from(route, side, answer)

    async def forward(
        self, decision: Decision, request: HttpRequest, side: Side, timeout_ms: int | None = None
    ) -> HttpResponse:
        """Send a request to `side` and return the answer by the client's ids."""
        route = decision.route
        sent = self.translated(route, request, side)
        lane = self.faults.lane_of(decision, request) if self.faults.active else None
        response = await self.exchange(route, sent.request, side, lane, timeout_ms)
        return translate_response(route.ids, response, sent.used)
