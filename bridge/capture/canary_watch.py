"""A canary a day from capture itself: its entries come into the log by its own commits."""

from datetime import UTC

from bridge.capture.watches import Sighting
from bridge.eventlog.records.canary import LOOK_INTERVAL_S, Clock, canary_draft, utc_now

CATEGORY = "capture"
"""`capture:SOURCE` is the category of one source's canaries."""


class CanaryWatch:
    """Implements `Watch`; its state is the day of the last canary, in the cursor beside it."""

    name = "canary"
    interval_s = LOOK_INTERVAL_S

    def __init__(self, source: str, *, clock: Clock = utc_now) -> None:
        self._category = f"{CATEGORY}:{source}"
        self._clock = clock

    def look(self, state: str | None) -> Sighting:
        """Return the canary of a new day."""
        now = self._clock().astimezone(UTC)
        day = now.date().isoformat()
        return Sighting() if state == day else Sighting([canary_draft(self._category, now)], day)

    def close(self) -> None:
        """Nothing is held."""
