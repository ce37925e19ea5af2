"""All roles' counts in Prometheus' text form, read from their run files."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from bridge.model.ages import BUCKETS_MS
from bridge.runtime.watching.latencies import NOTE as LATENCY
from bridge.runtime.watching.latencies import latency_metrics
from bridge.runtime.watching.request_counts import PREFIX as REQUESTS
from bridge.runtime.watching.request_counts import request_metrics
from bridge.runtime.watching.run_files import read_roles
from bridge.runtime.watching.shadow_counts import PREFIX as SHADOW
from bridge.runtime.watching.shadow_counts import shadow_metrics
from bridge.runtime.watching.side_counts import CHOSEN, TOKENS, side_metrics

# Facts whose sum means something; of the others only the latest does, or none.
_ADDITIVE = frozenset(
    {
        "entries", "events", "requests", "applied", "parked", "pending", "attempts", "took_ms",
        "spans",
    }
)  # fmt: skip
_LATEST = frozenset(
    {
        "lag_entries", "next_index", "size", "level", "retained_bytes", "unconfirmed_bytes",
        "headroom_bytes", "growth_bytes_per_s", "left_s", "stalled", "slot_active",
        "age_s", "missing", "pairs", "held_bytes", "backlog",
    }
)  # fmt: skip
# Note → what its ages are: name of the histogram, what it counts, and its help.
_AGES = {
    "commit_to_log.": (
        "legacy_bridge_commit_to_log_seconds",
        "transactions",
        "Age of a source's commit when it was durable in the event log.",
    ),
    "commit_to_broker.": (
        "legacy_bridge_commit_to_broker_seconds",
        "sampled",
        "Age of a source's commit when the broker confirmed its event (one of each batch).",
    ),
    "log_to_broker.": (
        "legacy_bridge_log_to_broker_seconds",
        "sampled",
        "Time from recording an event to the broker's confirm (one of each batch).",
    ),
}
_TABLES = "captured_rows."
_WITH_LABELS = (*_AGES, _TABLES, SHADOW, REQUESTS, CHOSEN, TOKENS)
# Latest facts of one witness or time-stamp authority, noted as `witness.NAME.FACT`.
_EVIDENCE = re.compile(r"^(witness|timestamp)\.([^.]+)\.(level|size|lag_entries|lag_s|age_s)$")
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_]")


def render_metrics(run_dir: Path) -> bytes:
    """Return the text of one scrape."""
    registry = CollectorRegistry()
    registry.register(_RunFiles(run_dir))
    return generate_latest(registry)


class _RunFiles(Collector):
    """`legacy_bridge_up{role}` and one counter per noted name, summed since the role's start."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before the first look."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        roles = read_roles(self._run_dir)
        up = GaugeMetricFamily("legacy_bridge_up", "Whether the role is alive.", labels=["role"])
        restarts = CounterMetricFamily(
            "legacy_bridge_restarts", "Restarts by the supervisor.", labels=["role"]
        )
        families: dict[str, CounterMetricFamily] = {}
        gauges: dict[str, GaugeMetricFamily] = {}
        ages = {
            note: HistogramMetricFamily(metric, text, labels=["role"])
            for note, (metric, _, text) in _AGES.items()
        }
        rows = CounterMetricFamily(
            "legacy_bridge_captured_rows", "Row changes taken in.", labels=["role", "table"]
        )
        for role in roles:
            for note, family in ages.items():
                if note + _AGES[note][1] in role.counts:
                    buckets, total_s = _histogram(note, role.counts)
                    family.add_metric([role.role], buckets, total_s)
            for name, value in role.counts.items():
                if name.startswith(_TABLES):
                    rows.add_metric([role.role, name.removeprefix(_TABLES)], value)
            up.add_metric([role.role], float(role.alive))
            restarts.add_metric([role.role], role.restarts)
            for name, value in role.counts.items():
                _note, dot, fact = name.rpartition(".")
                if (dot and fact not in _ADDITIVE) or name.startswith(_WITH_LABELS):
                    continue
                if name == LATENCY:
                    continue
                metric = f"legacy_bridge_{_NOT_A_NAME.sub('_', name)}"
                counter = families.setdefault(
                    metric, CounterMetricFamily(metric, f"Noted as {name}.", labels=["role"])
                )
                counter.add_metric([role.role], value)
            for name, last in role.last.items():
                if (found := _EVIDENCE.match(name)) is not None:
                    _add_evidence(gauges, role.role, found, last)
                    continue
                fact = name.rpartition(".")[2]
                if fact in _LATEST and not isinstance(last, str):
                    metric = f"legacy_bridge_{_NOT_A_NAME.sub('_', name)}"
                    gauge = gauges.setdefault(
                        metric, GaugeMetricFamily(metric, f"Latest {name}.", labels=["role"])
                    )
                    gauge.add_metric([role.role], last)
        yield from ages.values()
        yield rows
        yield up
        yield restarts
        yield from families.values()
        yield from gauges.values()
        yield from request_metrics(roles)
        yield from latency_metrics(roles)
        yield from shadow_metrics(roles)
        yield from side_metrics(roles)


def _add_evidence(
    gauges: dict[str, GaugeMetricFamily], role: str, found: re.Match[str], last: float | str
) -> None:
    """Add a fact about a witness or authority; the fact `lag_s` becomes `…_lag_seconds`."""
    kind, name, fact = found.groups()
    metric = f"legacy_bridge_{kind}_{re.sub('_s$', '_seconds', fact)}"
    gauge = gauges.setdefault(
        metric, GaugeMetricFamily(metric, f"Latest {fact} of a {kind}.", labels=["role", kind])
    )
    if not isinstance(last, str):
        gauge.add_metric([role, name], last)


def _histogram(note: str, counts: Mapping[str, float]) -> tuple[list[tuple[str, float]], float]:
    """Return cumulative buckets and the sum of the ages, in seconds."""
    buckets = [(str(bound / 1000), counts.get(f"{note}le_{bound}", 0)) for bound in BUCKETS_MS]
    buckets.append(("+Inf", counts[note + _AGES[note][1]]))
    return buckets, counts.get(note + "age_ms", 0) / 1000
