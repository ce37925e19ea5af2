"""What all copies of one worker may take together, each with its reason. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowLimits:
    """Bounds of one worker's copies, and of what waits for comparison."""

    copies_max: int = 64
    """Copies under way to one upstream, and its connections: a pool of its own, so that a shadow
    that hangs takes none of the authority's."""
    probes_max: int = 8
    """The same for repeated requests to the authority's own side, which is live."""
    bytes_max: int = 32 * 1024 * 1024
    """Bodies held in memory for copies and comparisons together."""
    spool_bytes_max: int = 256 * 1024 * 1024
    """Request bodies that wait on disk."""
    waiting_max: int = 1_000
    """Pairs of which one answer is here: a slow authority makes them wait, a slow shadow too."""
    backlog_max: int = 1_000
    """Pairs that are whole and wait for their comparison."""
    turn_us: int = 500
    """For comparisons in one turn of the event loop: what a client waits longer at most, unless
    one comparison alone takes more."""


class Budget:
    """Bytes that may be held at once."""

    __slots__ = ("bytes_max", "held")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.held = 0

    def take(self, size: int) -> bool:
        """Take `size` bytes, if there are so many left."""
        held = self.held + size
        if held > self.bytes_max:
            return False
        self.held = held
        return True

    def give_back(self, size: int) -> None:
        """Give bytes back."""
        self.held -= size
        assert self.held >= 0, "more bytes given back than taken"


class BudgetCopy:
    """A body's copy in memory, within its own bound and what all of them share."""

    __slots__ = ("_budget", "_bytes_max", "parts", "size")

    def __init__(self, bytes_max: int, budget: Budget) -> None:
        self._bytes_max = bytes_max
        self._budget = budget
        self.size = 0
        self.parts: list[bytes] = []

    def add(self, data: bytes) -> bool:
        """Keep more, within the bounds; else let go of everything."""
        size = len(data)
        if self.size + size > self._bytes_max or not self._budget.take(size):
            self.release()
            return False
        self.size += size
        self.parts.append(data)
        return True

    @property
    def body(self) -> bytes:
        """What was kept, in one piece."""
        parts = self.parts
        if len(parts) > 1:
            parts[:] = [b"".join(parts)]
        return parts[0] if parts else b""

    def release(self) -> None:
        """Let go of everything."""
        if self.size:
            self._budget.give_back(self.size)
            self.size = 0
            self.parts = []
