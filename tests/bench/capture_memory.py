"""The largest size of the capture process while one transaction of 10 million rows passes.

`BENCH_MEMORY_ROWS` sets another number of rows. The server streams the transaction while it is
open; `logical_decoding_work_mem` is PostgreSQL's own default.
"""

import os
from typing import Any

from tests.bench.capture_pipeline import pipeline

NAME = "capture_memory"
ROWS_DEFAULT = 10_000_000
LIMIT_MB = 200
_ROWS_TIMEOUT_S = 7_200


def run() -> dict[str, Any]:
    """Measure, and return the row for the table (MB)."""
    rows = int(os.environ.get("BENCH_MEMORY_ROWS", ROWS_DEFAULT))
    with pipeline() as line:
        line.write(1, 1)
        line.bridge_s()
        peak = line.captured_peak_mb(rows, _ROWS_TIMEOUT_S)
    return {
        "name": NAME,
        "value": round(peak),
        "unit": "MB",
        "against": "limit",
        "against_value": LIMIT_MB,
        "ratio": round(peak / LIMIT_MB, 3),
        "target": 1.0,
        "moonshot": 0.5,
        "better": "lower",
        "runs": 1,
        "spread": "-",
        "rows": rows,
    }
