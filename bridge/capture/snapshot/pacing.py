"""How much to read at once and how long to rest: the load that reading puts on the source."""

from dataclasses import dataclass
from typing import Final

CHUNK_ROWS_MIN: Final = 20
"""Below it, what a chunk costs beside its rows would be most of the work."""

CHUNK_ROWS_FIRST: Final = 200
"""Little is known of a table at first: even rows of 100 kB are no harm at this number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotLimits:
    """What a reading may cost the source. The settings say what each is good for."""

    chunk_rows: int = 5_000
    query_ms_target: int = 250
    duty: float = 0.5
    lag_bytes_max: int = 256 * 1024 * 1024
    keyless_rows_max: int = 10_000_000


class Pacing:
    """Sizes chunks towards the target time, and gives the source its rests."""

    def __init__(self, limits: SnapshotLimits) -> None:
        self._limits = limits
        self.rows = min(CHUNK_ROWS_FIRST, limits.chunk_rows)
        """How many rows the next chunk may have."""

    def learn(self, took_ms: float, *, full: bool) -> float:
        """Take how long a chunk's queries took; return how many seconds to rest now.

        Only a `full` chunk says that more rows could be read in the time.
        """
        ratio = self._limits.query_ms_target / max(took_ms, 0.1)
        if ratio < 1 or full:
            # In steps: one lucky or unlucky reading decides little.
            self._resize(min(max(ratio, 0.5), 2.0))
        return took_ms / 1000 * (1 / self._limits.duty - 1)

    def shrink(self) -> None:
        """Read much less: the last chunk was too much to be read, or to be remembered."""
        self._resize(0.25)

    def _resize(self, factor: float) -> None:
        lowest = min(CHUNK_ROWS_MIN, self._limits.chunk_rows)
        self.rows = min(max(int(self.rows * factor), lowest), self._limits.chunk_rows)
