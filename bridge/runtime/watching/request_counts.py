"""What gateway workers counted of their requests, from their run files: by route, stage and side.

A count's name in a run file is `requests.ROUTE.STAGE.SIDE.BY.STATUS.requests`, as `Plane` notes it.
Each part comes from the route files or is one of few words, so that there is no end of neither.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric

from bridge.runtime.watching.run_files import RoleStatus

PREFIX: Final = "requests."
_LABELS: Final = ("route", "stage", "side", "answered_by", "status")


def request_metrics(roles: Iterable[RoleStatus]) -> Iterator[Metric]:
    """Yield the counter of answers; `side` is the authority at that stage."""
    family = CounterMetricFamily(
        "legacy_bridge_requests",
        "Answers to clients; answered_by is the gateway for its own.",
        labels=["role", *_LABELS],
    )
    for role in roles:
        for name, value in role.counts.items():
            parts = name.removeprefix(PREFIX).split(".")
            if name.startswith(PREFIX) and len(parts) == len(_LABELS) + 1:
                family.add_metric([role.role, *parts[:-1]], value)
    yield family
