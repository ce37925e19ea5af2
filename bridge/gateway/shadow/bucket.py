"""At most so many copies a second. Pure."""


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
