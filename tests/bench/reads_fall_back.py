"""What clients of a route with a way back see when modern dies or stops: p99 and errors.

A whole gateway with two workers between two sides that are processes of the tests. Eight clients
read on kept connections; while they do, modern is killed, started again, stopped and let go on.
"""

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.gateway.resilience.rig import House, house
from tests.waiting import wait_until

NAME = "reads_fall_back"
CLIENTS = 8
PHASE_S = 4.0
TARGET, MOONSHOT = 1_000.0, 450.0
"""`fallback_after_ms` of the route is 400: the worst read waits for that once."""


class Read(NamedTuple):
    """One read."""

    at: float
    took_ms: float
    status: int
    legacy: bool


async def _client(port: int, number: int, until: float, found: list[Read]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (began := time.monotonic()) < until:
            writer.write(b"GET /kept/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r", 1)[0])
            await reader.readexactly(length)
            took_ms = (time.monotonic() - began) * 1000
            status = int(head.split(b" ", 2)[1])
            found.append(Read(began, took_ms, status, b"legacy-bridge-fallback" in head.lower()))
    finally:
        writer.close()


def _load(made: House, act: Callable[[], None] = lambda: None) -> list[Read]:
    """Read for so long; `act` happens after a quarter of it."""
    found: list[Read] = []

    async def run() -> None:
        until = time.monotonic() + PHASE_S
        asyncio.get_running_loop().call_later(PHASE_S / 4, act)
        port = made.deployment.gateway_port
        await asyncio.gather(*(_client(port, number, until, found) for number in range(CLIENTS)))

    asyncio.run(run())
    return found


def _facts(found: list[Read]) -> dict[str, float]:
    took = sorted(read.took_ms for read in found)
    return {
        "p50_ms": round(took[len(took) // 2], 2),
        "p99_ms": round(took[len(took) * 99 // 100], 1),
        "max_ms": round(took[-1], 1),
        "reads_per_s": round(len(found) / PHASE_S),
        "by_legacy": sum(read.legacy for read in found),
        "failed": sum(read.status != 200 for read in found),
    }


def run() -> dict[str, Any]:
    """Measure, and return the row of the table."""
    folder = Path(tempfile.mkdtemp(prefix="lb-bench-"))
    try:
        with house(folder) as made:
            healthy = _facts(_load(made))
            killed = _facts(_load(made, lambda: made.modern.send(signal.SIGKILL)))
            made.modern.kill()
            made.modern.start()
            wait_until(made.recovered, what="modern to be asked again")
            stopped = _facts(_load(made, lambda: made.modern.send(signal.SIGSTOP)))
            made.modern.send(signal.SIGCONT)
    finally:
        shutil.rmtree(folder)
    worst = max(killed["max_ms"], stopped["max_ms"])
    return {
        "name": NAME,
        "value": worst,
        "unit": "ms, the longest read",
        "against": "modern healthy",
        "against_value": healthy["max_ms"],
        "ratio": round(worst, 1),
        "target": TARGET,
        "moonshot": MOONSHOT,
        "better": "lower",
        "runs": 1,
        "failed": killed["failed"] + stopped["failed"],
        "healthy": healthy,
        "killed": killed,
        "stopped": stopped,
    }
