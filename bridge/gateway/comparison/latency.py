"""Latencies in buckets that can be added up over workers and hours."""

import math
from collections.abc import Mapping
from typing import Final

# Each bucket reaches a tenth further than the one before: a quantile is off by 5 % at most.
_GROWTH: Final = 1.1
_LEAST_MS: Final = 0.05
# 0.05 ms to 10 minutes.
BUCKETS_COUNT: Final = 172


def bucket_of(took_ms: float) -> int:
    """Return the bucket that a latency falls into."""
    if took_ms <= _LEAST_MS:
        return 0
    return min(BUCKETS_COUNT - 1, 1 + int(math.log(took_ms / _LEAST_MS) / math.log(_GROWTH)))


def quantile_ms(counts: Mapping[int, int], part: float) -> float | None:
    """Return the latency that `part` of all do not exceed; None without any."""
    total = sum(counts.values())
    if not total:
        return None
    wanted = max(1, math.ceil(part * total))
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= wanted:
            return _LEAST_MS * _GROWTH ** (bucket - 0.5) if bucket else _LEAST_MS
    raise AssertionError("the buckets hold as many as were counted")
