"""What polling asks of a database and of its own memory of the rows."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from bridge.capture.polling.horizon import Moment, Ordering
from bridge.capture.polling.plan import TablePlan
from bridge.capture.polling.scalars import Scalar
from bridge.model.change import Relation, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class PolledTable:
    """A table as its database describes it now, with how it is polled."""

    plan: TablePlan
    relation: Relation
    """Its columns are those that are read; those of the key are marked."""
    key: tuple[str, ...]
    """Columns that identify a row; empty for a table without any."""
    ordering: Ordering | None
    """What the values of the plan's column mean; None without one."""
    key_cells: tuple[int, ...]
    """Places of the key columns among the relation's."""
    deleted_cell: int | None
    """Place of the column that marks deleted rows."""

    @property
    def name(self) -> str:
        """`schema.table`."""
        return self.plan.table


class PolledRow(NamedTuple):
    """One row, in texts for its contract and in the driver's values for the next query."""

    cells: Row
    value: Scalar | None
    """Of the order column; None without one."""
    key: tuple[Scalar, ...]


class Page(NamedTuple):
    """Rows that one transaction read, in the order of the query."""

    rows: list[PolledRow]
    clock: datetime
    """The database's clock after the last row was read (aware, UTC)."""
    took_s: float
    last: bool
    """Whether there was nothing behind it."""


class PollSource(Protocol):
    """A database that is asked. Any thread may call; each call uses a connection of its own.

    Every call raises `SourceUnavailable` when the database cannot be reached or gives up on a
    query, and `SourceUnfit` when a table, a column or a right is missing.
    """

    @property
    def system(self) -> str:
        """What kind of database it is, e.g. `mariadb`."""

    def tables(self) -> tuple[PolledTable, ...]:
        """Look at all planned tables; names every problem of one at once."""

    def moment(self, table: PolledTable, settled: datetime | None) -> Moment:
        """Return the clock and the settled time; call it before the rows are read.

        `settled` is that of an earlier process: no transaction that it left open is older.
        """

    def overlap_s(self, table: PolledTable, moment: Moment) -> float:
        """Return how far a run reads back behind the settled time."""

    def page(
        self,
        table: PolledTable,
        lower: Scalar | None,
        after: tuple[Scalar, ...] | None,
        rows_max: int,
    ) -> Page:
        """Return rows by order column and key: from `lower` on, behind `after` (both inclusive
        of nothing that is NULL in the order column)."""

    def chunk(self, table: PolledTable, after: tuple[Scalar, ...] | None, rows_max: int) -> Page:
        """Return rows by key, behind key `after`."""

    def key_chunk(
        self, table: PolledTable, after: tuple[Scalar, ...] | None, rows_max: int
    ) -> Page:
        """As `chunk`, but read the key columns only; all other cells are not sent."""

    def every_row(self, table: PolledTable, rows_max: int) -> Generator[Page, None, None]:
        """Yield all rows of a table without a key, from one transaction, in any order."""

    def close(self) -> None:
        """Close all connections."""


class KnownRow(NamedTuple):
    """What we remember of a row."""

    digest: bytes
    """Of its cells as they were when it was last reported."""
    seen: int
    """The last scan that met it."""
    missed: bool
    """Whether the last whole scan did not meet it."""


class ScanMark(NamedTuple):
    """How far a scan over a whole table has come."""

    number: int
    after: tuple[Scalar, ...] | None
    finished: bool


@dataclass(slots=True)
class RowMarks:
    """What becomes known about rows of one table, together."""

    table: str
    scan: int
    """The number that met rows are marked with."""
    reported: list[tuple[str, bytes]] = field(default_factory=list)
    """Key and digest of rows that an event tells about."""
    met: list[str] = field(default_factory=list)
    """Keys of rows that are as we know them."""
    removed: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """Keys that a whole scan did not meet."""
    mark: ScanMark | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to remember."""
        return bool(self.reported or self.met or self.removed or self.missed or self.mark)


class PollMemory(Protocol):
    """What is known about the rows of one source: a digest per row, nothing of its values but the
    key.

    It and the event log are two stores. So what an append makes known is first *staged* under the
    cursor version that the append moves to, and taken over when the log turns out to be there.
    """

    def stage(self, version: int, marks: Sequence[RowMarks]) -> None:
        """Keep `marks` durably for when the log's cursor is at `version`."""

    def settle(self, version: int) -> None:
        """Take over what is staged under `version`, or forget it if it is staged under the next.

        Raises:
            LogCorrupt: this memory belongs to another state of the log.
        """

    def note(self, marks: RowMarks) -> None:
        """Remember what no event tells about: rows met or missed, the place of a scan."""

    def known(self, table: str, keys: Sequence[str]) -> dict[str, KnownRow]:
        """Return what is known about these rows."""

    def scan(self, table: str) -> ScanMark:
        """Return the table's last scan; number 0 before the first."""

    def unmet(
        self, table: str, scan: int, after: str, count_max: int
    ) -> list[tuple[str, KnownRow]]:
        """Return rows behind key `after` that no scan from `scan` on met, in key order."""

    def forget_unmet(self, table: str, scan: int) -> None:
        """Forget all rows that no scan from `scan` on met."""

    def close(self) -> None:
        """Release the store."""
