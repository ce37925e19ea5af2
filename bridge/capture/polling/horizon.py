"""How far back a run must read so that no commit slips between two runs. Pure.

A transaction stamps its rows when it writes and shows them when it commits: whoever reads only what
is above the last stamp misses those that commit late. So each run first learns its *settled* time:
every transaction that the run cannot see started at or after it, by the database's own clock. Rows
stamped before that time are complete, and the next run starts there.

Where the database lists its open transactions (InnoDB, PostgreSQL), settled is exact: the list is
read before the rows, and a transaction that is on it for the first time started after the list was
read last. Elsewhere a window stands for it: `overlap_s` is then the longest transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from bridge.capture.polling.scalars import Scalar

OVERLAP_EXACT_S: Final = 2.0
"""Behind an exact horizon: InnoDB's list may be 0.1 s old, and a statement's time is taken a little
before its transaction is on the list."""
OVERLAP_WINDOW_S: Final = 60.0
"""Without a horizon: longer than any transaction of an interactive application should be."""

MARKS_MAX: Final = 64
"""A sequence remembers so many runs: a transaction older than all of them only costs rereading."""


class Growth(Enum):
    """What the values of an order column are."""

    CLOCK = "clock"  # Instants: the column knows its zone.
    LOCAL_CLOCK = "local_clock"  # Local times in the plan's zone.
    LOCAL_DATE = "local_date"  # Days in the plan's zone.
    SEQUENCE = "sequence"  # Numbers handed out in order, or anything else that only grows.


class Moment(NamedTuple):
    """What is known before a run reads its first row."""

    clock: datetime
    """The database's clock (aware, UTC)."""
    settled: datetime | None
    """Every transaction that a later read does not see started at or after it; None: unknown,
    because one was open already when we first looked."""
    exact: bool
    """Whether open transactions were looked at; if not, `settled` is only the clock."""
    value: Scalar | None = None
    """The same in the column's own values, where a dialect has it: below it all is visible."""


class Mark(NamedTuple):
    """The highest value of a sequence that a run saw, and the clock after it."""

    clock: datetime
    value: Scalar


class OpenWork(NamedTuple):
    """A transaction, or a statement that may become one, as the database lists it."""

    started: datetime | None = None
    """When it started, or a little before; None when the database does not say."""
    session: str = ""
    is_statement: bool = False
    """A statement: while it waits for a lock its clock stands still, and its session may not be in
    a transaction yet, or in one that gets another name when it writes."""
    is_renamed: bool = False
    """It was listed under another name before (a prepared transaction has left its session)."""


class OpenTransactions:
    """Remembers since when transactions are open, by the clock of our own looks."""

    def __init__(self, floor: datetime | None) -> None:
        """`floor`: no transaction that the first look finds open started before it; None when that
        is not known."""
        self._floor = self._settled = floor
        self._known: dict[str, tuple[OpenWork, datetime | None]] = {}

    def settle(self, clock: datetime, found: Mapping[str, OpenWork]) -> datetime | None:
        """Return the settled time of a look that found this open; `clock` was read before it.

        None: something was open already at our first look and still is.
        """
        waited = {work.session: bound for work, bound in self._known.values() if work.is_statement}
        known = {}
        for name, work in found.items():
            if name in self._known:
                bound = self._known[name][1]
            elif work.is_renamed:
                bound = self._settled
            elif work.session in waited and not work.is_statement:
                bound = waited[work.session]
            else:
                bound = self._floor or work.started
            known[name] = (work, bound)
        self._known, self._floor = known, clock
        bounds = [bound for _, bound in known.values()]
        told = [bound for bound in bounds if bound is not None]
        self._settled = min([clock, *told]) if len(told) == len(bounds) else None
        return self._settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """What the order column's values mean."""

    growth: Growth
    zone: str = "UTC"

    def instant(self, value: Scalar | None) -> datetime | None:
        """Return when a row with this value was stamped, None for a sequence."""
        if self.growth is Growth.SEQUENCE or value is None:
            return None
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                return None  # `infinity`, or a zero date.
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        if not isinstance(value, datetime):
            return None
        if value.tzinfo is not None:
            return value.astimezone(UTC)
        zone = UTC if self.growth is Growth.CLOCK else ZoneInfo(self.zone)
        return value.replace(tzinfo=zone).astimezone(UTC)

    def stamp(self, settled: datetime, clock: datetime) -> tuple[Scalar, bool]:
        """Return the lowest value that is stamped between `settled` and `clock`.

        And whether clocks went back between the two, so that it may be lower than an earlier one.
        Whole seconds: columns without fractions cut them off.
        """
        settled = settled.replace(microsecond=0)
        if self.growth is Growth.CLOCK:
            return settled, False
        zone = ZoneInfo(self.zone)
        local, now = settled.astimezone(zone), clock.astimezone(zone)
        # When clocks went back since, the second pass of the hour has lower stamps.
        back = (local.utcoffset() or timedelta()) - (now.utcoffset() or timedelta())
        wall = local.replace(tzinfo=None) - max(back, timedelta())
        return (wall.date() if self.growth is Growth.LOCAL_DATE else wall), back > timedelta()


def next_lower(
    ordering: Ordering,
    lower: Scalar | None,
    moment: Moment,
    marks: tuple[Mark, ...],
    overlap_s: float,
) -> Scalar | None:
    """Return where the next run starts: at or above the value, where nothing below is missing.

    `lower` is where this run started; `marks` are those of earlier runs and of this one. Never
    lower than `lower`, but for local times when clocks go back.
    """
    if moment.value is not None:
        return moment.value
    if moment.settled is None:
        return lower
    settled = moment.settled - timedelta(seconds=overlap_s)
    if ordering.growth is not Growth.SEQUENCE:
        value, went_back = ordering.stamp(settled, moment.clock)
        return value if went_back else _higher(lower, value)
    # What was handed out after a run's last look is above all that the run saw.
    passed = [mark.value for mark in marks if mark.clock <= settled]
    return _higher(lower, passed[-1]) if passed else lower


def _higher(lower: Scalar | None, value: Scalar) -> Scalar:
    comparable = lower is not None and type(lower) is type(value)
    return lower if comparable and value < lower else value  # type: ignore[operator,return-value]  # of one type, by which rows are ordered


def with_mark(marks: tuple[Mark, ...], mark: Mark, settled: datetime | None) -> tuple[Mark, ...]:
    """Return `marks` and `mark`, without those that no settled time will ask for again."""
    kept = [*marks, mark]
    if settled is not None:
        passed = [index for index, one in enumerate(kept) if one.clock <= settled]
        kept = kept[passed[-1] if passed else 0 :]
    if len(kept) > MARKS_MAX:
        # The oldest is the one that is certain; of the others every second will do.
        kept = [kept[0], *kept[1:-1:2], kept[-1]]
    return tuple(kept)


def lateness_s(
    ordering: Ordering, value: Scalar | None, looked_at: datetime | None, marks: tuple[Mark, ...]
) -> float:
    """Return how long a row that is new to us was stamped, at least, before it could be seen.

    `looked_at` is when the run before began to look; it had not shown itself then.
    """
    if looked_at is None or value is None:
        return 0.0
    stamped = ordering.instant(value)
    if ordering.growth is Growth.SEQUENCE:
        above = [m.clock for m in marks if type(m.value) is type(value) and not m.value < value]  # type: ignore[operator]  # of one type, and rows were ordered by it
        stamped = above[0] if above else None
    if stamped is None:
        return 0.0
    return max(0.0, (looked_at - stamped).total_seconds())
