"""An event loop whose time stands still until nothing is left to do, and then jumps.

A rehearsal of ten minutes takes a second, and the same seed gives the same run. Only for work that
waits for nothing outside of the loop: no sockets, no threads.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

_START = datetime(2026, 3, 1, tzinfo=UTC)


class _Jumping(selectors.SelectSelector):
    """Instead of waiting, moves the time on by what would have been waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """See `selectors`; `timeout` None means that nothing would ever happen."""
        assert timeout is not None, "everything waits for something that cannot come"
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._jumping.now


def clock() -> datetime:
    """Return the wall clock of the running virtual loop."""
    return _START + timedelta(seconds=asyncio.get_running_loop().time())


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
