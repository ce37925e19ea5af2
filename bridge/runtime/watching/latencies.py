"""How long requests took, from the run files of gateway workers: metrics, and quantiles by side.

A worker notes `latency.LABEL` → text (see `bridge.gateway.routes.timings`), cumulative since its
start. In metrics each worker stands for itself, under its role: a sum over workers would go down
when one of them is started again, and be read as if all of them had been.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from prometheus_client.core import HistogramMetricFamily, Metric

from bridge.gateway.routes.timings import FIRST, WHOLE, read_times
from bridge.gateway.shadow.counts import BOUNDS_MS
from bridge.model.latency import BOUNDS_S, Histogram, quantile_s
from bridge.runtime.watching.run_files import RoleStatus
from bridge.runtime.watching.shadow_counts import answers_by_side

NOTE: Final = "latency"
PREFIX: Final = f"{NOTE}."
_LABELS: Final = ("route", "stage", "side", "cohort")
_SHADOW_BOUNDS_S: Final = tuple(bound / 1_000 for bound in BOUNDS_MS)


class _Told(NamedTuple):
    """What one process counted under one label."""

    role: str
    labels: tuple[str, ...]
    """Route, stage, side and cohort, the last one empty where a stage has none."""
    times: dict[str, Histogram]


def latency_metrics(roles: Iterable[RoleStatus]) -> Iterator[Metric]:
    """Yield the histograms of requests, first bytes and what journalled writes wait for."""
    whole = _family("request_seconds", "Time from a request's head to the end of its answer.")
    first = _family("first_byte_seconds", "Time from a request's head to its answer's first byte.")
    phases = _family("phase_seconds", "Time that requests spent in one phase.", "phase")
    for told in _told(roles):
        for kind, histogram in told.times.items():
            if kind == WHOLE:
                _add(whole, [told.role, *told.labels], histogram)
            elif kind == FIRST:
                _add(first, [told.role, *told.labels], histogram)
            else:
                _add(phases, [told.role, *told.labels, kind], histogram)
    yield from (whole, first, phases)


def latencies_by_side(roles: Sequence[RoleStatus]) -> list[dict[str, Any]]:
    """Return the quantiles of each route's sides since the workers' start, all workers together.

    `of` says of what: `requests` of clients, by the side that answered; or `compared` ones, which
    both sides were asked. Quantiles are interpolated between the bounds of `bridge.model.latency`,
    and of compared requests between those of `legacy_bridge_shadow_answer_seconds`.
    """
    found: defaultdict[tuple[str, str], dict[str, Histogram]] = defaultdict(dict)
    for told in _told(roles):
        route, _, side, _ = told.labels
        kinds = found[route, side]
        for kind in (WHOLE, FIRST):
            if kind in told.times:
                kinds.setdefault(kind, Histogram()).add(told.times[kind])
    rows = [
        _row(route, side, "requests", BOUNDS_S, kinds[WHOLE].buckets, kinds.get(FIRST))
        for (route, side), kinds in found.items()
        if WHOLE in kinds
    ]
    rows += [
        _row(route, side, "compared", _SHADOW_BOUNDS_S, counts, None)
        for (route, side), counts in answers_by_side(roles).items()
    ]
    return sorted(rows, key=lambda row: (row["route"], row["of"] == "compared", row["side"]))


def _row(
    route: str,
    side: str,
    of: str,
    bounds_s: Sequence[float],
    counts: Sequence[int],
    first: Histogram | None,
) -> dict[str, Any]:
    def shown(share: float) -> float | None:
        return _ms(quantile_s(bounds_s, counts, share))

    return {
        "route": route,
        "side": side,
        "of": of,
        "count": sum(counts),
        "p50_ms": shown(0.5),
        "p95_ms": shown(0.95),
        "p99_ms": shown(0.99),
        "first_byte_p95_ms": None if first is None else _ms(first.quantile_s(0.95)),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1_000, 2)


def _told(roles: Iterable[RoleStatus]) -> Iterator[_Told]:
    for role in roles:
        for name, text in role.last.items():
            if not name.startswith(PREFIX) or not isinstance(text, str):
                continue
            labels = name.removeprefix(PREFIX).split(".")
            if not 3 <= len(labels) <= len(_LABELS):
                continue
            try:
                times = read_times(text)
            except ValueError:
                continue  # Of another version, whose process has just been replaced.
            padded = [*labels, ""][: len(_LABELS)]
            yield _Told(role.role, tuple(padded), times)


def _family(name: str, text: str, *more: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"legacy_bridge_{name}", text, labels=["role", *_LABELS, *more])


def _add(family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram) -> None:
    buckets = [(str(bound), float(count)) for bound, count in histogram.cumulative()]
    buckets.append(("+Inf", float(histogram.count)))
    family.add_metric(labels, buckets, histogram.total_s)
