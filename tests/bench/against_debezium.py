"""Ours against Debezium over the same rows, to the same kind of queue, in one run.

Ours: capture and relay as processes, from `go` to the broker's last confirm, all of it counted.
Debezium: one JVM, only the second half of each run counted, in which its code is compiled. Both
find the whole backlog waiting, take turns in going first, and never run at the same time.
"""

import statistics
from typing import Any

from tests.bench import debezium_peer
from tests.bench.capture_pipeline import Pipeline, pipeline

RUNS = 3
WARM_UP_ROWS = 5_000


def measure(
    *, name: str, rows: int, rows_per_transaction: int, target: float, moonshot: float
) -> dict[str, Any]:
    """Return the row for the table; `rows` is per run."""
    ours, theirs, cpu = [], [], []
    with pipeline() as line:
        line.write(WARM_UP_ROWS, rows_per_transaction)
        line.bridge_s()
        debezium_peer.prepare(line)
        for number in range(RUNS):
            line.write(rows, rows_per_transaction)
            if number % 2:
                theirs.append(_debezium(line, rows))
            ours.append(rows / line.bridge_s())
            if not number % 2:
                theirs.append(_debezium(line, rows))
            cpu.append({who: s / rows * 1e6 for who, s in line.cpu_s.items()})
    ratios = [mine / their[0] for mine, their in zip(ours, theirs, strict=True)]
    return {
        "name": name,
        "value": round(statistics.median(ours)),
        "unit": "events/s",
        "against": "Debezium 3.6, warm half",
        "against_value": round(statistics.median(rate for rate, _, _ in theirs)),
        "ratio": round(statistics.median(ratios), 3),
        "target": target,
        "moonshot": moonshot,
        "runs": RUNS,
        "spread": f"{min(ratios):.3f}-{max(ratios):.3f}",
        "rows_per_run": rows,
        "cpu_us_per_event": {
            **{who: round(statistics.median(taken[who] for taken in cpu), 1) for who in cpu[0]},
            "debezium": round(statistics.median(s / rows * 1e6 for _, s, _ in theirs), 1),
        },
        "debezium_peak_mb": round(max(peak for _, _, peak in theirs)),
        "capture_peak_mb": round(line.peak_mb["capture"]),
    }


def _debezium(line: Pipeline, rows: int) -> tuple[float, float, float]:
    """Return events/s of the warm half, CPU seconds of the JVM, its peak size in MB."""
    with debezium_peer.debezium(line) as engine:
        marks = engine.follow(rows)
        result = debezium_peer.warm_rate(marks, rows), engine.cpu_s(), engine.peak_mb()
    debezium_peer.purge(line)
    return result
