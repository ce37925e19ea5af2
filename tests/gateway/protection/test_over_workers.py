"""Limits hold over the worker processes of one gateway, and come from settings and route files."""

import asyncio
import signal
import time
from pathlib import Path

from tests.cli.deployment import Deployment
from tests.gateway.protection.crowd import ask, statuses, steady
from tests.gateway.protection.legacy import WeakLegacy
from tests.runtime.running import Running
from tests.waiting import wait_until

RATE, BURST, WORKERS = 20, 4, 2


def test_a_rate_holds_over_two_workers(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    legacy = WeakLegacy(100, 0.001)
    deployment.settings["gateway"]["workers"] = WORKERS
    deployment.settings["gateway"]["upstreams"]["legacy-app"] = {
        "url": f"http://127.0.0.1:{legacy.port}",
        "protection": {"requests_per_s": RATE, "burst": BURST},
    }
    (tmp_path / "routes" / "catalog.yaml").write_text(
        "group: catalog\nsides: {legacy: legacy-app}\n"
        'routes: [{id: all, methods: [GET], path: "/steady"}]\n'
    )
    deployment.write()
    gateway = Running(deployment, "run", "gateway")
    try:
        gateway.await_roles("gateway:0", "gateway:1")
        wait_until(lambda: _listens(deployment.gateway_port), what="both workers")
        before, began = legacy.count, time.monotonic()
        heard = steady(deployment.gateway_port, 6, 3.0)
        took_s = time.monotonic() - began
        passed = legacy.count - before
    finally:
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(20)
        legacy.close()
    assert statuses(heard)[200] == passed
    # Two workers that know nothing of each other would let twice as many through.
    assert passed <= RATE * took_s + WORKERS * (BURST + 1)
    assert passed >= RATE * 1.5


def _listens(port: int) -> bool:
    try:
        return all(asyncio.run(ask(port, b"/steady")).status in (200, 503) for _ in range(4))
    except (OSError, IndexError):
        return False
