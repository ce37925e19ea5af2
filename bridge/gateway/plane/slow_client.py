"""How fast a client takes an answer that waits for it in our buffer.

A client that takes a little now and then looks busy for ever, and holds its upstream connection.
Time counts only while more waits for the client than the buffer takes: a stream of events with
pauses is not slow, and an answer that fits into the buffer has let go of its upstream.
"""

from bridge.gateway.plane.settings import PlaneSettings


class SlowClient:
    """One answer's client. Times are monotonic seconds."""

    __slots__ = ("_at", "_left_s", "_size", "_taken", "_waited_s", "whose")

    def __init__(self, whose: object) -> None:
        self.whose = whose
        """The handling whose answer it is."""
        self._waited_s = 0.0
        self._taken = 0
        self._at = self._left_s = 0.0
        self._size = 0

    def falls_behind(
        self, now: float, size: int, size_low: int, deadline: float, settings: PlaneSettings
    ) -> float:
        """Return until when it has to catch up, from `size` bytes to `size_low`.

        `deadline` is the one that holds while it is not behind.
        """
        self._at, self._size, self._left_s = now, size, deadline - now
        patience_s = settings.relay_idle_ms / 1000
        if settings.answer_rate_min:
            whole_s = (self._taken + size - size_low) / settings.answer_rate_min
            patience_s = min(patience_s, max(patience_s, whole_s) - self._waited_s)
        return now + patience_s

    def catches_up(self, now: float, size: int) -> float:
        """Return the deadline that holds from now on."""
        self._waited_s += now - self._at
        self._taken += self._size - size
        return now + self._left_s
