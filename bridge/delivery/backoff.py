"""How long to wait before trying again."""

import random

FIRST_MS_DEFAULT = 100
# What an operator sees after an outage: delivery resumes within this of the broker's return.
LONGEST_MS_DEFAULT = 5_000


class Backoff:
    """Waits that double, each shortened by chance so that several never try in step."""

    def __init__(
        self,
        *,
        first_ms: int = FIRST_MS_DEFAULT,
        longest_ms: int = LONGEST_MS_DEFAULT,
        chance: random.Random | None = None,
    ) -> None:
        self._first_ms = first_ms
        self._longest_ms = longest_ms
        self._chance = chance or random.Random()
        self.attempts = 0
        """Waits handed out since the last success."""

    def next_ms(self) -> float:
        """Return the next wait: between half of it and all of it."""
        # Sixteen doublings of anything pass the longest wait; more would only make a large number.
        whole = min(self._first_ms << min(self.attempts, 16), self._longest_ms)
        self.attempts += 1
        return whole * self._chance.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        """Begin again with the shortest wait."""
        self.attempts = 0
