"""What a shadow that hangs costs the authority's clients: p99 with it against p99 without any.

Two gateways run side by side, one whose groups stand at stage `legacy`, one at `shadow` with an
upstream that accepts every connection and never answers. They are loaded in turn, in changing
order, so that what else the machine does falls on both. nginx' `mirror` stands beside it: its copy
belongs to the client's request, whose connection is not free before the copy has ended or timed
out.
"""

import shutil
import socket
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.bench.proxy_shadow import bodies
from tests.bench.shadow_rig import (
    LOAD_CORE,
    UPSTREAM,
    Load,
    Ports,
    free_port,
    gateway,
    load,
    memory_mb,
    nginx,
    nginx_proxy,
)

NAME = "shadow_isolation"
PEERS = {"nginx": "nginx-light", "wrk": "wrk"}
RUNS = 9
LOAD_S = 2
TARGET, MOONSHOT = 1.05, 1.0


def run() -> dict[str, Any]:
    """Measure, and return the row of the table."""
    folder = Path(tempfile.mkdtemp(prefix="lb-bench-"))
    try:
        with ExitStack() as stack:
            upstream = free_port()
            http = UPSTREAM.format(port=upstream, body=bodies()[0])
            stack.enter_context(nginx(folder, "app", http, upstream, cores=LOAD_CORE))
            hanging = stack.enter_context(_hangs())
            names = {"ours": hanging, "ours_alone": 0, "nginx": hanging, "nginx_alone": 0}
            ports = {name: Ports(free_port(), upstream, shadow) for name, shadow in names.items()}
            running = {
                name: stack.enter_context(
                    gateway(ports[name], 1)
                    if name.startswith("ours")
                    else nginx_proxy(folder, name, ports[name], 1)
                )
                for name in names
            }
            loads: dict[str, list[Load]] = {name: [] for name in names}
            for name in ("ours", "ours_alone"):
                load(ports[name].port, running[name], seconds=1)
            before = memory_mb(running["ours"])
            for number in range(RUNS):
                pair = ("ours", "ours_alone")
                for name in pair if number % 2 else reversed(pair):
                    loads[name].append(load(ports[name].port, running[name], seconds=LOAD_S))
            for name in ("nginx", "nginx_alone"):
                loads[name].append(load(ports[name].port, running[name], seconds=2 * LOAD_S))
            grown = memory_mb(running["ours"]) - before
    finally:
        shutil.rmtree(folder)
    ratios = [
        ours.p99_ms / alone.p99_ms
        for ours, alone in zip(loads["ours"], loads["ours_alone"], strict=True)
    ]
    return {
        "name": NAME,
        "value": _p99(loads["ours"]),
        "unit": "ms p99",
        "against": "no shadow",
        "against_value": _p99(loads["ours_alone"]),
        "ratio": round(statistics.median(ratios), 3),
        "target": TARGET,
        "moonshot": MOONSHOT,
        "better": "lower",
        "runs": RUNS,
        "spread": f"{min(ratios):.3f}-{max(ratios):.3f}",
        "cpu_us": [_cpu(loads[name]) for name in ("ours", "ours_alone")],
        "requests_per_s": [_rate(loads[name]) for name in ("ours", "ours_alone")],
        "grown_mb": round(grown, 1),
        "nginx_p99_ms": [_p99(loads[name]) for name in ("nginx", "nginx_alone")],
        "nginx_ratio": round(_p99(loads["nginx"]) / _p99(loads["nginx_alone"]), 1),
        "nginx_requests_per_s": [_rate(loads[name]) for name in ("nginx", "nginx_alone")],
    }


@contextmanager
def _hangs() -> Iterator[int]:
    """Accept every connection, read what comes and never answer; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    taken: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                taken.append(listener.accept()[0])

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        for sock in taken:
            sock.close()


def _p99(loads: list[Load]) -> float:
    return round(statistics.median(each.p99_ms for each in loads), 3)


def _cpu(loads: list[Load]) -> float:
    return round(statistics.median(each.cpu_us_per_request for each in loads), 2)


def _rate(loads: list[Load]) -> int:
    return round(statistics.median(each.requests_per_s for each in loads))
