"""What a dual write adds to plain proxying: intent and outcome durable before the answer.

POST of 1 KB of JSON over 64 connections, each with a key of its own; the added median time in
multiples of the disk's own `fdatasync`. A second figure, at 500 writes in a second that come when
they come, is what a client feels who does not wait for others. SQLite and PostgreSQL, one worker
and two; server and load share the machine's two cores, and nothing is replayed meanwhile.
"""

import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from bridge.demo.servers import PrivatePostgres
from bridge.model.stage import Stage
from bridge.storage.journal.postgres_desk import PostgresJournalDesk
from bridge.storage.journal.sqlite_desk import SqliteJournalDesk
from tests.bench.proxy_rig import _started
from tests.bench.shadow_rig import (
    LOAD_CORE,
    PROXY_CORES,
    UPSTREAM,
    cpu_s,
    free_port,
    memory_mb,
    nginx,
    which,
)
from tests.warrants import by

__all__ = ["NAME", "PEERS", "run"]

NAME: Final = "dual_write"
PEERS: Final = {"nginx": "nginx-light", "wrk": "wrk"}
TARGET, MOONSHOT = 5.0, 2.5
CONNECTIONS: Final = 64
LOAD_S: Final = 3
RUNS: Final = 3
RATE_PER_S: Final = 500
BODY: Final = '{"sku":"A00001","count":1}' * 39

_LUA: Final = """
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '%s'
request = function() n = n + 1; return wrk.format(nil, "/%s/%s" .. n) end
done = function(summary, latency, requests)
  io.write(string.format("FOUND %%d %%d %%d %%d\\n", summary.requests, latency:percentile(50),
    latency:percentile(99), summary.errors.status + summary.errors.timeout))
end
"""


class Found(NamedTuple):
    """One run: milliseconds, requests in a second, CPU of the workers for a request."""

    p50_ms: float
    p99_ms: float
    requests_per_s: float
    cpu_us: float


def run() -> dict[str, Any]:
    """Measure, and return the row of the table."""
    folder = Path(tempfile.mkdtemp(prefix="lb-bench-", dir="build")).resolve()
    try:
        sync_ms = _fdatasync_ms(folder)
        rows: dict[str, Any] = {}
        ratios: list[float] = []
        for store in ("sqlite", "postgres"):
            for workers in (1, 2):
                found = _measure(folder / f"{store}{workers}", store, workers)
                added = [dual.p50_ms - plain.p50_ms for plain, dual in found.pop("pairs")]
                multiples = [round(ms / sync_ms, 2) for ms in added]
                if store == "sqlite" and workers == 1:
                    ratios = multiples
                found["added_p50_in_fdatasyncs"] = statistics.median(multiples)
                rows |= {f"{store}_{workers}_{name}": value for name, value in found.items()}
        return {
            "name": NAME,
            "value": rows["sqlite_1_dual_p50_ms"],
            "unit": "ms p50",
            "against": "plain proxying",
            "against_value": rows["sqlite_1_plain_p50_ms"],
            "ratio": statistics.median(ratios),
            "better": "lower",
            "target": TARGET,
            "moonshot": MOONSHOT,
            "runs": RUNS,
            "spread": f"{min(ratios)}-{max(ratios)}",
            "fdatasync_ms": round(sync_ms, 3),
            **rows,
        }
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, store: str, workers: int) -> dict[str, Any]:
    folder.mkdir()
    with ExitStack() as stack:
        upstream, port = free_port(), free_port()
        http = UPSTREAM.format(port=upstream, body=json.dumps({"id": 1}))
        stack.enter_context(nginx(folder, "upstream", http, upstream, cores=LOAD_CORE))
        journal_at = str(folder) if store == "sqlite" else stack.enter_context(_server())
        _at_dual(journal_at)
        argv = [
            *("taskset", "-c", PROXY_CORES[workers], sys.executable, "-m"),
            *("tests.bench.dual_write_worker", str(port), str(upstream), journal_at, str(folder)),
        ]
        processes = [stack.enter_context(_started(argv, port)) for _ in range(workers)]
        pairs = []
        for turn in range(RUNS):
            plain = _load(folder, port, processes, "plain", f"{turn}-")
            pairs.append((plain, _load(folder, port, processes, "dual", f"{turn}-")))
        calm = asyncio.run(_at_a_rate(port, "plain")), asyncio.run(_at_a_rate(port, "dual"))
        last_plain, last = pairs[-1]
        return {
            "pairs": pairs,
            "plain_p50_ms": last_plain.p50_ms,
            "dual_p50_ms": last.p50_ms,
            "dual_p99_ms": last.p99_ms,
            "writes_per_s": round(last.requests_per_s),
            "cpu_us": round(last.cpu_us),
            "plain_cpu_us": round(last_plain.cpu_us),
            "memory_mb": round(memory_mb(processes), 1),
            "at_500_added_p50_ms": round(calm[1][0] - calm[0][0], 2),
            "at_500_added_p99_ms": round(calm[1][1] - calm[0][1], 2),
        }


