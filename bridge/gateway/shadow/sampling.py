"""Which requests are copied: by chance or by key, and at most so many a second. Pure."""

import hashlib

_DIGEST_BYTES = 8


class Bucket:
    """A token bucket that holds one second's worth."""

    __slots__ = ("_filled_at", "_left", "_per_s")

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._left = max(1.0, per_s)
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Take a token, if there is one; `now` is monotonic seconds."""
        left = self._left + (now - self._filled_at) * self._per_s
        self._filled_at = now
        self._left = min(left, max(1.0, self._per_s))
        if self._left < 1:
            return False
        self._left -= 1
        return True


def is_chosen(salt: str, key: str, share: float) -> bool:
    """Whether `key` is among the `share` of keys, 0 to 1; a larger share holds the smaller one."""
    digest = hashlib.blake2b(f"{salt}\0{key}".encode(), digest_size=_DIGEST_BYTES).digest()
    return int.from_bytes(digest, "big") < share * (1 << 8 * _DIGEST_BYTES)
