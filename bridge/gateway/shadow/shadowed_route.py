"""One route under one table, as its copies need it: sides, rules and ids made ready once."""

from collections.abc import Mapping
from datetime import date
from typing import Final, Protocol, TypeAlias

from bridge.gateway.comparison.comparing import Comparer
from bridge.gateway.dual.ports import IdMap
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.path_template import parameters
from bridge.gateway.routes.route import KeyPlace, KeyRule, Route
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.gateway.routes.sections.comparison_rules import IdsRule
from bridge.gateway.routes.sections.shadow import SAFE, ShadowRules
from bridge.gateway.shadow.copied_request import (
    Swaps,
    encoded_head,
    plain_copy,
    request_of,
    swapped,
    swaps_of,
)
from bridge.gateway.shadow.counts import RouteCounts
from bridge.gateway.shadow.pace import Pace
from bridge.gateway.translation.ids import (
    key_of,
    lane_of,
    readable,
    translate_request,
    translate_response,
)
from bridge.gateway.translation.rewriting import answer_from, request_for
from bridge.gateway.upstream_ports import UpstreamPool
from bridge.model.bucket import Bucket
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.stage import Side, Stage

HeadKey: TypeAlias = tuple[str, str]
"""Whose answers' heads: of a route, and of its client, its authority or its other side."""

_UNCHANGED: Final = Swaps({}, {})
_NO_REQUEST: Final = HttpRequest(method=b"GET", target=b"/", headers=(), body=b"")


class Way(Protocol):
    """How one upstream is reached by requests of ours."""

    @property
    def pool(self) -> UpstreamPool:
        """Return connections that no client's request uses."""
        ...

    @property
    def pace(self) -> Pace:
        """Return how many requests it gets at once."""
        ...