@contextmanager
def _server() -> Iterator[str]:
    # Not below `build`: the account of the server may not enter there.
    folder = Path(tempfile.mkdtemp(prefix="lb-"))
    try:
        with PrivatePostgres.start(folder) as server:
            yield server.dsn()
    finally:
        shutil.rmtree(folder)


def _at_dual(journal_at: str) -> None:
    is_server = journal_at.startswith("postgresql://")
    with closing(
        PostgresJournalDesk(journal_at)
        if is_server
        else SqliteJournalDesk(Path(journal_at) / "journal.db")
    ) as desk:
        desk.ensure_groups(["orders"])
        desk.switch("orders", Stage.DUAL, expected_epoch=0, warrant=by("bench", "measured"))


def _load(
    folder: Path, port: int, processes: list[psutil.Process], route: str, prefix: str
) -> Found:
    lua = folder / "load.lua"
    lua.write_text(_LUA % (BODY, route, prefix))
    argv = ["taskset", "-c", LOAD_CORE, which("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{LOAD_S}s"]
    before = cpu_s(processes)
    done = subprocess.run(
        [*argv, "-s", str(lua), f"http://127.0.0.1:{port}/"],
        capture_output=True, text=True, check=True, timeout=LOAD_S + 60,
    )  # fmt: skip
    counted = re.search(r"FOUND (\d+) (\d+) (\d+) (\d+)", done.stdout)
    if counted is None or counted[4] != "0":
        raise RuntimeError(f"cannot measure: the load failed: {done.stdout}")
    requests = int(counted[1])
    spent = cpu_s(processes) - before
    return Found(
        int(counted[2]) / 1e3, int(counted[3]) / 1e3, requests / LOAD_S, spent * 1e6 / requests
    )


async def _at_a_rate(port: int, route: str) -> tuple[float, float]:
    """Send `RATE_PER_S` for `LOAD_S`, on time whatever is answered; return p50 and p99 in ms."""
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    taken: list[float] = []

    async def one(number: int, due: float) -> None:
        reader, writer = await free.get()
        head = f"POST /{route}/calm-{number} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(BODY)}"
        writer.write(f"{head}\r\n\r\n{BODY}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = re.search(rb"(?i)content-length: (\d+)", answer)
        assert length is not None
        await reader.readexactly(int(length[1]))
        taken.append(asyncio.get_running_loop().time() - due)
        free.put_nowait((reader, writer))

    loop = asyncio.get_running_loop()
    begin = loop.time() + 0.1
    count = RATE_PER_S * LOAD_S
    tasks: list[asyncio.Task[None]] = []
    begun = asyncio.Event()

    def start(number: int, due: float) -> None:
        tasks.append(loop.create_task(one(number, due)))
        if len(tasks) == count:
            begun.set()

    for number in range(count):
        due = begin + number / RATE_PER_S
        loop.call_at(due, start, number, due)
    await begun.wait()
    await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait()[1].close()
    taken.sort()
    return taken[len(taken) // 2] * 1e3, taken[len(taken) * 99 // 100] * 1e3


def _fdatasync_ms(folder: Path) -> float:
    """Return the median of flushing 4 KB that were appended."""
    descriptor = os.open(folder / "probe", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    taken = []
    for _ in range(200):
        os.write(descriptor, b"x" * 4_096)
        began = time.perf_counter()
        os.fdatasync(descriptor)
        taken.append(time.perf_counter() - began)
    os.close(descriptor)
    return statistics.median(taken) * 1e3
