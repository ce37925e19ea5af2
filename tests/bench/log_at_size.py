"""The event log at 10^5, 10^6 and 10^7 entries: what each thing costs, and how that grows.

    python -m tests.bench.log_at_size sqlite --sizes 100000,1000000 --folder /var/tmp/at-size

One log grows from size to size; at each it is signed, proven from, indexed, searched, exported and
verified by both verifiers. Entries are the synthetic orders of `log_search`: a leaf of some 330
bytes and a payload of some 600. Results go to `build/bench/log_at_size-STORE.json` after each step,
so that a run which is ended keeps what it has; `tests.bench.log_at_size_table` makes the table.
Not a part of `make bench`: 10^7 entries take the better part of an hour and 40 GB.
"""

import argparse
import json
import os
import random
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bridge.demo.servers import PrivatePostgres
from bridge.eventlog.merkle import prove_consistency, prove_inclusion
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.signer import Signer
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.storage.event_log.postgres import PostgresEventLog
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.log_index.sqlite import SqliteLogIndex
from tests.bench.log_search import BATCH, make_index, order_drafts, search_ms
from tests.eventlog.exporting.orders import make_bundle, make_signer

SIZES = (100_000, 1_000_000, 10_000_000)
PROOFS = 300
SEARCHES = 15
VERIFIERS = Path("bridge/eventlog/verifier")
RESULTS = Path("build/bench")

Row = dict[str, Any]


@contextmanager
def open_log(kind: str, folder: Path) -> Iterator[tuple[EventLogStore, Callable[[], int]]]:
    """Open the log of a kind, and give what says how many bytes its store takes."""
    with ExitStack() as stack:
        if kind == "sqlite":
            path = folder / "log.db"
            log: EventLogStore = stack.enter_context(closing(SqliteEventLog(path)))

            def file_bytes() -> int:
                # What is still in the write-ahead log counts as what it will be in the file.
                with closing(sqlite3.connect(path)) as reader:
                    [pages], [page_bytes] = (
                        reader.execute(f"PRAGMA {what}").fetchone()
                        for what in ("page_count", "page_size")
                    )
                return int(pages * page_bytes)

            yield log, file_bytes
            return
        server = stack.enter_context(PrivatePostgres.start(folder / "postgres"))
        log = stack.enter_context(closing(PostgresEventLog(server.dsn())))

        def size_bytes() -> int:
            with psycopg.connect(server.dsn()) as admin:
                row = admin.execute("SELECT pg_database_size(current_database())").fetchone()
            assert row is not None
            return int(row[0])

        empty = size_bytes()
        yield log, lambda: size_bytes() - empty


@contextmanager
def peak_memory(row: Row, name: str) -> Iterator[None]:
    """Note the largest size that this process has inside the block, in MB."""
    with Path("/proc/self/clear_refs").open("w") as file:
        file.write("5")
    yield
    [line] = [
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    ]
    row[f"{name}_peak_mb"] = round(int(line.split()[1]) / 1024)


def fill(log: EventLogStore, entries: int, row: Row) -> None:
    """Append up to `entries`; making the drafts is not counted."""
    took_s = cpu_s = 0.0
    payload_bytes, start_size = 0, log.head().size
    slowest: list[float] = []
    for start in range(start_size, entries, BATCH):
        drafts = order_drafts(start, min(BATCH, entries - start))
        payload_bytes += sum(len(draft.payload) for draft in drafts)
        began, began_cpu = time.perf_counter(), time.process_time()
        log.append(drafts)
        slowest.append(time.perf_counter() - began)
        took_s += slowest[-1]
        cpu_s += time.process_time() - began_cpu
    count = entries - start_size
    row["append_per_s"] = round(count / took_s)
    row["append_cpu_us"] = round(cpu_s / count * 1e6, 1)
    row["append_batch_p50_ms"] = round(statistics.median(slowest) * 1000, 1)
    row["append_batch_p99_ms"] = round(sorted(slowest)[int(len(slowest) * 0.99)] * 1000, 1)
    row["payload_bytes"] = round(payload_bytes / count)


def prove(log: EventLogStore, row: Row) -> None:
    """Prove inclusion of entries anywhere, and growth from any earlier size."""
    size, chance = log.head().size, random.Random(5)
    hashes = StoredHashes(log)
    kinds: dict[str, Callable[[int], object]] = {
        "inclusion": lambda index: prove_inclusion(hashes, index, size),
        "consistency": lambda index: prove_consistency(hashes, index + 1, size),
    }
    for name, proof in kinds.items():
        times, cpu_s = [], time.process_time()
        for _ in range(PROOFS):
            index = chance.randrange(size)
            began = time.perf_counter()
            proof(index)
            times.append((time.perf_counter() - began) * 1000)
        row[f"{name}_cpu_ms"] = round((time.process_time() - cpu_s) * 1000 / PROOFS, 2)
        row[f"{name}_p50_ms"] = round(statistics.median(times), 2)
        row[f"{name}_p99_ms"] = round(sorted(times)[int(PROOFS * 0.99)], 2)


