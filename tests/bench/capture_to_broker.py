"""Row changes in transactions of 1,000, from WAL to a confirmed quorum queue, against Debezium.

`BENCH_ROWS` rows of 11 columns (300,000 by default, a third in each run). See `against_debezium`.
"""

import os
from typing import Any

from tests.bench import against_debezium

NAME = "capture_to_broker"
ROWS_DEFAULT = 300_000


def run() -> dict[str, Any]:
    """Measure, and return the row for the table."""
    return against_debezium.measure(
        name=NAME,
        rows=int(os.environ.get("BENCH_ROWS", ROWS_DEFAULT)) // against_debezium.RUNS,
        rows_per_transaction=1_000,
        target=1.5,
        moonshot=2.5,
    )
