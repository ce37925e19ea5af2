"""The processes of one run: two workers, the replayer, and both sides."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tests.waiting import wait_until
from tests.wire import Wire

WORKERS = ("gateway:0", "gateway:1")
REPLAY = "replay"
SIDES = ("legacy", "modern")

_IDS = {"legacy": "{}", "modern": "m-{}"}

# A client of a killing must not wait for a side that is down as long as a real one would.
_WAITS = {"L1": "", "L2": "", "L3": "      both_wait_ms: 400\n"}

ROUTES = """\
group: orders
sides: {legacy: legacy-app, modern: modern-app}
defaults:
  timeout_ms: 800
routes:
  - id: order-create
    methods: [POST]
    path: /orders
    writes: true
    key: {created: /order_id, entity: order}
    ids: {response: {/order_id: order}}
    dual:
      honours_keys: [legacy, modern]
      in_doubt: [ask, replay]
      ask: {target: "/requests/{idempotency_key}", stored_answer: true}
      quiet_ms: 2000
  - id: order-value
    methods: [PUT]
    path: /orders/{order_id}
    writes: true
    key: {path: order_id, entity: order}
    ids: {path: {order_id: order}, response: {/order_id: order}}
    dual:
      in_doubt: [read, replay]
      read: {target: "/orders/{order_id}", compare: {/value: /value}, version: /version}
      quiet_ms: 2000
  - id: order-note
    methods: [POST]
    path: /orders/{order_id}/notes
    writes: true
    key: {path: order_id, entity: order}
    ids: {path: {order_id: order}, response: {/order_id: order}}
    dual:
      honours_keys: [legacy, modern]
      in_doubt: [ask, replay]
      ask: {target: "/requests/{idempotency_key}"}
      quiet_ms: 2000
  - id: order-read
    methods: [GET]
    path: /orders/{order_id}
    key: {path: order_id, entity: order}
    ids: {path: {order_id: order}, response: {/order_id: order}}
"""

_DOUBT = """
    dual:
      in_doubt: [read, replay]"""
_IDS_OF_VALUE = (
    "\n    ids: {path: {order_id: order}, response: {/order_id: order}}" + _DOUBT,
    _DOUBT,
)


class Store(Protocol):
    """The journal's own server, where it has one."""

    def kill(self) -> None:
        """Kill it with -9."""

    def restart(self) -> None:
        """Start it again."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Fleet:
    """Starts, kills and starts again; every process is known by its role."""

    def __init__(
        self,
        folder: Path,
        *,
        wired: bool,
        journal: str = "sqlite",
        defect: str = "",
        level: str = "L2",
        plain: bool = False,
    ) -> None:
        """`wired` puts a wire that can be cut between the gateway and each side; `level` is that of
        every write; with `plain` the PUTs of clients are writes of which nothing is translated."""
        self.folder = folder
        self._defect = defect
        self._journal = journal
        self.ports = {name: free_port() for name in ("gateway", *SIDES)}
        self.wires = {side: Wire(self.ports[side]) for side in SIDES} if wired else {}
        self.config = folder / "bridge.yaml"
        self.log = folder / "fleet.log"
        (folder / "routes").mkdir()
        (folder / "routes" / "orders.yaml").write_text(
            (ROUTES.replace(*_IDS_OF_VALUE) if plain else ROUTES).replace(
                "    dual:\n", f"    dual:\n      level: {level}\n{_WAITS[level]}"
            )
        )
        self.config.write_text(self._settings())
        with self.log.open("ab") as log:
            self._zygote = subprocess.Popen(
                [sys.executable, "-m", "tests.gateway.dual.killing.zygote"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._running: dict[str, tuple[int, int]] = {}
        """Role → process id and a descriptor that tells its end."""

    def _settings(self) -> str:
        ports = {side: self.ports[side] for side in SIDES}
        ports |= {side: wire.port for side, wire in self.wires.items()}
        upstreams = {
            f"{side}-app": {"url": f"http://127.0.0.1:{port}"} for side, port in ports.items()
        }
        return json.dumps(
            {
                "data_dir": "data",
                "log_level": "warning",
                "gateway": {
                    "port": self.ports["gateway"],
                    "workers": len(WORKERS),
                    "routes": "routes",
                    "upstreams": upstreams,
                    "lane_wait_ms": 600,
                    "journal": self._journal,
                },
            }
        )

    def armed(self, role: str) -> Path:
        """Return the file that tells `role` at which step to die."""
        return self.folder / f"armed-{role.replace(':', '-')}"

    def start(self, role: str) -> None:
        """Start `role`, which does not run."""
        assert self._zygote.stdin is not None and self._zygote.stdout is not None  # noqa: PT018  # both are pipes
        if role in SIDES:
            path = str(self.folder / f"{role}.db")
            call = ["side", str(self.ports[role]), path, _IDS[role]]
        else:
            call = [role, str(self.config), str(self.armed(role)), self._defect]
        self._zygote.stdin.write(json.dumps(call) + "\n")
        self._zygote.stdin.flush()
        pid = int(self._zygote.stdout.readline())
        self._running[role] = pid, os.pidfd_open(pid)

    def await_ready(self) -> None:
        """Wait until the gateway and both sides take connections."""
        for port in self.ports.values():
            wait_until(lambda port=port: _listens(port), what=f"a listener on {port}")  # type: ignore[misc]  # binds port now

    def ended(self, role: str, within_s: float) -> bool:
        """Return whether `role` ends within a time."""
        readable, _, _ = select.select([self._running[role][1]], [], [], within_s)
        return bool(readable)

    def kill(self, role: str) -> None:
        """Kill with -9 and wait for the end, unless it has killed itself."""
        _, descriptor = self._running.pop(role)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], 10)
        os.close(descriptor)
        self.armed(role).unlink(missing_ok=True)

    def alive(self, role: str) -> bool:
        """Return whether `role` runs."""
        return role in self._running and not self.ended(role, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for role in list(self._running):
            self.kill(role)
        for wire in self.wires.values():
            wire.close()
        assert self._zygote.stdin is not None, "it is a pipe"
        self._zygote.stdin.close()
        self._zygote.kill()  # It has nothing to finish.
        self._zygote.wait(60)
        assert self._zygote.stdout is not None, "it is a pipe"
        self._zygote.stdout.close()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