class ShadowedRoute:
    """See the module."""

    __slots__ = (
        "_ids", "_swaps", "authority", "authority_key", "bucket", "client_key",
        "cohort", "comparer", "copies", "copies_plainly", "counts", "key", "look_bucket",
        "noise_fraction", "pace", "probe_bucket", "probes", "rewrites", "route", "rules", "salt",
        "share", "stage", "target", "target_key", "timeout_s", "translates",
    )  # fmt: skip

    def __init__(
        self,
        decision: Decision,
        *,
        copies: Way,
        probes: Way,
        counts: RouteCounts,
        credentials: Headers,
        ids: IdMap | None,
        now: float,
    ) -> None:
        """`copies` leads to the other side, `probes` to the authority's.

        `credentials` are what copies show in place of their client's; none leaves those.
        """
        route = self.route = decision.route
        rules = self.rules = route.shadow
        self.stage = decision.stage
        self.authority = decision.authority
        self.target = decision.authority.other
        self.cohort = _cohort(decision)
        """Under which its times are counted."""
        self.client_key: HeadKey = (route.route_id, "client")
        self.authority_key: HeadKey = (route.route_id, self.authority.value)
        self.target_key: HeadKey = (route.route_id, self.target.value)
        rewriting = route.rewriting[self.target]
        self.rewrites = rewriting is not None
        """Whether the other side gets other requests than came, or its answers are rewritten."""
        self.noise_fraction = route.comparison.noise_fraction
        self.timeout_s = rules.timeout_ms / 1000
        self.share = rules.share(decision.stage)
        self.copies = copies
        self.pace = copies.pace
        self.probes = probes
        self.counts = counts
        self.bucket = Bucket.of_a_second(rules.copies_per_s, now)
        self.probe_bucket = Bucket.of_a_second(rules.probes_per_s, now)
        self.look_bucket = Bucket.of_a_second(rules.probes_per_s, now)
        self._ids = ids
        self.key = _key(route) if rules.by_key else None
        """Where the key stands that requests are chosen by; None to choose by chance."""
        self.salt = route.cohort_salt or route.group
        # Headers and paths are declared of modern: legacy understands what its clients send.
        declared = rules if self.target is Side.MODERN else ShadowRules()
        self._swaps = swaps_of(declared, credentials)
        self.translates = bool(route.ids) and ids is not None
        self.copies_plainly = not (self._swaps or self.translates or self.rewrites)
        """Whether a copy without a body is the request as it was forwarded, with its mark."""
        self.comparer = Comparer(rules_with_ids(route)) if self.translates else None
        """Where the route's ids stand; None when its own rules say all there is."""

    def lane(self, decision: Decision, head: RequestHead, block: bytes) -> str | None:
        """Return the lane of a request's key, by either side's id the same; None without one.

        Raises:
            StorageUnavailable: the id map cannot be read.
        """
        rule = self.key
        assert rule is not None, "nothing is chosen by key"
        request = _NO_REQUEST
        if rule.place is not KeyPlace.PATH:
            request = request_of(head.method, head.target, block, b"")
        key = key_of(rule, decision, request)
        if key is None:
            return None
        if rule.entity is not None and self._ids is not None:
            pair = self._ids.pair(self.route.group, rule.entity, key)
            if pair is not None:
                return pair.lane
        return lane_of(rule.entity, key)

    def takes(self, method: bytes) -> bool:
        """Whether a request of this method may be copied: unsafe ones only to a stand-in."""
        return method in SAFE or (
            self.rules.side_effect_free
            and self.target is Side.MODERN
            and self.stage is Stage.SHADOW
        )

    def encoded(
        self, side: Side, mark: bytes, head: RequestHead, block: bytes, body: bytes, length: int
    ) -> tuple[bytes, Mapping[tuple[str, str], str]]:
        """Return the bytes of a request to `side`, and which of its ids the client calls what.

        `length` is that of the body, which may follow by itself: `body` is then empty.

        Raises:
            StorageUnavailable: the id map cannot be read.
        """
        swaps = self._swaps if side is self.target else _UNCHANGED
        changes = self.translates or self.route.rewriting[side] is not None
        if not head.length and not swaps and not changes:
            return plain_copy(head.start, block, mark), {}
        used: Mapping[tuple[str, str], str] = {}
        request = request_of(head.method, head.target, block, body)
        if self.translates:
            request, used = self._translated(side, request)
        request = swapped(request_for(self.route, side, request), swaps)
        framed = len(request.body) if request.body else length
        data = encoded_head(
            request.method, request.target, request.headers, mark, framed if head.length else None
        )
        return data + request.body, used

    def answer(
        self, side: Side, response: HttpResponse, asked: Mapping[tuple[str, str], str]
    ) -> HttpResponse:
        """Return an answer of `side` as the route's rules have it, to be compared.

        Of the authority's side it has the client's ids, as the first answer has.
        """
        response = answer_from(self.route, side, response)
        if self.translates and side is self.authority:
            response = translate_response(self.route.ids, response, asked)
        return response

    def other_id(self, entity: str, known_id: str) -> str | None:
        """Return the other side's id for one of the authority's."""
        if self._ids is None:
            return None
        pair = self._ids.pair(self.route.group, entity, known_id)
        return None if pair is None else pair.on(self.target)

    def _translated(
        self, side: Side, request: HttpRequest
    ) -> tuple[HttpRequest, Mapping[tuple[str, str], str]]:
        ids, route = self._ids, self.route
        assert ids is not None

        def find(entity: str, known_id: str) -> str | None:
            pair = ids.pair(route.group, entity, known_id)
            return None if pair is None else pair.on(side)

        translated = translate_request(route.path, route.ids, request, find)
        return readable(translated.request, route.ids), translated.used


def rules_with_ids(route: Route) -> ComparisonRules:
    """Return the route's rules of comparison, and that its declared ids are pairs of the id map."""
    rules = route.comparison
    named = {place for rule in rules.rules if isinstance(rule, IdsRule) for place in rule.at}
    added = tuple(
        IdsRule(
            name=f"declared-id-{number}", kind="ids", at=(place,), entity=entity,
            reason="the route declares an id there", reviewed_by="the route file",
            reviewed_on=date.min,
        )
        for number, (place, entity) in enumerate(route.ids.response.items())
        if place not in named
    )  # fmt: skip
    return rules.model_copy(update={"rules": (*rules.rules, *added)})


def _key(route: Route) -> KeyRule | None:
    """Return where the key stands: where the route declares it, else its first id, else the first
    parameter of its path. A body is not there yet when it is decided whether to copy."""
    if route.has_key_outside_bodies:
        return route.key
    for name, entity in route.ids.path.items():
        return KeyRule(place=KeyPlace.PATH, name=name, entity=entity)
    names = parameters(route.path)
    return KeyRule(place=KeyPlace.PATH, name=names[0]) if names else None


def _cohort(decision: Decision) -> str:
    if decision.stage is not Stage.CANARY:
        return "all"
    return "in" if decision.authority is Side.MODERN else "out"
