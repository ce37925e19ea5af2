"""Any database that SQLAlchemy can talk to, as a source that is asked."""

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, create_engine, event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from adapters.polling.dialects import Dialect
from adapters.polling.inspection import InspectedTable, inspect_tables
from adapters.polling.known_dialects import dialect_for
from adapters.polling.queries import Queries
from bridge.capture.polling.horizon import (
    OVERLAP_EXACT_S,
    OVERLAP_WINDOW_S,
    Moment,
    OpenTransactions,
)
from bridge.capture.polling.plan import TablePlan
from bridge.capture.polling.ports import Page, PolledRow, PolledTable
from bridge.capture.polling.scalars import Scalar
from bridge.model.change import UNSENT, Cell
from bridge.model.errors import BridgeError, ConfigInvalid, SourceUnavailable, SourceUnfit

STATEMENT_TIMEOUT_S_DEFAULT: Final = 30.0
"""A page takes milliseconds; a query that takes this long lacks an index."""

# Many tables with short intervals share one look at the open transactions: an older look only
# settles less. InnoDB renews its list at most ten times a second, and not while it is being read.
_LOOK_AGE_S_MAX: Final = 0.25


class SqlPollSource:
    """A `PollSource` over one SQLAlchemy URL."""

    def __init__(
        self,
        name: str,
        url: str,
        plans: Sequence[TablePlan],
        *,
        connections_max: int = 2,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S_DEFAULT,
    ) -> None:
        """Prepare; nothing is connected yet.

        Raises:
            ConfigInvalid: the URL cannot be read, or its driver is not installed.
        """
        self._name = name
        self._plans = tuple(plans)
        self._timeout_s = statement_timeout_s
        self._dialect, self._engine = _engine(name, url, connections_max, statement_timeout_s)
        self._tables: dict[PolledTable, InspectedTable] = {}
        self._latest: dict[PolledTable, InspectedTable] = {}
        self._look_lock = threading.Lock()
        self._open: OpenTransactions | None = None
        self._looked_at = 0.0
        self._look: tuple[datetime, datetime | None, bool] | None = None

    @property
    def system(self) -> str:
        """What kind of database it is."""
        return self._dialect.name

    def tables(self) -> tuple[PolledTable, ...]:
        """Look at all planned tables."""
        with self._connected("look at its tables") as connection:
            found = inspect_tables(connection, self._dialect, self._plans)
        # Runs that began before a table was altered go on with what they know of it.
        former = {table: one for table, one in self._tables.items() if table in self._latest}
        self._latest = {table.polled: table for table in found}
        self._tables = {**former, **self._latest}
        return tuple(table.polled for table in found)

    def moment(self, table: PolledTable, settled: datetime | None) -> Moment:
        """Return the clock and the settled time."""
        inspected = self._tables[table]
        with self._look_lock, self._connected("read its clock") as connection:
            clock, known, exact = self._looked(connection, settled)
            value = self._dialect.column_horizon(
                connection, inspected.column_kind, inspected.column_oid
            )
        return Moment(clock, known, exact, value)

    def _looked(
        self, connection: Connection, settled: datetime | None
    ) -> tuple[datetime, datetime | None, bool]:
        age_s = time.monotonic() - self._looked_at
        if self._look is not None and age_s < _LOOK_AGE_S_MAX:
            return self._look
        started = time.monotonic()
        clock = self._dialect.clock(connection)
        if self._dialect.commits_in_order:
            self._look = (clock, clock, True)
        else:
            first = self._open is None
            found = self._dialect.open_transactions(connection, first=first and settled is None)
            if found is None:
                self._look = (clock, clock, False)
            else:
                self._open = self._open or OpenTransactions(settled)
                self._look = (clock, self._open.settle(clock, found), True)
        self._looked_at = started
        return self._look

    def overlap_s(self, table: PolledTable, moment: Moment) -> float:
        """Return how far a run reads back behind the settled time."""
        if table.plan.overlap_s is not None:
            return table.plan.overlap_s
        return OVERLAP_EXACT_S if moment.exact else OVERLAP_WINDOW_S

    def page(
        self,
        table: PolledTable,
        lower: Scalar | None,
        after: tuple[Scalar, ...] | None,
        rows_max: int,
    ) -> Page:
        """Return rows by order column and key."""
        inspected = self._tables[table]
        queries = Queries(self._dialect, inspected)
        return self._read(inspected, queries.page(lower, after, rows_max), rows_max)

    def chunk(self, table: PolledTable, after: tuple[Scalar, ...] | None, rows_max: int) -> Page:
        """Return rows by key."""
        inspected = self._tables[table]
        return self._read(
            inspected, Queries(self._dialect, inspected).chunk(after, rows_max), rows_max
        )

    def key_chunk(
        self, table: PolledTable, after: tuple[Scalar, ...] | None, rows_max: int
    ) -> Page:
        """As `chunk`, but the key columns only."""
        inspected = self._tables[table]
        query = Queries(self._dialect, inspected).chunk(after, rows_max, keys_only=True)
        return self._read(inspected, query, rows_max, keys_only=True)

    def every_row(self, table: PolledTable, rows_max: int) -> Generator[Page, None, None]:
        """Yield all rows from one transaction."""
        inspected = self._tables[table]
        queries = Queries(self._dialect, inspected)
        started = time.monotonic()
        with self._connected(f"read table {table.name!r}") as connection:
            # All rows are as the first query of the transaction sees them: the clock comes after.
            connection.execute(queries.first_row()).all()
            clock = self._dialect.clock(connection)
            result = connection.execution_options(stream_results=True).execute(queries.every_row())
            rows: list[PolledRow] = []
            for one in result.yield_per(rows_max):
                if len(rows) == rows_max:
                    yield Page(rows, clock, time.monotonic() - started, last=False)
                    rows = []
                rows.append(_row(inspected, tuple(one), keys_only=False))
            yield Page(rows, clock, time.monotonic() - started, last=True)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _read(
        self,
        inspected: InspectedTable,
        query: Select[Any],
        rows_max: int,
        *,
        keys_only: bool = False,
    ) -> Page:
        started = time.monotonic()
        with self._connected(f"read table {inspected.polled.name!r}") as connection:
            found = connection.execute(query).all()
            clock = self._dialect.clock(connection)
        took_s = time.monotonic() - started
        rows = [_row(inspected, tuple(one), keys_only=keys_only) for one in found]
        return Page(rows, clock, took_s, last=len(rows) < rows_max)

    @contextmanager
    def _connected(self, what: str) -> Iterator[Connection]:
        """Give a connection in a transaction that is rolled back: it only reads."""
        try:
            with self._engine.connect() as connection:
                yield connection
                connection.rollback()
        except SQLAlchemyError as exc:
            raise self._explained(what, exc) from None  # The cause quotes the query's values.

    def _explained(self, what: str, exc: SQLAlchemyError) -> BridgeError:
        begin = f"cannot {what} in source {self._name!r}"
        original = exc.orig if isinstance(exc, DBAPIError) else None
        if original is None:
            return SourceUnavailable(f"{begin}: {type(exc).__name__}; it is tried again")
        code = _code(original)
        missing = self._dialect.unfit(original)
        if missing is not None:
            return SourceUnfit(f"{begin}: {missing} (error {code}); see docs/polling.md")
        return SourceUnavailable(
            f"{begin}: {type(original).__name__} (error {code}); it is tried again"
        )


