"""CPU per proxied GET: the gateway against nginx, with the same upstream and the same load.

A GET with 12 request fields for 1 KB of JSON, through a route table of 200, over kept-alive
connections. Gateway and nginx run side by side, one process each, and are loaded in turn: what
counts is the CPU time that each takes for a request, because that is what a machine must have.
nginx does what the gateway does and nginx can: keep-alive to the upstream, Via and X-Forwarded-*.
The gateway does with it: strict checks, routing, hop-by-hop fields, limits, timeouts, counts.

The gateway parses the fields that a client repeats only once, and a load generator repeats all of
them. `unrepeated_*` is the same with another path and another X-Request-Id in every request.
"""

import json
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from tests.waiting import wait_until

NAME = "proxy_get"
PEERS = {"nginx": "nginx-light", "wrk": "wrk"}
RUNS = 5
UNREPEATED_RUNS = 3
LOAD_S = 3
CONNECTIONS = 32
PROXY_CORE, LOAD_CORE = "0", "1"
TARGET, MOONSHOT = 0.5, 0.9

_FIELDS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: application/json, text/plain, */*",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Referer: http://shop.example.com/orders",
    "Cookie: session=6f1c2a9be4d84e0f9a1b; theme=dark; region=eu-central",
    "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl",
    "Cache-Control: no-cache",
    "Pragma: no-cache",
    "X-Tenant: acme",
    "X-Request-Id: 0c8f7c52-5d1c-4a52-9b39-4bfa1f3b7c11",
)
_PATH = "/api/v1/resource57/items/12345?expand=lines"
_UNREPEATED = """
local n = 10000
request = function()
  n = n + 1
  wrk.headers["X-Request-Id"] = "0c8f7c52-5d1c-4a52-9b39-" .. n
  return wrk.format("GET", "/api/v1/resource" .. (n % 100) .. "/items/" .. n .. "?expand=lines")
end
"""

_NGINX = """
worker_processes 1;
daemon off;
pid {folder}/{name}.pid;
error_log {folder}/{name}.log error;
worker_rlimit_nofile 4096;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/{name}-1; proxy_temp_path {folder}/{name}-2;
  fastcgi_temp_path {folder}/{name}-3; uwsgi_temp_path {folder}/{name}-4;
  scgi_temp_path {folder}/{name}-5;
  keepalive_requests 100000000;
  {http}
}}
"""
_UPSTREAM = """server {{ listen 127.0.0.1:{port} reuseport; default_type application/json;
  location / {{ return 200 '{body}'; }} }}"""
_PROXY = """upstream app {{ server 127.0.0.1:{upstream}; keepalive 64;
    keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header Via "1.1 nginx"; add_header Via "1.1 nginx"; }} }}"""


class Load(NamedTuple):
    """What one run of the load generator saw, and the proxy's CPU time for it."""

    requests: int
    cpu_us_per_request: float
    requests_per_s: float


def run() -> dict[str, Any]:
    """Measure, and return the row of the table."""
    for tool in ("nginx", "wrk", "taskset"):
        if _which(tool) is None:
            raise RuntimeError(f"cannot measure {NAME}: {tool!r} is not installed")
    ours: list[Load] = []
    peers: list[Load] = []
    unrepeated: list[tuple[Load, Load]] = []
    folder = Path(tempfile.mkdtemp(prefix="lb-bench-"))
    try:
        body = json.dumps({"items": ["x" * 22] * 40}).ljust(1_024)[:1_024]
        upstream_port, nginx_port, port = (_free_port() for _ in range(3))
        upstream_http = _UPSTREAM.format(port=upstream_port, body=body)
        proxy_http = _PROXY.format(port=nginx_port, upstream=upstream_port)
        with (
            _nginx(folder, "upstream", upstream_http, upstream_port, LOAD_CORE),
            _nginx(folder, "proxy", proxy_http, nginx_port, PROXY_CORE) as nginx,
            _gateway(port, upstream_port) as gateway,
        ):
            for url_port, pid in ((port, gateway), (nginx_port, nginx)):
                _load(url_port, pid, seconds=1)
            for _ in range(RUNS):
                ours.append(_load(port, gateway, seconds=LOAD_S))
                peers.append(_load(nginx_port, nginx, seconds=LOAD_S))
            script = folder / "unrepeated.lua"
            script.write_text(_UNREPEATED)
            for _ in range(UNREPEATED_RUNS):
                our = _load(port, gateway, seconds=LOAD_S, script=script)
                unrepeated.append((our, _load(nginx_port, nginx, seconds=LOAD_S, script=script)))
    finally:
        shutil.rmtree(folder)
    ratios = [
        peer.cpu_us_per_request / our.cpu_us_per_request
        for our, peer in zip(ours, peers, strict=True)
    ]
    return {
        "name": NAME,
        "value": round(statistics.median(load.cpu_us_per_request for load in ours), 2),
        "unit": "us CPU/request",
        "against": "nginx",
        "against_value": round(statistics.median(load.cpu_us_per_request for load in peers), 2),
        "ratio": round(statistics.median(ratios), 3),
        "target": TARGET,
        "moonshot": MOONSHOT,
        "runs": RUNS,
        "spread": f"{min(ratios):.3f}-{max(ratios):.3f}",
        "requests_per_s": round(statistics.median(load.requests_per_s for load in ours)),
        "unrepeated_value": round(
            statistics.median(our.cpu_us_per_request for our, _ in unrepeated), 2
        ),
        "unrepeated_ratio": round(
            statistics.median(
                peer.cpu_us_per_request / our.cpu_us_per_request for our, peer in unrepeated
            ),
            3,
        ),
        "against_requests_per_s": round(statistics.median(load.requests_per_s for load in peers)),
    }


def _which(tool: str) -> str | None:
    return shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def _process(argv: list[str], port: int) -> Iterator[psutil.Process]:
    """Run a process until it listens on `port`, and end it afterwards."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(process, port), what=f"{argv[3]} on port {port}")
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"cannot measure {NAME}: a server ended with {process.returncode}")
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


@contextmanager
def _nginx(folder: Path, name: str, http: str, port: int, core: str) -> Iterator[psutil.Process]:
    """Run nginx with one worker; yield the worker, which does all the work."""
    config = folder / f"{name}.conf"
    config.write_text(_NGINX.format(folder=folder, name=name, http=http))
    nginx = _which("nginx")
    assert nginx is not None
    argv = ["taskset", "-c", core, nginx, "-p", str(folder), "-c", str(config)]
    with _process(argv, port) as master:
        yield master.children()[0]


@contextmanager
def _gateway(port: int, upstream_port: int) -> Iterator[psutil.Process]:
    argv = [
        "taskset", "-c", PROXY_CORE, sys.executable, "-m", "tests.bench.proxy_worker",
        str(port), str(upstream_port),
    ]  # fmt: skip
    with _process(argv, port) as process:
        yield process


def _load(port: int, process: psutil.Process, *, seconds: int, script: Path | None = None) -> Load:
    argv = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    for field in _FIELDS:
        argv += ["-H", field]
    if script is not None:
        argv += ["-s", str(script)]
    before = _cpu_s(process)
    done = subprocess.run(
        [*argv, f"http://127.0.0.1:{port}{_PATH}"],
        capture_output=True, text=True, check=True, timeout=seconds + 30,
    )  # fmt: skip
    spent = _cpu_s(process) - before
    counted = re.search(r"^\s*(\d+) requests in ([\d.]+)s", done.stdout, re.MULTILINE)
    if counted is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"cannot measure {NAME}: the load failed: {done.stdout}")
    requests = int(counted[1])
    return Load(requests, spent * 1e6 / requests, requests / float(counted[2]))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
