"""One port for what metrics count, logs tell and tests await."""

from typing import Protocol


class Observer(Protocol):
    """Hears what a service did.

    `name` is a lower-case event name (`appended`, `published`, `reconnected`); `facts` are counts,
    durations and names, with units last (`entries`, `lag_bytes`, `took_ms`). Never a row value, a
    credential or a body. Called once per batch, not per row; it must not raise or block.
    """

    def note(self, name: str, **facts: int | float | str) -> None:
        """Take note of one event."""


class SilentObserver:
    """Hears and forgets; the default where nobody listens."""

    def note(self, name: str, **facts: int | float | str) -> None:
        """Forget it."""
