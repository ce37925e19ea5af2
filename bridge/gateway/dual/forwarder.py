"""Ask one side, with that side's ids, and answer with the client's."""

import dataclasses
from collections.abc import Mapping

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


class Forwarder:
    """The two sides of each group, by their own ids."""

    def __init__(self, ids: IdMap, upstreams: Mapping[str, Upstream]) -> None:
        self.ids = ids
        self._upstreams = upstreams

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

    async def exchange(self, route: Route, request: HttpRequest, side: Side) -> HttpResponse:
        """Send a request that is translated already; raises as `Upstream.exchange` does.

        The answer is as the route's rules have it, with the side's ids.
        """
        upstream = self._upstreams[route.upstreams[side]]
        answer = await upstream.exchange(request, timeout_ms=route.phases.whole_ms)
        return answer_from(route, side, answer)

    async def forward(self, decision: Decision, request: HttpRequest, side: Side) -> HttpResponse:
        """Send a request to `side` and return the answer by the client's ids."""
        route = decision.route
        sent = self.translated(route, request, side)
        response = await self.exchange(route, sent.request, side)
        return translate_response(route.ids, response, sent.used)
