"""Ages of events as a histogram that adds up: what metrics count of latencies. Pure."""

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

# Upper bounds in milliseconds: from one disk flush to an outage that somebody notices.
BUCKETS_MS: Final = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000)


def age_facts(ages_ms: Sequence[float]) -> dict[str, float]:
    """Return cumulative counts by bound (`le_5`, …), and the sum of the ages as `age_ms`."""
    counts = Counter(_bucket(age_ms) for age_ms in ages_ms)
    cumulative = accumulate(counts[bound] for bound in BUCKETS_MS)
    return {
        "age_ms": sum(ages_ms),
        **{f"le_{bound}": count for bound, count in zip(BUCKETS_MS, cumulative, strict=True)},
    }


def _bucket(age_ms: float) -> int | None:
    """Return the smallest bound that `age_ms` does not exceed; None beyond the last."""
    return next((bound for bound in BUCKETS_MS if age_ms <= bound), None)
