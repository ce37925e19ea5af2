"""Which side reads were given to at stage `canary`, and why, from the workers' run files."""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric

from bridge.runtime.watching.run_files import RoleStatus

CHOSEN: Final = "sides_chosen."
TOKENS: Final = "side_tokens."


def side_metrics(roles: Iterable[RoleStatus]) -> Iterator[Metric]:
    """Yield the counters of reads by route and reason, and of testers' tokens by what they came
    to."""
    chosen = CounterMetricFamily(
        "legacy_bridge_reads_chosen",
        "Reads at stage canary by why they went where they went; in_cohort went to modern.",
        labels=["role", "route", "reason"],
    )
    tokens = CounterMetricFamily(
        "legacy_bridge_side_tokens",
        "Tokens that force a side, by what they came to.",
        labels=["role", "verdict"],
    )
    for role in roles:
        for name, value in role.counts.items():
            if name.startswith(CHOSEN):
                route, _, reason = name.removeprefix(CHOSEN).rpartition(".")
                chosen.add_metric([role.role, route, reason], value)
            elif name.startswith(TOKENS):
                tokens.add_metric([role.role, name.removeprefix(TOKENS)], value)
    yield chosen
    yield tokens
