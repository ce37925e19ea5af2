"""The same as `capture_to_broker` with one row in each transaction.

`BENCH_ROWS` rows (150,000 by default, a third in each run).
"""

import os
from typing import Any

from tests.bench import against_debezium

NAME = "capture_small_transactions"
ROWS_DEFAULT = 150_000


def run() -> dict[str, Any]:
    """Measure, and return the row for the table."""
    return against_debezium.measure(
        name=NAME,
        rows=int(os.environ.get("BENCH_ROWS", ROWS_DEFAULT)) // against_debezium.RUNS,
        rows_per_transaction=1,
        target=1.5,
        moonshot=3.0,
    )
