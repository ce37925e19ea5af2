"""How much polling may ask of its source, and what it asks when nobody says."""

from dataclasses import dataclass
from typing import Final

WORKERS_DEFAULT: Final = 2
"""Tables that are read at the same time: as many connections does the source see."""

ROWS_MAX_DEFAULT: Final = 1_000
"""Rows of one query, of one transaction of the source and of one append: tens of milliseconds."""

DUTY_DEFAULT: Final = 0.5
"""Share of the time that a run may keep the source busy: after a query of 50 ms, 50 ms of rest."""

LOOK_INTERVAL_S_DEFAULT: Final = 60.0
"""How often the shapes of the tables are looked at; a column that is new is then found unmapped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollLimits:
    """How much polling may ask of its source."""

    workers: int = WORKERS_DEFAULT
    rows_max: int = ROWS_MAX_DEFAULT
    duty: float = DUTY_DEFAULT
    look_interval_s: float = LOOK_INTERVAL_S_DEFAULT
