"""Where one witness stands with our log, and when that is an alarm. Pure."""

from dataclasses import dataclass
from enum import Enum


class Standing(Enum):
    """How it is with a witness; the order is the order of gravity."""

    OK = "ok"  # It has cosigned the newest checkpoint, or is not late with it.
    LATE = "late"  # It answers, but has cosigned nothing newer for longer than it may take.
    ABSENT = "absent"  # It has not answered for longer than it may take.
    REFUSED = "refused"  # It does not know our log or our key: somebody has to configure it.
    CONFLICT = "conflict"  # It has cosigned what is not in our log: one of the two was changed.

    @property
    def level(self) -> int:
        """0 ok, 1 warning, 2 critical: the number of the metric."""
        return {Standing.OK: 0, Standing.LATE: 1, Standing.ABSENT: 1}.get(self, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one look at a witness found."""

    standing: Standing
    size: int
    """Entries of the newest checkpoint that it cosigned, as far as we know."""
    lag_entries: int
    lag_s: float
    """How long our newest checkpoint has been waiting for it; 0 when it does not."""
    why: str


def assess(
    *,
    size: int,
    cosigned_size: int,
    waiting_s: float,
    late_s: float,
    trouble: Standing | None,
    why: str,
) -> Sighting:
    """Return how it is with a witness.

    Args:
        size: entries of our newest checkpoint.
        cosigned_size: entries of the newest one that it cosigned.
        waiting_s: since when a checkpoint has been waiting for it.
        late_s: how long one may.
        trouble: what the last try ended with; `ABSENT` counts once it has lasted `late_s`.
        why: what the last try said.
    """
    lag_entries = max(size - cosigned_size, 0)
    standing: Standing
    if trouble in (Standing.REFUSED, Standing.CONFLICT):
        standing = trouble
    elif waiting_s <= late_s:
        standing = Standing.OK
    elif trouble is Standing.ABSENT:
        standing = Standing.ABSENT
    else:
        standing = Standing.LATE
    return Sighting(
        standing=standing,
        size=cosigned_size,
        lag_entries=lag_entries,
        lag_s=waiting_s,
        why=why if standing is not Standing.OK else "",
    )
