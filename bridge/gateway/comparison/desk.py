"""What a person asks about comparisons: verdicts, fields, samples, rules."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bridge.gateway.comparison.book import rules_digest
from bridge.gateway.comparison.canonical import canonical
from bridge.gateway.comparison.comparing import Comparer
from bridge.gateway.comparison.drift import RouteDrift, judge_drift
from bridge.gateway.comparison.judgement import Agreement, RouteVerdict, judge
from bridge.gateway.comparison.ports import ComparisonStore
from bridge.gateway.comparison.samples import Sample
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.model.errors import ConfigInvalid, NotKnown
from bridge.model.http import HttpResponse
from bridge.model.stage import Side


class RouteStanding(NamedTuple):
    """A route and what can be said of it under its present rules."""

    route: Route
    rules: str
    """Digest of the rules."""
    verdict: RouteVerdict
    drift: RouteDrift | None = None
    """Of routes that are held to documents."""


class Again(NamedTuple):
    """A sample, compared once more under the present rules."""

    sample: Sample
    equal: bool | None
    """None when its bodies were too large to be kept."""
    fields: tuple[str, ...]
    hidden: tuple[tuple[str, int], ...]


class ComparisonDesk:
    """Reads the store by the routes in force."""

    def __init__(self, store: ComparisonStore, routes: Callable[[], Sequence[Route]]) -> None:
        self.store = store
        self._routes = routes

    def standings(self, group: str | None = None) -> list[RouteStanding]:
        """Return every route that can be compared, in the order of the files."""
        return [
            self._standing(route)
            for route in self._routes()
            if Side.MODERN in route.upstreams and group in (None, route.group)
        ]

    def standing(self, route_id: str) -> RouteStanding:
        """Return one route; raises `NotKnown` when there is none of this name."""
        return self._standing(self.route(route_id))

    def route(self, route_id: str) -> Route:
        """Return a route; raises `NotKnown` naming those that can be compared."""
        two_sided = {r.route_id: r for r in self._routes() if Side.MODERN in r.upstreams}
        if route_id not in two_sided:
            known = ", ".join(sorted(two_sided)) or "none"
            raise NotKnown(f"cannot find route {route_id!r}: routes with two sides are {known}")
        return two_sided[route_id]

    def sample(self, sample_id: str) -> Sample:
        """Return a sample; raises `NotKnown`."""
        found = self.store.sample(sample_id)
        if found is None:
            raise NotKnown(f"cannot find sample {sample_id!r}: it is not kept (any more)")
        return found

    def again(self, sample: Sample) -> Again:
        """Compare a sample once more, by the rules that its route has now.

        Its values are redacted: rules about where things stand, their order, names and keys work as
        on the answers themselves; those about values do where the values are declared to be shown.

        Raises:
            NotKnown: the route is gone.
        """
        rules = self.route(sample.route).comparison
        tree = sample.read()
        if "bodies" not in tree:
            return Again(sample, None, (), ())
        json_rules = rules.model_copy(update={"body": "json", "headers": ()})
        mine, theirs = (
            _answer(status, body)
            for status, body in zip(tree["status"], tree["bodies"], strict=True)
        )
        found = Comparer(json_rules).compare(mine, theirs, ids=lambda _, known: known)
        return Again(sample, found.equal, tuple(sorted(found.fields)), found.hidden)

    def _standing(self, route: Route) -> RouteStanding:
        digest = rules_digest(route.comparison)
        verdict = judge(self.store.counts(route.route_id, digest), route.comparison)
        if route.api is None:
            return RouteStanding(route, digest, verdict)
        drift = judge_drift(
            self.store.counts(route.route_id, route.api.digest),
            route.comparison,
            {side.value: route.api.of(side).name for side in Side},
        )
        return RouteStanding(route, digest, _gated(verdict, drift, route.comparison), drift)


def _gated(verdict: RouteVerdict, drift: RouteDrift, rules: ComparisonRules) -> RouteVerdict:
    """Return the verdict, with what modern's drift has to say where it is a gate."""
    if not rules.openapi_gate or verdict.agreement is Agreement.MISMATCH:
        return verdict
    agreement: Agreement = verdict.agreement
    if drift.modern.at_least > rules.tolerance:
        agreement = Agreement.MISMATCH
    elif drift.modern.at_most > rules.tolerance:
        agreement = Agreement.OPEN
    return dataclasses.replace(verdict, agreement=agreement)


def _answer(status: int, body: Any) -> HttpResponse:
    if not isinstance(body, dict) or "value" not in body:
        raise ConfigInvalid("cannot compare a sample again: it was written by another version")
    return HttpResponse(
        status=status,
        reason=b"",
        headers=((b"Content-Type", b"application/json"),),
        body=canonical(body["value"]),
    )
