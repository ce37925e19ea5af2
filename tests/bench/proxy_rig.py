"""Proxies side by side under the same load: the gateway with all its features, nginx and Envoy.

Each has the same upstream and does the same work as far as it can: a route table, header rules both
ways, forwarding fields, keep-alive, limits of size, time and connections, a circuit breaker. The
gateway also checks messages strictly, counts by route and passes a trace context on. Gateway and
peers are loaded in turn; what counts is the CPU time that a proxy takes for a request, because that
is what a machine must have.

The peers' configurations stand in `proxy_peers/`.
"""

import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from tests.bench.http_peers.envoy_wheel import program
from tests.bench.shadow_rig import (
    CONNECTIONS,
    FIELDS,
    LOAD_CORE,
    PROXY_CORES,
    UPSTREAM,
    cpu_s,
    free_port,
    memory_mb,
    nginx,
    which,
)
from tests.waiting import wait_until

PEERS: Final = {"nginx": "nginx-light", "wrk": "wrk"}
RUNS: Final = 3
LOAD_S: Final = 3
COLLECTIONS: Final = 100

_CONFIGS: Final = Path(__file__).parent / "proxy_peers"
_GET: Final = """
wrk.path = "/api/v1/resource57/items/12345?expand=lines"
"""
_POST: Final = """
wrk.method = "POST"
wrk.path = "/api/v1/resource57/items?expand=lines"
wrk.headers["Content-Type"] = "application/json"
wrk.body = string.rep('{"sku":"A00001","count":1}', 39) .. string.rep(" ", 10)
"""
# Another path and another field in every request, as from a client that does not repeat itself.
_UNREPEATED: Final = """
local n = 10000
request = function()
  n = n + 1
  wrk.headers["X-Request-Id"] = "0c8f7c52-5d1c-4a52-9b39-" .. n
  return wrk.format("GET", "/api/v1/resource" .. (n % 100) .. "/items/" .. n .. "?expand=lines")
end
"""
SCRIPTS: Final = {"get": _GET, "post": _POST, "unrepeated": _UNREPEATED}


class Load(NamedTuple):
    """One run of the load generator, and the proxy's CPU time for it."""

    cpu_us: float
    """For a request."""
    requests_per_s: float


class Measured(NamedTuple):
    """Several runs of each proxy, in turns, and the memory that each held afterwards."""

    loads: dict[str, list[Load]]
    memory_mb: dict[str, float]

    def cpu_us(self, name: str) -> float:
        """Return the median CPU time for a request."""
        return round(statistics.median(load.cpu_us for load in self.loads[name]), 2)

    def requests_per_s(self, name: str) -> int:
        """Return the median rate."""
        return round(statistics.median(load.requests_per_s for load in self.loads[name]))

    def ratios(self, peer: str) -> list[float]:
        """Return how much more CPU time `peer` takes than the gateway, run by run."""
        pairs = zip(self.loads["ours"], self.loads[peer], strict=True)
        return [their.cpu_us / our.cpu_us for our, their in pairs]


def measure(
    peer: str, script: str, workers: int, *, runs: int = RUNS, seconds: int = LOAD_S
) -> Measured:
    """Load the gateway and one peer in turns."""
    folder = Path(tempfile.mkdtemp(prefix="lb-bench-"))
    try:
        with ExitStack() as stack:
            enter = stack.enter_context
            upstream, ours, theirs = free_port(), free_port(), free_port()
            body = json.dumps({"items": ["x" * 22] * 40}).ljust(1_024)[:1_024]
            http = UPSTREAM.format(port=upstream, body=body)
            enter(nginx(folder, "upstream", http, upstream, cores=LOAD_CORE))
            proxies = {
                "ours": (ours, enter(_gateway(ours, upstream, workers))),
                peer: (theirs, enter(_PROXIES[peer](folder, theirs, upstream, workers))),
            }
            lua = folder / "load.lua"
            lua.write_text(SCRIPTS[script])
            loads: dict[str, list[Load]] = {name: [] for name in proxies}
            for port, processes in proxies.values():
                _load(port, processes, lua, seconds=1)
            for _ in range(runs):
                for name, (port, processes) in proxies.items():
                    loads[name].append(_load(port, processes, lua, seconds=seconds))
            held = {name: round(memory_mb(found), 1) for name, (_, found) in proxies.items()}
        return Measured(loads, held)
    finally:
        shutil.rmtree(folder)


