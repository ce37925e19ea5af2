"""What gateway workers counted of their copies, from their run files: per route, by name.

A count's name in a run file is `shadow.ROUTE.WHAT`; what stands after the route is written by
`bridge.gateway.shadow.counts`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from bridge.gateway.shadow.counts import BOUNDS_MS
from bridge.runtime.watching.run_files import RoleStatus

PREFIX: Final = "shadow."
_BY_REASON: Final = {
    "shed": ("reason", "Requests chosen to be copied and not copied."),
    "uncompared": ("reason", "Copies whose answer was not compared."),
    "compared": ("outcome", "Pairs of answers compared."),
    "probed": ("outcome", "Requests sent to the authority's side once more."),
    "first": ("whose", "Pairs by whose answer was whole first."),
}
_PLAIN: Final = {
    "seen": "Requests of routes that are copied.",
    "copied": "Copies sent to the other side.",
}

_DOCUMENT: Final = {
    "checked": (("who",), "Requests and answers held to the route's OpenAPI document."),
    "drift": (("who", "rule"), "Of these, those that break a rule of the document."),
    "skipped": (("reason",), "Pairs that were not held to it: time, size, failed."),
}


class _Count(NamedTuple):
    """One count of one role."""

    role: str
    route: str
    what: tuple[str, ...]
    value: float


def copies_by_route(roles: Iterable[RoleStatus]) -> list[dict[str, Any]]:
    """Return what happened to the copies of each route since the workers' start."""
    routes: defaultdict[str, defaultdict[str, Counter[str]]]
    routes = defaultdict(lambda: defaultdict(Counter))
    for count in _counts(roles):
        name, *rest = count.what
        routes[count.route][name][".".join(rest)] += round(count.value)
    found = []
    for route, counts in sorted(routes.items()):
        compared = counts["compared"]
        found.append(
            {
                "route": route,
                "seen": counts["seen"][""],
                "copied": counts["copied"][""],
                "compared": compared.total(),
                "differed": compared["mismatch"] + compared["unconfirmed"],
                "flapping": compared["flapping"],
                "shed": dict(counts["shed"]),
                "uncompared": dict(counts["uncompared"]),
            }
        )
    return found


def shadow_metrics(roles: Iterable[RoleStatus]) -> Iterator[Metric]:
    """Yield the metric families of copies, labelled with role, route and reason, side or cohort."""
    families = {
        name: CounterMetricFamily(
            f"legacy_bridge_shadow_{name}", text, labels=["role", "route", label]
        )
        for name, (label, text) in _BY_REASON.items()
    }
    plain = {
        name: CounterMetricFamily(f"legacy_bridge_shadow_{name}", text, labels=["role", "route"])
        for name, text in _PLAIN.items()
    }
    orders = CounterMetricFamily(
        "legacy_bridge_shadow_orders",
        "Pairs compared, by order of the calls and whether they agreed.",
        labels=["role", "route", "order", "outcome"],
    )
    document = {
        name: CounterMetricFamily(
            f"legacy_bridge_document_{name}", text, labels=["role", "route", *labels]
        )
        for name, (labels, text) in _DOCUMENT.items()
    }
    times: defaultdict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    for role, route, what, value in _counts(roles):
        name, *rest = what
        if name in plain:
            plain[name].add_metric([role, route], value)
        elif name in families:
            families[name].add_metric([role, route, ".".join(rest)], value)
        elif name == "document":
            document[rest[0]].add_metric([role, route, *rest[1:]], value)
        elif name == "order":
            orders.add_metric([role, route, *rest], value)
        elif name == "took":
            side, cohort, fact = rest
            times[role, route, side, cohort][fact] = value
        elif name == "skew":
            order, fact = rest
            times[role, route, "skew", order][fact] = value
    yield from (*plain.values(), *families.values(), *document.values(), orders)
    yield from _histograms(times)


def answers_by_side(roles: Iterable[RoleStatus]) -> dict[tuple[str, str], list[int]]:
    """Return how many answers to (route, side) took at most each of `BOUNDS_MS`, and more."""
    found: dict[tuple[str, str], list[int]] = {}
    for _, route, what, value in _counts(roles):
        if what[0] == "took" and len(what) == 4 and what[3].startswith("le_"):
            counts = found.setdefault((route, what[1]), [0] * (len(BOUNDS_MS) + 1))
            bound = what[3].removeprefix("le_")
            at = len(BOUNDS_MS) if bound == "more" else BOUNDS_MS.index(int(bound))
            counts[at] += round(value)
    return found


def _histograms(
    times: Mapping[tuple[str, str, str, str], Mapping[str, float]],
) -> Iterator[Metric]:
    answers = HistogramMetricFamily(
        "legacy_bridge_shadow_answer_seconds",
        "Time of answers that were compared, by side and cohort.",
        labels=["role", "route", "side", "cohort"],
    )
    skew_ms = CounterMetricFamily(
        "legacy_bridge_shadow_skew_milliseconds",
        "Time between the two calls of pairs, by order of the calls.",
        labels=["role", "route", "order"],
    )
    for (role, route, side, cohort), facts in times.items():
        if side == "skew":
            skew_ms.add_metric([role, route, cohort], facts.get("ms", 0))
            continue
        below, buckets = 0.0, []
        for bound in BOUNDS_MS:
            below += facts.get(f"le_{bound}", 0)
            buckets.append((str(bound / 1000), below))
        buckets.append(("+Inf", facts.get("count", 0)))
        answers.add_metric([role, route, side, cohort], buckets, facts.get("ms", 0) / 1000)
    yield answers
    yield skew_ms


def _counts(roles: Iterable[RoleStatus]) -> Iterator[_Count]:
    for role in roles:
        for name, value in role.counts.items():
            if name.startswith(PREFIX):
                _, route, *what = name.split(".")
                yield _Count(role.role, route, tuple(what), value)
