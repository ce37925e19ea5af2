"""The whole way of a row change, against how fast PostgreSQL hands out its WAL at all.

Ours: WAL, decoded, mapped and validated by a contract, durable in the SQLite event log with its
tree, published to a quorum queue, confirmed; capture and relay each in a process. The limit:
`pg_recvlogical` writing the same pgoutput stream of the same WAL, through a slot of its own, to
`/dev/null`. Both find the whole backlog waiting; they take turns in going first.

`BENCH_ROWS` rows of 11 columns in transactions of 1,000 (300,000 by default, 100,000 a run).
"""

import os
import statistics
from typing import Any

from tests.bench.capture_pipeline import pipeline

NAME = "capture_to_broker_limit"
RUNS = 3
ROWS_DEFAULT = 300_000
ROWS_PER_TRANSACTION = 1_000
WARM_UP_ROWS = 5_000
TARGET, MOONSHOT = 0.22, 0.40


def run() -> dict[str, Any]:
    """Measure, and return the row for the table; CPU per event by process is beside it."""
    rows = int(os.environ.get("BENCH_ROWS", ROWS_DEFAULT)) // RUNS
    ours, limits, cpu = [], [], []
    with pipeline() as line:
        line.write(WARM_UP_ROWS, ROWS_PER_TRANSACTION)
        line.bridge_s()
        line.create_limit_slot()
        for number in range(RUNS):
            line.write(rows, ROWS_PER_TRANSACTION)
            if number % 2:
                limits.append(rows / line.limit_s())
                ours.append(rows / line.bridge_s())
            else:
                ours.append(rows / line.bridge_s())
                limits.append(rows / line.limit_s())
            cpu.append({who: s / rows * 1e6 for who, s in line.cpu_s.items()})
    ratios = [mine / limit for mine, limit in zip(ours, limits, strict=True)]
    ratio = statistics.median(ratios)
    return {
        "name": NAME,
        "value": round(statistics.median(ours)),
        "unit": "events/s",
        "against": "pg_recvlogical to /dev/null",
        "against_value": round(statistics.median(limits)),
        "ratio": round(ratio, 3),
        "target": TARGET,
        "moonshot": MOONSHOT,
        "runs": RUNS,
        "spread": f"{min(ratios):.3f}-{max(ratios):.3f}",
        "rows_per_run": rows,
        "cpu_us_per_event": {
            who: round(statistics.median(taken[who] for taken in cpu), 1) for who in cpu[0]
        },
    }


if __name__ == "__main__":
    print(run())