def row(name: str, against: str, one: Measured, two: Measured, **more: Any) -> dict[str, Any]:
    """Return the row of a benchmark: one worker each, and beside it two."""
    peer = next(proxy for proxy in one.loads if proxy != "ours")
    ratios = one.ratios(peer)
    return {
        "name": name,
        "value": one.cpu_us("ours"),
        "unit": "us CPU/request",
        "against": against,
        "against_value": one.cpu_us(peer),
        "ratio": round(statistics.median(ratios), 3),
        "runs": RUNS,
        "spread": f"{min(ratios):.3f}-{max(ratios):.3f}",
        "requests_per_s": one.requests_per_s("ours"),
        "against_requests_per_s": one.requests_per_s(peer),
        "memory_mb": one.memory_mb["ours"],
        "against_memory_mb": one.memory_mb[peer],
        "two_workers_value": two.cpu_us("ours"),
        "two_workers_against_value": two.cpu_us(peer),
        "two_workers_ratio": round(statistics.median(two.ratios(peer)), 3),
        "two_workers_requests_per_s": two.requests_per_s("ours"),
        "two_workers_against_requests_per_s": two.requests_per_s(peer),
        "two_workers_memory_mb": two.memory_mb["ours"],
        "two_workers_against_memory_mb": two.memory_mb[peer],
        **more,
    }


@contextmanager
def _started(argv: Sequence[str], port: int) -> Iterator[psutil.Process]:
    """Run a process until it listens on `port`, and end it afterwards."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(process, port), what=f"{argv[3]} on port {port}")
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"cannot measure: a server ended with {process.returncode}")
    with suppress(psutil.AccessDenied):
        listening = psutil.Process(process.pid).net_connections("tcp")
        return any(each.status == "LISTEN" and each.laddr.port == port for each in listening)
    return True


@contextmanager
def _gateway(port: int, upstream: int, workers: int) -> Iterator[list[psutil.Process]]:
    argv = [
        *("taskset", "-c", PROXY_CORES[workers], sys.executable, "-m"),
        *("tests.bench.proxy_worker", str(port), str(upstream)),
    ]
    with ExitStack() as stack:
        yield [stack.enter_context(_started(argv, port)) for _ in range(workers)]


@contextmanager
def _nginx_proxy(
    folder: Path, port: int, upstream: int, workers: int
) -> Iterator[list[psutil.Process]]:
    routes = "\n".join(
        f"location /api/v1/resource{number}/items {{ proxy_pass http://app; }}"
        for number in range(COLLECTIONS)
    )
    config = folder / "peer.conf"
    config.write_text(
        (_CONFIGS / "nginx.conf")
        .read_text()
        .format(folder=folder, name="peer", port=port, upstream=upstream, workers=workers,
                routes=routes)
    )  # fmt: skip
    argv = ["taskset", "-c", PROXY_CORES[workers], which("nginx"), "-p", str(folder)]
    with _started([*argv, "-c", str(config)], port) as master:
        wait_until(lambda: len(master.children()) == workers, what="nginx's workers")
        yield master.children()


@contextmanager
def _envoy_proxy(
    folder: Path, port: int, upstream: int, workers: int
) -> Iterator[list[psutil.Process]]:
    routes = "\n".join(
        f"              - {{match: {{path_separated_prefix: /api/v1/resource{number}/items}},"
        " route: {cluster: app, timeout: 30s, idle_timeout: 60s}}"
        for number in range(COLLECTIONS)
    )
    config = folder / "peer.yaml"
    filters = "type.googleapis.com/envoy.extensions.filters"
    text = (_CONFIGS / "envoy.yaml").read_text()
    config.write_text(text.format(port=port, upstream=upstream, filters=filters, routes=routes))
    argv = [
        *("taskset", "-c", PROXY_CORES[workers], str(program()), "-c", str(config)),
        *("--concurrency", str(workers), "--log-level", "error", "--use-dynamic-base-id"),
    ]
    with _started(argv, port) as process:
        yield [process]


_PROXIES: Final = {"nginx": _nginx_proxy, "envoy": _envoy_proxy}


def _load(port: int, processes: Sequence[psutil.Process], lua: Path, *, seconds: int) -> Load:
    argv = ["taskset", "-c", LOAD_CORE, which("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    for field in FIELDS:
        argv += ["-H", field]
    before, began = cpu_s(processes), time.monotonic()
    done = subprocess.run(
        [*argv, "-s", str(lua), f"http://127.0.0.1:{port}/"],
        capture_output=True, text=True, check=True, timeout=seconds + 30,
    )  # fmt: skip
    spent, took_s = cpu_s(processes) - before, time.monotonic() - began
    counted = re.search(r"^\s*(\d+) requests in ", done.stdout, re.MULTILINE)
    if counted is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"cannot measure: the load failed: {done.stdout}")
    requests = int(counted[1])
    return Load(spent * 1e6 / requests, requests / took_s)
