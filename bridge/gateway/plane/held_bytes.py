"""How much of its clients' bodies one worker holds in memory, and that it is not too much."""


class HeldBytes:
    """A sum with a bound. Belongs to one worker's event loop."""

    __slots__ = ("_bytes", "_bytes_max", "refused")

    def __init__(self, bytes_max: int) -> None:
        self._bytes = 0
        self._bytes_max = bytes_max
        self.refused = 0
        """Requests that were refused since this was told the last time."""

    def take(self, count: int) -> bool:
        """Count `count` more bytes; False when there is no room for them.

        One body alone always has room: its route's limit bounds it.
        """
        if self._bytes and self._bytes + count > self._bytes_max:
            self.refused += 1
            return False
        self._bytes += count
        return True

    def give_back(self, count: int) -> None:
        """Count `count` bytes less."""
        self._bytes -= count
