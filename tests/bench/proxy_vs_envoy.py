"""CPU per proxied GET: the gateway with all features against Envoy, see `proxy_rig`."""

import statistics
from typing import Any

from tests.bench.proxy_rig import PEERS, measure, row

__all__ = ["NAME", "PEERS", "run"]

NAME = "proxy_vs_envoy"
TARGET, MOONSHOT = 1.2, 1.8


def run() -> dict[str, Any]:
    """Measure, and return the row of the table."""
    post = measure("envoy", "post", 1)
    return row(
        NAME,
        "Envoy",
        measure("envoy", "get", 1),
        measure("envoy", "get", 2),
        target=TARGET,
        moonshot=MOONSHOT,
        post_value=post.cpu_us("ours"),
        post_ratio=round(statistics.median(post.ratios("envoy")), 3),
    )
