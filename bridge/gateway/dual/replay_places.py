"""Who may send now: so many lanes at once to one upstream, and so many in all."""

from collections import deque
from typing import TypeAlias

LaneKey: TypeAlias = tuple[str, str]


class Places:
    """Places of lanes at upstreams; a lane has at most one, for as long as it is worked on.

    Every upstream has its own, so that a slow one holds up no lane of another.
    """

    def __init__(self, per_upstream: int, whole: int) -> None:
        self.ready: deque[LaneKey] = deque()
        """Lanes whose upstream is not known to be full, in the order in which they came."""
        self._per_upstream = per_upstream
        self._left = whole
        self._taken: dict[str, int] = {}
        self._at: dict[LaneKey, str] = {}
        self._crowded: dict[str, deque[LaneKey]] = {}

    def begin(self) -> LaneKey | None:
        """Return a lane that may be worked on, until `end`; None when none waits or all is full."""
        if not self._left or not self.ready:
            return None
        self._left -= 1
        return self.ready.popleft()

    def take(self, lane: LaneKey, upstream: str) -> bool:
        """Return whether a lane that is worked on has a place at `upstream`, in place of another.

        Where it has none, it must `end`; it comes back to `ready` when there is room.
        """
        at = self._at.get(lane)
        if at == upstream:
            return True
        if at is not None:
            self._leave(lane, at)
        taken = self._taken.get(upstream, 0)
        if taken >= self._per_upstream:
            self._crowded.setdefault(upstream, deque()).append(lane)
            return False
        self._taken[upstream] = taken + 1
        self._at[lane] = upstream
        return True

    def end(self, lane: LaneKey) -> None:
        """Hear that the lane is not worked on any more."""
        self._left += 1
        at = self._at.get(lane)
        if at is not None:
            self._leave(lane, at)

    def _leave(self, lane: LaneKey, upstream: str) -> None:
        del self._at[lane]
        self._taken[upstream] -= 1
        waiting = self._crowded.get(upstream)
        if waiting:
            self.ready.appendleft(waiting.popleft())  # It has waited longest.
