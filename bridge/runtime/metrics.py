"""All roles' counts in Prometheus' text form, read from their run files."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bridge.runtime.run_files import read_roles

# Facts whose sum means something; of the others only the latest does, or none.
_ADDITIVE = frozenset(
    {"entries", "events", "requests", "applied", "parked", "pending", "attempts", "took_ms"}
)
_LATEST = frozenset({"lag_entries", "next_index", "size"})
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
        for role in roles:
            up.add_metric([role.role], float(role.alive))
            restarts.add_metric([role.role], role.restarts)
            for name, value in role.counts.items():
                _note, dot, fact = name.rpartition(".")
                if dot and fact not in _ADDITIVE:
                    continue
                metric = f"legacy_bridge_{_NOT_A_NAME.sub('_', name)}"
                family = families.setdefault(
                    metric, CounterMetricFamily(metric, f"Noted as {name}.", labels=["role"])
                )
                family.add_metric([role.role], value)
            for name, last in role.last.items():
                fact = name.rpartition(".")[2]
                if fact in _LATEST and not isinstance(last, str):
                    metric = f"legacy_bridge_{_NOT_A_NAME.sub('_', name)}"
                    gauge = gauges.setdefault(
                        metric, GaugeMetricFamily(metric, f"Latest {name}.", labels=["role"])
                    )
                    gauge.add_metric([role.role], last)
        yield up
        yield restarts
        yield from families.values()
        yield from gauges.values()
