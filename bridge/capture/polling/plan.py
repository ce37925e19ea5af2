"""What a deployment decides about one polled table. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bridge.model.errors import ConfigInvalid


class Strategy(Enum):
    """How changes of a table are found; set by the settings."""

    OUTBOX = "outbox"  # Rows are only ever added: each is one event, once.
    KEYSET = "keyset"  # A column grows with every change of a row: read what is above the last.
    FULL = "full"  # Nothing grows: read all rows, chunk by chunk, and compare their hashes.


class Deletes(Enum):
    """How deletes of a table are found; set by the settings."""

    NONE = "none"  # They are not: rows never go, or nobody needs to know.
    SOFT = "soft"  # A column says it; the row stays.
    COMPARE = "compare"  # All keys are read from time to time; who is missing twice is gone.


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan:
    """How one table is polled."""

    table: str
    """`schema.table`, as mappings name it."""
    strategy: Strategy
    column: str | None = None
    """The column that grows; for outbox and keyset."""
    zone: str | None = None
    """For a column of local times: the zone that the database writes them in."""
    key: tuple[str, ...] | None = None
    """Columns that identify a row; None: the primary key; empty: there are none."""
    interval_s: float = 5.0
    compare_interval_s: float = 3_600.0
    """For keyset with deletes by comparison; a full comparison runs at `interval_s`."""
    overlap_s: float | None = None
    """How far a run reads back behind the last; None: what the dialect needs."""
    deletes: Deletes = Deletes.NONE
    deleted_column: str | None = None
    deleted_value: str | None = None
    """Text that marks a deleted row; None: any value but NULL does."""
    ignore: tuple[str, ...] = ()
    """Columns that are never read."""

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ConfigInvalid(f"cannot poll table {self.table!r}: {problem}")

    def _problems(self) -> list[str]:
        problems = []
        full = self.strategy is Strategy.FULL
        if full and self.column is not None:
            problems.append("'column' is for strategies outbox and keyset")
        if not full and self.column is None:
            problems.append(f"strategy {self.strategy.value} needs 'column', the one that grows")
        if not full and self.key == ():
            problems.append(f"strategy {self.strategy.value} needs a key; full does without")
        if self.strategy is Strategy.OUTBOX and self.deletes is not Deletes.NONE:
            problems.append("rows of an outbox are events: their deletes mean nothing")
        if (self.deletes is Deletes.SOFT) is not (self.deleted_column is not None):
            problems.append("'deletes: soft' and 'deleted_column' go together")
        if self.deleted_value is not None and self.deleted_column is None:
            problems.append("'deleted_value' needs 'deleted_column'")
        if self.zone is not None and not _is_zone(self.zone):
            problems.append(f"{self.zone!r} is no time zone of the IANA database")
        elif self.zone and self.strategy is Strategy.OUTBOX and not _is_steady(self.zone):
            problems.append(
                f"clocks of zone {self.zone!r} go back once a year and would bring rows twice; "
                "order the outbox by its sequence"
            )
        return problems

    @property
    def compares(self) -> bool:
        """Whether all keys are read from time to time."""
        return self.strategy is Strategy.FULL or self.deletes is Deletes.COMPARE


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _is_steady(name: str) -> bool:
    zone = ZoneInfo(name)
    winter, summer = datetime(2026, 1, 1, tzinfo=zone), datetime(2026, 7, 1, tzinfo=zone)
    return winter.utcoffset() == summer.utcoffset()
