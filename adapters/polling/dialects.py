"""What differs from database to database: sessions, clocks, horizons, values, errors.

A dialect that is not here is asked by what SQLAlchemy knows about it, with an overlap window.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, column, text
from sqlalchemy.engine import URL
from sqlalchemy.types import Date, DateTime, TypeEngine

from adapters.polling.rendering import cell
from bridge.capture.polling.horizon import Growth, OpenWork
from bridge.capture.polling.scalars import Scalar
from bridge.model.change import Cell

TEXT_OID: Final = 25
"""PostgreSQL's type `text`: the codec then reads each value strictly, whatever it came from."""


class ReadColumn(NamedTuple):
    """How one column is read."""

    name: str
    expression: ColumnElement[Any]
    """In the SELECT list; gives a text, or what `render` makes one of."""
    render: Callable[[Any], Cell]
    type_oid: int = TEXT_OID
    type_modifier: int = -1


class Dialect:
    """A database of which nothing is known but its SQLAlchemy dialect."""

    system: ClassVar[str] = "sql"
    clock_sql: ClassVar[str] = "SELECT CURRENT_TIMESTAMP"
    begin_sql: ClassVar[str | None] = None
    """What begins a transaction, where the driver leaves that to us."""
    commits_in_order: ClassVar[bool] = False
    """Whether writes become visible in the order in which they were made: one writer at a time."""
    places_are_texts: ClassVar[bool] = False
    """Whether places in a table are the server's texts of keys and times, not drivers' values."""

    def __init__(self, system: str | None = None) -> None:
        self.name = system or self.system

    def prepared_url(self, url: URL) -> URL:
        """Return `url` with the driver that we use, if it names none."""
        return url

    def connect_args(self, timeout_s: float) -> dict[str, Any]:
        """Return what the driver is given to connect."""
        return {}

    def session_sql(self, timeout_s: float) -> Sequence[str]:
        """Return statements that make a new connection read-only, bounded and in UTC."""
        return ()

    def begin_session(self, connection: Any, timeout_s: float) -> None:
        """Set up a new connection of the driver."""
        cursor = connection.cursor()
        try:
            for statement in self.session_sql(timeout_s):
                cursor.execute(statement)
        finally:
            cursor.close()

    def clock(self, connection: Connection) -> datetime:
        """Return the database's clock as an instant."""
        found = connection.execute(text(self.clock_sql)).scalar_one()
        return _instant(found)

    def open_transactions(
        self, connection: Connection, *, first: bool
    ) -> Mapping[str, OpenWork] | None:
        """Return who may have written what is not visible yet; None: the database does not say.

        `first`: nothing is known of them yet, so their start is needed if it can be had.
        """
        return None

    def column_horizon(
        self, connection: Connection, kind: TypeEngine[Any], type_oid: int
    ) -> Scalar | None:
        """Return the value below which all of an order column of this kind is visible."""
        return None

    def growth(self, kind: TypeEngine[Any]) -> Growth:
        """Return what the values of an order column of this kind are."""
        if isinstance(kind, DateTime):
            return Growth.CLOCK if kind.timezone else Growth.LOCAL_CLOCK
        if isinstance(kind, Date):
            return Growth.LOCAL_DATE
        return Growth.SEQUENCE

    def bound(self, value: Scalar) -> Scalar:
        """Return a position as this database compares it with its column."""
        return value

    def read_columns(
        self, connection: Connection, schema: str, table: str, found: Sequence[Mapping[str, Any]]
    ) -> list[ReadColumn]:
        """Return how the columns are read; `found` is what the inspector said."""
        return [self.read_column(one["name"], one["type"]) for one in found]

    def read_column(self, name: str, kind: TypeEngine[Any]) -> ReadColumn:
        """Return how one column is read."""
        return ReadColumn(name, column(name), cell)

    def unfit(self, original: BaseException) -> str | None:
        """Return what is missing (a right, a table), or None when the error may pass."""
        return None


class SqliteDialect(Dialect):
    """SQLite: one writer at a time, so nothing commits behind what was seen."""

    system = "sqlite"
    clock_sql = "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"
    begin_sql = "BEGIN"
    commits_in_order = True

    def begin_session(self, connection: Any, timeout_s: float) -> None:
        # The driver would begin a transaction for a write only: each query would see another state.
        connection.isolation_level = None
        super().begin_session(connection, timeout_s)

    def session_sql(self, timeout_s: float) -> Sequence[str]:
        return ("PRAGMA query_only = ON",)

    def growth(self, kind: TypeEngine[Any]) -> Growth:
        # Whatever a column is called, its values are numbers or texts, in the order of writing.
        return Growth.SEQUENCE

    def unfit(self, original: BaseException) -> str | None:
        said = str(original)
        for sign in ("no such table", "no such column", "file is not a database"):
            if sign in said:
                return sign
        return None


def _instant(found: Any) -> datetime:
    """Return what a database calls its time in UTC."""
    moment = datetime.fromisoformat(found) if isinstance(found, str) else found
    if not isinstance(moment, datetime):
        raise TypeError(f"the database's clock is a {type(found).__name__}")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
