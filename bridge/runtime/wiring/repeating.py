"""Send the request of a sample to both sides once more, and compare what they answer now."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Final, NamedTuple

from bridge.gateway.comparison.comparing import Comparer
from bridge.gateway.comparison.difference import Comparison
from bridge.gateway.comparison.redaction import Redactor
from bridge.gateway.comparison.samples import Sample
from bridge.gateway.comparison.sealed_request import RequestSeal
from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.openapi.checking import Fault
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.shadow import ShadowRules
from bridge.gateway.routes.table import AUTHORITY
from bridge.gateway.shadow.copied_request import COPY, MARKER, PROBE, swapped, swaps_of
from bridge.gateway.shadow.drift_check import document_faults
from bridge.gateway.shadow.shadowed_route import rules_with_ids
from bridge.gateway.translation.ids import translate_request, translate_response
from bridge.gateway.translation.rewriting import request_for
from bridge.model.errors import OutcomeUnknown, UpstreamUnavailable
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.observer import SilentObserver
from bridge.model.stage import GroupState, Side, Stage
from bridge.runtime.wiring.gateway_edge import replay_headers
from bridge.runtime.wiring.reconciling import open_upstreams
from bridge.runtime.wiring.shadowing import sample_key, shadow_headers
from bridge.runtime.wiring.stores import Stores

_NO_NONCE: Final[Callable[[int], bytes]] = bytes


class Repeated(NamedTuple):
    """What both sides answered now."""

    authority: Side
    statuses: Mapping[Side, int | None]
    """None for a side that did not answer."""
    comparison: Comparison | None
    """None when a side did not answer."""
    faults: Mapping[str, tuple[Fault, ...]]
    """What is not as the route's document declares, by `legacy` and `modern`."""
    redactor: Redactor
    """Redacts as the sample is: equal values have equal digests in both."""


async def repeat_sample(
    stores: Stores, route: Route, sample: Sample, credentials: Headers
) -> Repeated:
    """Send the sample's request to both sides, with `credentials` where a side has none of its own.

    Raises:
        ConfigInvalid: the sample has no request that may be sent again, or its key is gone.
        StorageUnavailable: the id map cannot be read.
    """
    key = sample_key(stores.settings)
    request = RequestSeal(key, _NO_NONCE).unseal(sample.read().get("request"), sample.sample_id)
    states = {state.group: state for state in stores.group_states()}
    state = states.get(route.group)
    with ExitStack() as stack:
        upstreams = open_upstreams(stores, SilentObserver(), stack)
        call = _Call(stores, route, state, Forwarder(stores.journal(), upstreams), credentials)
        answers = {side: await call.answer(side, request) for side in Side}
    authority = call.authority
    mine, theirs = answers[authority], answers[authority.other]
    comparison = None
    if mine is not None and theirs is not None:
        rules = rules_with_ids(route) if call.translates else route.comparison
        comparison = Comparer(rules).compare(mine, theirs, ids=call.other_id)
    faults = {}
    if route.api is not None:
        for side, answer in answers.items():
            if answer is not None:
                found = document_faults(route.api.of(side), request, answer)
                faults[side.value] = found or ()
    return Repeated(
        authority=authority,
        statuses={side: None if one is None else one.status for side, one in answers.items()},
        comparison=comparison,
        faults=faults,
        redactor=Redactor(route.comparison, key),
    )


class _Call:
    """One request to one side or the other, as the mirror sends its copies."""

    def __init__(
        self,
        stores: Stores,
        route: Route,
        state: GroupState | None,
        forwarder: Forwarder,
        credentials: Headers,
    ) -> None:
        gateway = stores.gateway_settings()
        self._route = route
        self._forwarder = forwarder
        self._given = credentials
        self._own = {
            Side.LEGACY: replay_headers(gateway).get(route.upstreams[Side.LEGACY], ()),
            Side.MODERN: shadow_headers(gateway).get(route.upstreams[Side.MODERN], ()),
        }
        self.authority = AUTHORITY[Stage.LEGACY if state is None else state.stage]
        self.translates = bool(route.ids) and state is not None and state.epoch > 0

    def other_id(self, entity: str, known: str) -> str | None:
        """Return the other side's id for one of the authority's."""
        pair = self._forwarder.ids.pair(self._route.group, entity, known)
        return None if pair is None else pair.on(self.authority.other)

    async def answer(self, side: Side, request: HttpRequest) -> HttpResponse | None:
        """Return what `side` answers; None when it does not."""
        route, used = self._route, {}
        if self.translates:
            ids = self._forwarder.ids

            def find(entity: str, known: str) -> str | None:
                pair = ids.pair(route.group, entity, known)
                return None if pair is None else pair.on(side)

            translated = translate_request(route.path, route.ids, request, find)
            request, used = translated.request, dict(translated.used)
        declared = route.shadow if side is Side.MODERN else ShadowRules()
        sent = swapped(request_for(route, side, request), swaps_of(declared, self._own[side]))
        if not self._own[side]:
            sent = _with(sent, self._given)
        mark = PROBE if side is self.authority else COPY
        try:
            answer = await self._forwarder.exchange(route, _with(sent, ((MARKER, mark),)), side)
        except (UpstreamUnavailable, OutcomeUnknown):
            return None
        if self.translates and side is self.authority:
            answer = translate_response(route.ids, answer, used)
        return answer


def _with(request: HttpRequest, fields: Headers) -> HttpRequest:
    """Return `request` with these fields in place of those of the same name."""
    names = {name.lower() for name, _ in fields}
    kept = tuple(field for field in request.headers if field[0].lower() not in names)
    return HttpRequest(
        method=request.method, target=request.target, headers=(*kept, *fields), body=request.body
    )
