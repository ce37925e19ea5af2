"""CPU per proxied POST of 1 KB of JSON: the gateway with all features against nginx."""

from typing import Any

from tests.bench.proxy_rig import PEERS, measure, row

__all__ = ["NAME", "PEERS", "run"]

NAME = "proxy_post"
TARGET, MOONSHOT = 0.5, 0.9


def run() -> dict[str, Any]:
    """Measure, and return the row of the table."""
    one, two = measure("nginx", "post", 1), measure("nginx", "post", 2)
    return row(NAME, "nginx", one, two, target=TARGET, moonshot=MOONSHOT)
