"""Proxies with a shadow, side by side under the same load: the gateway, nginx and Envoy.

The upstreams are two nginx on the load's core, so that a proxy has its core (or, with two workers,
what the load leaves of both) to itself. What counts is the CPU time of a proxy for a request.
"""

import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from tests.bench.http_peers.envoy_wheel import program
from tests.waiting import wait_until

CONNECTIONS: Final = 32
LOAD_CORE: Final = "1"
PROXY_CORES: Final = {1: "0", 2: "0,1"}
PATH: Final = "/api/v1/resource57/items/12345?expand=lines"
FIELDS: Final = (
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

_NGINX = """
worker_processes {workers};
daemon off;
pid {folder}/{name}.pid;
error_log {folder}/{name}.log crit;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/{name}-1; proxy_temp_path {folder}/{name}-2;
  fastcgi_temp_path {folder}/{name}-3; uwsgi_temp_path {folder}/{name}-4;
  scgi_temp_path {folder}/{name}-5;
  keepalive_requests 100000000;
  {http}
}}
"""
UPSTREAM = """server {{ listen 127.0.0.1:{port} reuseport; default_type application/json;
  location / {{ return 200 '{body}'; }} }}"""
_NGINX_PROXY = """
  upstream app {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
  upstream shadow {{ server 127.0.0.1:{shadow}; keepalive 64; keepalive_requests 100000000; }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header Via "1.1 nginx";
  server {{ listen 127.0.0.1:{port} reuseport;
    location / {{ {mirror} proxy_pass http://app; add_header Via "1.1 nginx"; }}
    location = /mirror {{ internal; proxy_pass http://shadow$request_uri;
      proxy_connect_timeout 2s; proxy_read_timeout 2s; }} }}"""
_ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    enable_reuse_port: true
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {filters}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          via: 1.1 envoy
          use_remote_address: true
          generate_request_id: false
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": {filters}.http.router.v3.Router
              suppress_envoy_headers: true
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route:
                  cluster: app
                  {mirror}
  clusters:
  - {{name: app, type: STATIC, connect_timeout: 2s, load_assignment: {{cluster_name: app,
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{
        address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]}}}}
  - {{name: shadow, type: STATIC, connect_timeout: 2s, load_assignment: {{cluster_name: shadow,
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{
        address: 127.0.0.1, port_value: {shadow}}}}}}}}}]}}]}}}}
"""


class Ports(NamedTuple):
    """Of one proxy and what is behind it; a shadow of 0 means none."""

    port: int
    upstream: int
    shadow: int


class Load(NamedTuple):
    """What one run of the load generator saw, and the proxy's CPU time for it."""

    requests: int
    cpu_us_per_request: float
    requests_per_s: float
    p99_ms: float


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def which(tool: str) -> str:
    """Return the path of a program, also of those that only root has in its path."""
    found = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")
    if found is None:
        raise RuntimeError(f"cannot measure: {tool!r} is not installed")
    return found


@contextmanager
def _started(argv: Sequence[str], port: int) -> Iterator[psutil.Process]:
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
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


@contextmanager
def nginx(
    folder: Path, name: str, http: str, port: int, *, cores: str, workers: int = 1
) -> Iterator[list[psutil.Process]]:
    """Run nginx; yield its workers, which do all the work."""
    config = folder / f"{name}.conf"
    config.write_text(_NGINX.format(folder=folder, name=name, http=http, workers=workers))
    argv = ["taskset", "-c", cores, which("nginx"), "-p", str(folder), "-c", str(config)]
    with _started(argv, port) as master:
        # The port is open before the workers are.
        wait_until(lambda: len(master.children()) >= workers, what=f"{workers} workers of nginx")
        yield master.children()


@contextmanager
def nginx_proxy(
    folder: Path, name: str, ports: Ports, workers: int
) -> Iterator[list[psutil.Process]]:
    """Run nginx as a proxy, with `mirror` unless there is no shadow."""
    mirror = "mirror /mirror; mirror_request_body off;" if ports.shadow else ""
    http = _NGINX_PROXY.format(
        port=ports.port, upstream=ports.upstream, shadow=ports.shadow or 9, mirror=mirror
    )
    cores = PROXY_CORES[workers]
    with nginx(folder, name, http, ports.port, cores=cores, workers=workers) as processes:
        yield processes


@contextmanager
def envoy_proxy(
    folder: Path, name: str, ports: Ports, workers: int
) -> Iterator[list[psutil.Process]]:
    """Run Envoy as a proxy that mirrors everything."""
    config = folder / f"{name}.yaml"
    mirror = "request_mirror_policies: [{cluster: shadow}]" if ports.shadow else ""
    config.write_text(
        _ENVOY.format(
            port=ports.port,
            upstream=ports.upstream,
            shadow=ports.shadow or 9,
            mirror=mirror,
            filters="type.googleapis.com/envoy.extensions.filters",
        )
    )
    argv = [
        *("taskset", "-c", PROXY_CORES[workers], str(program()), "-c", str(config)),
        *("--concurrency", str(workers), "--log-level", "error", "--use-dynamic-base-id"),
    ]
    with _started(argv, ports.port) as process:
        yield [process]


@contextmanager
def gateway(ports: Ports, workers: int) -> Iterator[list[psutil.Process]]:
    """Run workers of the gateway on one port."""
    argv = [
        *("taskset", "-c", PROXY_CORES[workers], sys.executable, "-m"),
        *("tests.bench.shadow_worker", *map(str, ports)),
    ]
    with _started(argv, ports.port) as first:
        if workers == 1:
            yield [first]
            return
        with _started(argv, ports.port) as second:
            yield [first, second]


def load(port: int, processes: Sequence[psutil.Process], *, seconds: int) -> Load:
    """Load a proxy for a while over kept-alive connections."""
    argv = ["taskset", "-c", LOAD_CORE, which("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    argv += ["--latency", "--timeout", "10s"]
    for field in FIELDS:
        argv += ["-H", field]
    before = cpu_s(processes)
    done = subprocess.run(
        [*argv, f"http://127.0.0.1:{port}{PATH}"],
        capture_output=True, text=True, check=True, timeout=seconds + 30,
    )  # fmt: skip
    spent = cpu_s(processes) - before
    counted = re.search(r"^\s*(\d+) requests in ([\d.]+)s", done.stdout, re.MULTILINE)
    tail = re.search(r"^\s*99%\s+([\d.]+)(us|ms|s)\s*$", done.stdout, re.MULTILINE)
    if counted is None or tail is None or "Non-2xx" in done.stdout:
        raise RuntimeError(f"cannot measure: the load failed: {done.stdout}")
    requests = int(counted[1])
    p99_ms = float(tail[1]) * {"us": 0.001, "ms": 1.0, "s": 1_000.0}[tail[2]]
    return Load(requests, spent * 1e6 / requests, requests / float(counted[2]), p99_ms)


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """Return the CPU time that processes have used."""
    return sum(float(sum(process.cpu_times()[:2])) for process in processes)


def memory_mb(processes: Sequence[psutil.Process]) -> float:
    """Return the memory that processes hold, in MB."""
    return sum(process.memory_info().rss for process in processes) / 1e6