def sign(log: EventLogStore, signer: Signer, row: Row) -> None:
    """Sign heads of the log; what signing itself costs, and with its disk flushes."""
    head_signer, times, cpu = HeadSigner(signer, log), [], []
    for _ in range(20):
        began, began_cpu = time.perf_counter(), time.process_time()
        head_signer.sign()
        times.append((time.perf_counter() - began) * 1000)
        cpu.append((time.process_time() - began_cpu) * 1000)
    row["checkpoint_ms"] = round(statistics.median(times), 2)
    row["checkpoint_cpu_ms"] = round(statistics.median(cpu), 2)


def search(log: EventLogStore, folder: Path, row: Row) -> None:
    """Index what is new, and search."""
    with closing(SqliteLogIndex(folder / "index.db")) as index:
        with index.view() as view:
            count = log.head().size - view.state.next_index
        row["index_per_s"] = round(count / make_index(log, index)[0])
        row["index_bytes"] = round(index.size_bytes() / log.head().size, 1)
        found = search_ms(log, index, SEARCHES)
    row["search_p50_ms"] = {name: round(p50, 1) for name, (p50, *_) in found.items()}
    row["search_p95_ms"] = {name: round(p95, 1) for name, (_, p95, *_) in found.items()}


def export_and_verify(log: EventLogStore, signer: Signer, folder: Path, row: Row) -> None:
    """Export everything, and verify it as an auditor does, in a process of its own."""
    began = time.perf_counter()
    with peak_memory(row, "export"):
        report = make_bundle(log, signer, folder / "bundle")
    count = report.stop - report.start
    row["export_per_s"] = round(count / (time.perf_counter() - began))
    row["bundle_bytes"] = round(report.size_bytes / count)
    programs = {
        "python": [sys.executable, str(VERIFIERS / "verify.py")],
        "node": ["node", str(VERIFIERS / "verify.mjs")],
    }
    try:
        for name, program in programs.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.perf_counter()
            subprocess.run(
                [*program, str(report.folder), "--key", report.keys[0]],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            took_s = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            row[f"verify_{name}_per_s"] = round(count / took_s)
            row[f"verify_{name}_per_cpu_s"] = round(count / cpu_s)
            # Of all children so far: those of Node and Python are the largest.
            row[f"verify_{name}_peak_mb"] = round(after.ru_maxrss / 1024)
    finally:
        shutil.rmtree(folder / "bundle", ignore_errors=True)


def measure(kind: str, folder: Path, sizes: list[int], results: Path) -> list[Row]:
    """Return one row for each size."""
    rows: list[Row] = []
    with open_log(kind, folder) as (log, size_bytes):
        signer = make_signer(folder)
        for size in sizes:
            row: Row = {"store": kind, "entries": size}
            rows.append(row)
            steps: dict[str, Callable[[], None]] = {
                "append": lambda size=size, row=row: fill(log, size, row),  # type: ignore[misc] # bound now
                "checkpoint": lambda row=row: sign(log, signer, row),  # type: ignore[misc] # bound now
                "proof": lambda row=row: prove(log, row),  # type: ignore[misc] # bound now
                "search": lambda row=row: search(log, folder, row),  # type: ignore[misc] # bound now
                "export": lambda row=row: export_and_verify(log, signer, folder, row),  # type: ignore[misc] # bound now
            }
            for name, step in steps.items():
                began = time.perf_counter()
                with peak_memory(row, name):
                    step()
                if name == "append":
                    row["store_bytes"] = round(size_bytes() / log.head().size)
                row["load"] = round(max(row.get("load", 0.0), os.getloadavg()[0]), 1)
                results.write_text(json.dumps(rows, indent=2) + "\n")
                print(f"{kind} {size:,}: {name}, {time.perf_counter() - began:.0f} s", flush=True)
    return rows


def main() -> None:
    """Measure one kind of store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("sqlite", "postgres"))
    parser.add_argument("--sizes", default=os.environ.get("BENCH_SIZES", "100000,1000000"))
    parser.add_argument("--folder", type=Path, help="an empty one; temporary when absent")
    given = parser.parse_args()
    sizes = [int(size) for size in given.sizes.split(",")]
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lb-at-size-") as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # The server's own account enters it.
        measure(given.kind, folder, sizes, RESULTS / f"log_at_size-{given.kind}.json")


if __name__ == "__main__":
    main()
