"""How much one comparison may cost, counted in steps of the walk."""

from typing import Final

# One step (a value looked at, a canonical form made) takes one to five microseconds on a shared
# core: so many are some 50 ms at most, beyond which clients would feel it.
WORK_MAX: Final = 15_000
# Spelling a value is done in C: so many bytes cost what a step costs.
_BYTES_PER_STEP: Final = 512
# Reading XML, CSV, forms and numbers of many digits is not: so many of theirs do.
_SLOW_BYTES_PER_STEP: Final = 24


class TooMuchWork(Exception):
    """A comparison was given up; it says nothing about the answers."""


class Work:
    """What is left to one comparison."""

    __slots__ = ("left",)

    def __init__(self, steps_max: float) -> None:
        self.left = steps_max

    def spend(self, steps: int, byte_count: int = 0) -> None:
        """Count `steps`, and as many as spelling `byte_count` bytes costs.

        Raises:
            TooMuchWork: nothing is left.
        """
        self.left -= steps + byte_count // _BYTES_PER_STEP
        if self.left < 0:
            raise TooMuchWork

    def read(self, byte_count: int, *, slowly: bool) -> None:
        """Count the reading of a body before it is read.

        Raises:
            TooMuchWork: nothing is left.
        """
        self.spend(byte_count // _SLOW_BYTES_PER_STEP if slowly else 0, byte_count)
