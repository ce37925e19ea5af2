"""CPU per proxied GET: the gateway with all features against nginx, see `proxy_rig`.

A GET with 12 request fields for 1 KB of JSON. The gateway parses the fields that a client repeats
only once, and a load generator repeats all of them: `unrepeated_*` is the same with another path
and another X-Request-Id in every request.
"""

import statistics
from typing import Any

from tests.bench.proxy_rig import PEERS, measure, row

__all__ = ["NAME", "PEERS", "run"]

NAME = "proxy_get"
TARGET, MOONSHOT = 0.5, 0.9


def run() -> dict[str, Any]:
    """Measure, and return the row of the table."""
    unrepeated = measure("nginx", "unrepeated", 1)
    return row(
        NAME,
        "nginx",
        measure("nginx", "get", 1),
        measure("nginx", "get", 2),
        target=TARGET,
        moonshot=MOONSHOT,
        unrepeated_value=unrepeated.cpu_us("ours"),
        unrepeated_ratio=round(statistics.median(unrepeated.ratios("nginx")), 3),
    )
