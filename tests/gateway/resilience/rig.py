"""A whole gateway between two sides that are processes."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bridge.demo.servers.ports import free_port
from tests.cli.deployment import Deployment
from tests.gateway.resilience.side import SideProcess
from tests.runtime.running import Running, running
from tests.waiting import wait_until

WHY = ("--reason", "a rehearsal", "--ticket", "T-1")

# Drills meet `/orders`; reads of `/kept` may be answered by legacy, each by another rule.
ROUTES = """
group: orders
sides: {legacy: legacy-app, modern: modern-orders}
routes:
  - {id: order-status, methods: [PUT], path: "/orders/{order_id}/status", writes: true,
     key: {path: order_id, entity: order}}
  - {id: order-read, methods: [GET], path: "/orders/{order_id}",
     key: {path: order_id, entity: order}}
  - {id: order-list, methods: [GET], path: /orders}
  - {id: kept-read, methods: [GET, HEAD], path: "/kept/{order_id}",
     key: {path: order_id, entity: order},
     protection: {fallback: reads, fallback_after_ms: 400}}
  - {id: kept-list, methods: [GET], path: /kept,
     protection: {fallback: reads, fallback_after_ms: 400, fallback_statuses: [500]}}
  - {id: late-list, methods: [GET], path: /late,
     protection: {fallback: stale, fallback_after_ms: 400}}
  - {id: parcel-read, methods: [GET], path: "/parcels/{parcel_id}",
     key: {path: parcel_id, entity: order},
     ids: {path: {parcel_id: order}, response: {/order_id: order}},
     protection: {fallback: reads, fallback_after_ms: 400}}
"""

BREAKER = {"breaker": {"requests_min": 4, "window_ms": 2_000, "rest_ms": 300}}


class Heard(NamedTuple):
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)

    @property
    def side(self) -> str | None:
        """Who answered; None for the gateway itself."""
        return self.headers.get("x-side")


class House:
    """A deployment that runs, and its two sides."""

    def __init__(self, deployment: Deployment, legacy: SideProcess, modern: SideProcess) -> None:
        self.deployment = deployment
        self.legacy = legacy
        self.modern = modern
        self.run: Running
        self.broken = False
        """Whether a test did something to modern, or to the lanes."""

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Heard:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.deployment.gateway_port, timeout=20
        )
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, dict(headers or {}))
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Heard(answer.status, fields, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Heard:
        """Read."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("GET", path, headers=named)

    def put(self, key: str, status: str) -> Heard:
        """Write."""
        return self.ask("PUT", f"/orders/{key}/status", {"status": status})

    def of(self, side: SideProcess, path: str, method: str = "GET", body: bytes = b"") -> Any:
        """Ask a side itself."""
        connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=10)
        try:
            connection.request(method, path, body)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def call(self, *words: str) -> Any:
        """Run a command of ours that must succeed; return its JSON, where it has some."""
        said = self.deployment.call(*words)
        assert said.code == 0, said.err
        return json.loads(said.out) if "--json" in words else said.out

    def drill(self, *words: str) -> str:
        """Begin a drill on group `orders`, and wait until both workers have it; return its id."""
        began = self.call("drill", "start", "orders", *words, "--json", *WHY)["drill"]
        self.await_processes(began, 3)
        return str(began)

    def await_processes(self, drill: str, count: int) -> None:
        """Wait until so many processes tell of a drill."""
        wait_until(
            lambda: len(self.call("drill", "report", drill, "--json")["processes"]) >= count,
            what="the drill to be on",
        )

    def end(self) -> None:
        """Stop whatever drill is on, and wait until it is off everywhere."""
        on = [each for each in self.call("drill", "status", "--json") if each["on"]]
        if on:
            self.call("drill", "stop", *WHY)
        for each in on:
            wait_until(lambda drill=each["drill"]: self.is_off(drill), what="the end of a drill")  # type: ignore[misc]  # binds it now

    def is_off(self, drill: str) -> bool:
        """Whether every process has told the end of it."""
        report = self.call("drill", "report", drill, "--json")
        return all(each["ended"] for each in report["processes"])

    def recovered(self) -> bool:
        """Whether both workers ask modern again: neither breaker is open."""
        return all(self.get("/kept/any").side == "modern" for _ in range(8))

    def drained(self) -> bool:
        """Whether nothing waits for the other side."""
        with self.deployment.stores() as stores:
            return not stores.desk().lane_counts()


@contextmanager
def house(folder: Path) -> Iterator[House]:
    """Run everything with two workers, group `orders` at stage modern."""
    deployment = Deployment(folder)
    (folder / "routes" / "orders.yaml").write_text(ROUTES)
    gateway = deployment.settings["gateway"]
    gateway["workers"] = 2
    sides = []
    for name, upstream in (("legacy", "legacy-app"), ("modern", "modern-orders")):
        sides.append(SideProcess(name, free_port()))
        gateway["upstreams"][upstream] = {"url": f"http://127.0.0.1:{sides[-1].port}"}
    gateway["upstreams"]["modern-orders"]["protection"] = BREAKER
    deployment.write()
    made = House(deployment, *sides)
    with ExitStack() as stack:
        for side in sides:
            stack.callback(side.kill)
            side.start()
        made.run = stack.enter_context(running(deployment, "up"))
        made.run.await_roles("gateway:0", "gateway:1", "replay", "control")
        made.run.await_answers()
        for stage in ("dual", "modern"):
            made.call("switch", "orders", stage, *WHY)
        yield made