def _engine(name: str, url: str, connections_max: int, timeout_s: float) -> tuple[Dialect, Engine]:
    failed = f"cannot poll source {name!r}"
    try:
        parsed = make_url(url)
        dialect = dialect_for(parsed.get_backend_name())
        engine = create_engine(
            dialect.prepared_url(parsed),
            connect_args=dialect.connect_args(timeout_s),
            poolclass=QueuePool,
            pool_size=connections_max,
            max_overflow=1,  # The look at the tables, beside the runs.
            pool_pre_ping=True,
            pool_timeout=timeout_s,
            hide_parameters=True,
        )
    except NoSuchModuleError:
        raise ConfigInvalid(
            f"{failed}: SQLAlchemy knows no dialect of that name; see docs/polling.md"
        ) from None
    except ArgumentError:
        raise ConfigInvalid(
            f"{failed}: its url cannot be read; expected the form "
            "mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None  # The cause would quote the password.
    except ModuleNotFoundError as exc:
        raise ConfigInvalid(
            f"{failed}: the driver {exc.name!r} is not installed; install it beside legacy-bridge"
        ) from exc

    @event.listens_for(engine, "connect")
    def begin_session(connection: Any, record: Any) -> None:
        dialect.begin_session(connection, timeout_s)

    if dialect.begin_sql is not None:
        begin_sql = dialect.begin_sql

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin_sql)

    return dialect, engine


def _row(inspected: InspectedTable, found: tuple[Any, ...], *, keys_only: bool) -> PolledRow:
    """Return a row of a query: its cells, then its order column and key as the driver has them."""
    polled = inspected.polled
    if keys_only:
        cells: list[Cell] = [UNSENT] * len(inspected.columns)
        for place, value in zip(polled.key_cells, found, strict=False):
            cells[place] = inspected.columns[place].render(value)
        return PolledRow(tuple(cells), None, found[len(polled.key_cells) :])
    count = len(inspected.columns)
    rendered = tuple(
        column.render(value) for column, value in zip(inspected.columns, found[:count], strict=True)
    )
    rest = found[count:]
    if polled.ordering is None:
        return PolledRow(rendered, None, rest)
    return PolledRow(rendered, rest[0], rest[1:])


def _code(original: BaseException) -> str:
    """Return the driver's number or name of the error; its text may quote values."""
    first = original.args[0] if original.args else None
    if isinstance(first, int):
        return str(first)
    state = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorname", None)
    return str(state) if state else "without a number"
