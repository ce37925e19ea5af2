"""Which keys belong to a cohort: a stable hash into buckets, of which a share is taken.

A key's bucket depends on its group's salt and on nothing else. The cohort is the range of buckets
below a bound, so that a cohort that grows keeps every key it has, and a key moves once in a whole
ramp. The key is given as the name of its lane, which is the same by either side's id. Another salt
deals all keys anew: two groups with one salt have the same cohort.
"""

import hashlib
from typing import Final

# Hundredths of one per cent: finer than any ramp, and one number says both bucket and share.
BUCKETS_COUNT: Final = 10_000


def bucket_of(salt: str, key: str) -> int:
    """Return the bucket of `key`, from 0 to `BUCKETS_COUNT` - 1, evenly spread."""
    # The length before the salt keeps ("ab", "c") and ("a", "bc") apart.
    named = salt.encode("utf-8")
    hashed = hashlib.sha256(len(named).to_bytes(4, "big") + named)
    hashed.update(key.encode("utf-8", "surrogateescape"))
    # A range by multiplication has no bias that a remainder would have.
    return int.from_bytes(hashed.digest()[:8], "big") * BUCKETS_COUNT >> 64


def in_cohort(bucket: int, share_percent: float) -> bool:
    """Whether a bucket is among the first `share_percent` (0 to 100) of all."""
    return bucket < share_percent * BUCKETS_COUNT / 100
