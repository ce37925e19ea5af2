"""Token buckets, many of them, bounded; also over the workers of one machine.

Source of the rule: RFC 2697's and ITU-T I.371's leaky bucket as a meter. A bucket has `burst`
tokens at most and gets `rate` a second; a request takes one.
"""

from collections import OrderedDict
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

BUCKETS_MAX: Final = 50_000
"""Of one limit in one worker: 10 MB. The one that was used longest ago makes room; a full bucket is
the same as none, so only a client that comes back within its refill time gains by that."""


class Spending(Protocol):
    """What the other workers have taken from the same buckets."""

    def note(self, key: int) -> None:
        """Tell that one token of `key` was taken here."""

    def others(self, key: int) -> int:
        """Return how many of `key` were taken elsewhere, counted from some beginning."""


class NoOthers:
    """One worker alone."""

    def note(self, key: int) -> None:
        """Nobody has to know."""

    def others(self, key: int) -> int:
        """Nothing was taken elsewhere."""
        return 0


class Taken(NamedTuple):
    """What came of asking for a token."""

    ok: bool
    left: int
    """Whole tokens left in the bucket."""
    wait_s: float
    """Until there is a token again, if there is none."""


class _Bucket:
    __slots__ = ("at", "others", "shared", "tokens")

    def __init__(self, tokens: float, at: float, others: int, shared: int) -> None:
        self.shared = shared
        self.tokens = tokens
        self.at = at
        self.others = others


class TokenBuckets:
    """The buckets of one limit, by key."""

    def __init__(
        self,
        rate: float,
        burst: int,
        *,
        spending: Spending | None = None,
        salt: str = "",
        buckets_max: int = BUCKETS_MAX,
    ) -> None:
        """`salt` names the limit: `spending` is shared by all of them."""
        self.rate = rate
        self.burst = burst
        self._spending = spending or NoOthers()
        self._salt = salt
        self._max = buckets_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> Taken:
        """Take a token of `key`, if there is one; `now` is monotonic, in seconds."""
        spending = self._spending
        bucket = self._buckets.get(key)
        if bucket is None:
            shared = stable_hash(self._salt, key) if type(spending) is not NoOthers else 0
            others = spending.others(shared)
            if len(self._buckets) >= self._max:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = _Bucket(float(self.burst), now, others, shared)
        else:
            self._buckets.move_to_end(key)
            others = spending.others(bucket.shared)
            grown = bucket.tokens + max(now - bucket.at, 0.0) * self.rate
            # What others took since the last look is taken here as well; 32 bits may wrap.
            gone = (others - bucket.others) & 0xFFFFFFFF
            bucket.tokens = max(min(grown, float(self.burst)) - gone, -float(self.burst))
            bucket.at = now
            bucket.others = others
        if bucket.tokens < 1:
            return Taken(False, 0, (1 - bucket.tokens) / self.rate)
        bucket.tokens -= 1
        spending.note(bucket.shared)
        return Taken(True, int(bucket.tokens), 0.0)


@lru_cache(maxsize=16_384)
def stable_hash(salt: str, key: str) -> int:
    """Return 64 bits that are the same in every process (FNV-1a over the UTF-8 bytes)."""
    value = 0xCBF29CE484222325
    for byte in f"{salt}\0{key}".encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
