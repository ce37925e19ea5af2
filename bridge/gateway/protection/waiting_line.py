"""Who waits for an upstream that has no room: bounded, by priority, first come first served."""

from collections import deque
from typing import Generic, NamedTuple, TypeVar

from bridge.gateway.routes.sections.protection import Priority

T = TypeVar("T")

_ORDER = (Priority.HIGH, Priority.NORMAL, Priority.LOW)


class Place(NamedTuple, Generic[T]):
    """One who waits."""

    who: T
    until: float


class WaitingLine(Generic[T]):
    """At most `count_max` wait, all priorities together."""

    def __init__(self, count_max: int) -> None:
        self.count = 0
        self._max = count_max
        self._lines: dict[Priority, deque[Place[T]]] = {each: deque() for each in _ORDER}

    def __len__(self) -> int:
        return self.count

    def join(self, who: T, priority: Priority, until: float) -> T | None:
        """Let `who` wait; return who is shed for it: itself, or the last of a lower priority."""
        shed = None
        if self.count >= self._max:
            lower = [each for each in reversed(_ORDER) if self._lines[each]]
            if not lower or _ORDER.index(lower[0]) <= _ORDER.index(priority):
                return who
            shed = self._lines[lower[0]].pop().who
            self.count -= 1
        self._lines[priority].append(Place(who, until))
        self.count += 1
        return shed

    def next(self) -> T | None:
        """Return who goes next, and let it go."""
        for priority in _ORDER:
            line = self._lines[priority]
            if line:
                self.count -= 1
                return line.popleft().who
        return None

    def leave(self, who: T) -> bool:
        """Forget one who waits no more; return whether it did."""
        for line in self._lines.values():
            for place in line:
                if place.who is who:
                    line.remove(place)
                    self.count -= 1
                    return True
        return False

    def late(self, now: float) -> list[T]:
        """Return those who have waited long enough, and let them go."""
        found: list[T] = []
        for line in self._lines.values():
            while line and line[0].until <= now:
                found.append(line.popleft().who)
                self.count -= 1
        return found
