"""CPU per mirrored GET: the gateway, which compares the answers, against Envoy and nginx.

Every request of `proxy_get` is copied to a second upstream, which answers the same JSON with its
members in another order, so that bytes differ and both answers must be read. Envoy
(`request_mirror_policies`) and nginx (`mirror`) send the copy, throw its answer away and compare
nothing. The row is the gateway against Envoy with one worker; beside it stand nginx, two workers
each, and memory.
"""

import json
import shutil
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.shadow_rig import (
    LOAD_CORE,
    UPSTREAM,
    Load,
    Ports,
    envoy_proxy,
    free_port,
    gateway,
    load,
    memory_mb,
    nginx,
    nginx_proxy,
)

NAME = "proxy_shadow"
PEERS = {"nginx": "nginx-light", "wrk": "wrk"}
RUNS = 3
LOAD_S = 3
TARGET, MOONSHOT = 1.2, 2.0


def bodies() -> tuple[str, str]:
    """Return the same document of 1 KB twice, in another order."""
    lines = [
        {"sku": f"A{number:05}", "count": number, "price": 12.5 + number} for number in range(18)
    ]
    members = [("id", 12345), ("state", "open"), ("total", 1870.75), ("items", lines)]
    turned = [dict(reversed(line.items())) for line in lines]
    other = [("items", turned), *reversed(members[:-1])]
    return json.dumps(dict(members)), json.dumps(dict(other))


def run() -> dict[str, Any]:
    """Measure, and return the row of the table."""
    folder = Path(tempfile.mkdtemp(prefix="lb-bench-"))
    try:
        loads, held = {}, {}
        with ExitStack() as stack:
            ports = [free_port(), free_port()]
            for name, port, body in zip(("app", "shadow"), ports, bodies(), strict=True):
                http = UPSTREAM.format(port=port, body=body)
                stack.enter_context(nginx(folder, name, http, port, cores=LOAD_CORE))
            for workers in (1, 2):
                measured = _side_by_side(folder, ports[0], ports[1], workers)
                loads[workers], held[workers] = measured
    finally:
        shutil.rmtree(folder)
    one, two = loads[1], loads[2]
    ratios = _ratios(one, "envoy")
    return {
        "name": NAME,
        "value": _cpu(one["ours"]),
        "unit": "us CPU/request",
        "against": "Envoy mirror",
        "against_value": _cpu(one["envoy"]),
        "ratio": round(statistics.median(ratios), 3),
        "target": TARGET,
        "moonshot": MOONSHOT,
        "runs": RUNS,
        "spread": f"{min(ratios):.3f}-{max(ratios):.3f}",
        "requests_per_s": _rate(one["ours"]),
        "envoy_requests_per_s": _rate(one["envoy"]),
        "nginx_value": _cpu(one["nginx"]),
        "nginx_ratio": round(statistics.median(_ratios(one, "nginx")), 3),
        "nginx_requests_per_s": _rate(one["nginx"]),
        "two_workers": {name: _cpu(found) for name, found in two.items()},
        "two_workers_requests_per_s": {name: _rate(found) for name, found in two.items()},
        "two_workers_ratio": round(statistics.median(_ratios(two, "envoy")), 3),
        "memory_mb": {str(workers): each for workers, each in held.items()},
    }


def _side_by_side(
    folder: Path, upstream: int, shadow: int, workers: int
) -> tuple[dict[str, list[Load]], dict[str, float]]:
    ports = {name: Ports(free_port(), upstream, shadow) for name in ("ours", "envoy", "nginx")}
    with (
        gateway(ports["ours"], workers) as ours,
        envoy_proxy(folder, f"envoy{workers}", ports["envoy"], workers) as envoy,
        nginx_proxy(folder, f"nginx{workers}", ports["nginx"], workers) as peer,
    ):
        running = {"ours": ours, "envoy": envoy, "nginx": peer}
        loads: dict[str, list[Load]] = {name: [] for name in running}
        for name, processes in running.items():
            load(ports[name].port, processes, seconds=1)
        for _ in range(RUNS):
            for name, processes in running.items():
                loads[name].append(load(ports[name].port, processes, seconds=LOAD_S))
        held = {name: round(memory_mb(processes), 1) for name, processes in running.items()}
    return loads, held


def _ratios(loads: dict[str, list[Load]], peer: str) -> list[float]:
    return [
        their.cpu_us_per_request / our.cpu_us_per_request
        for our, their in zip(loads["ours"], loads[peer], strict=True)
    ]


def _cpu(loads: list[Load]) -> float:
    return round(statistics.median(each.cpu_us_per_request for each in loads), 2)


def _rate(loads: list[Load]) -> int:
    return round(statistics.median(each.requests_per_s for each in loads))
