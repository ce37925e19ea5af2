"""MariaDB and MySQL."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, literal_column, text
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql import column
from sqlalchemy.types import TypeEngine

from adapters.polling.dialects import Dialect, ReadColumn
from adapters.polling.rendering import bit_cell, cell, single_cell, utc_cell
from bridge.capture.polling.horizon import Growth, OpenWork
from bridge.capture.polling.scalars import Scalar

_LOCK_WAIT_S: Final = 5
_CONNECT_S: Final = 10

# Who has written, or runs a statement that may be writing; not who only reads between statements.
# Ids are stable while a transaction is open; one that starts to write gets a new one.
_TRANSACTIONS: Final = """
SELECT CONCAT('t', trx_id), TIMESTAMPDIFF(SECOND, trx_started, NOW()), trx_mysql_thread_id, 0
FROM information_schema.innodb_trx
WHERE trx_mysql_thread_id <> CONNECTION_ID() AND trx_is_read_only = 0
AND (trx_rows_modified > 0 OR trx_query IS NOT NULL OR trx_mysql_thread_id = 0
     OR trx_state <> 'RUNNING')
"""
# A statement's clock stands still from its start on, also while it waits for a lock on a table or
# for the end of a backup, before it is in any transaction. MySQL does not number its statements.
_STATEMENTS: Final = """
SELECT CONCAT('q', id, '/', query_id), time_ms / 1000, id, 1
FROM information_schema.processlist
WHERE command IN ('Query', 'Execute') AND id <> CONNECTION_ID()
"""
_PROCESS_DENIED: Final = 1227

# A start is told in the server's local time, which may be an hour off around a change of clocks.
_START_SLACK_S: Final = 3_600.0

_UNFIT: Final = {
    1044: "the user may not use the database",
    1045: "the user name or the password is wrong",
    1049: "there is no such database",
    1054: "there is no such column",
    1142: "the user may not read the table",
    1143: "the user may not read a column",
    1146: "there is no such table",
    1227: "the user lacks a right",
    1698: "the user may not log in",
}


class MariaDBDialect(Dialect):
    """InnoDB's list of transactions is the horizon, for a user with the right PROCESS."""

    system = "mariadb"
    clock_sql = "SELECT UTC_TIMESTAMP(6)"

    def prepared_url(self, url: URL) -> URL:
        if "+" in url.drivername:
            return url
        return url.set(drivername=f"{url.drivername}+pymysql")

    def connect_args(self, timeout_s: float) -> dict[str, Any]:
        # A server that does not answer at all is given up a little after it should have given up.
        return {"connect_timeout": _CONNECT_S, "read_timeout": timeout_s + _CONNECT_S}

    def begin_session(self, connection: Any, timeout_s: float) -> None:
        # The URL says `mysql` for both.
        cursor = connection.cursor()
        try:
            cursor.execute("SELECT VERSION()")
            self.name = "mariadb" if "mariadb" in str(cursor.fetchone()[0]).lower() else "mysql"
        finally:
            cursor.close()
        super().begin_session(connection, timeout_s)

    def session_sql(self, timeout_s: float) -> Sequence[str]:
        # MySQL counts milliseconds, MariaDB seconds.
        limit = (
            f"SET SESSION max_statement_time = {timeout_s:g}"
            if self.name == "mariadb"
            else f"SET SESSION max_execution_time = {timeout_s * 1000:.0f}"
        )
        return (
            "SET SESSION time_zone = '+00:00'",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SET SESSION TRANSACTION READ ONLY",
            f"SET SESSION lock_wait_timeout = {_LOCK_WAIT_S}",
            limit,
        )

    def open_transactions(
        self, connection: Connection, *, first: bool
    ) -> Mapping[str, OpenWork] | None:
        # Statements come first: one that enters a transaction between the two is in both.
        queries = [_STATEMENTS, _TRANSACTIONS] if self.name == "mariadb" else [_TRANSACTIONS]
        try:
            if first:
                connection.execute(text("SET SESSION time_zone = 'SYSTEM'"))
            rows = [row for query in queries for row in connection.execute(text(query))]
        except OperationalError as exc:
            if exc.orig is None or exc.orig.args[:1] != (_PROCESS_DENIED,):
                raise
            rows = None
        if first:
            connection.execute(text("SET SESSION time_zone = '+00:00'"))
        if rows is None:
            return None
        clock = self.clock(connection)
        return {
            str(name): OpenWork(
                clock - timedelta(seconds=float(age) + _START_SLACK_S) if first else None,
                str(session),
                bool(statement),
            )
            for name, age, session, statement in rows
        }

    def growth(self, kind: TypeEngine[Any]) -> Growth:
        return Growth.CLOCK if isinstance(kind, mysql.TIMESTAMP) else super().growth(kind)

    def bound(self, value: Scalar) -> Scalar:
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC).replace(tzinfo=None)
        return value

    def read_column(self, name: str, kind: TypeEngine[Any]) -> ReadColumn:
        if isinstance(kind, mysql.TIMESTAMP):
            return ReadColumn(name, column(name), utc_cell)
        if isinstance(kind, mysql.BIT):
            return ReadColumn(name, column(name), partial(bit_cell, width=kind.length or 1))
        if isinstance(kind, mysql.FLOAT):
            # As itself it would be sent with six digits.
            exact: ColumnElement[Any] = literal_column(f"({_quoted(name)} * 1E0)")
            return ReadColumn(name, exact, single_cell)
        return ReadColumn(name, column(name), cell)

    def unfit(self, original: BaseException) -> str | None:
        return _UNFIT.get(original.args[0]) if original.args else None


def _quoted(name: str) -> str:
    # SQLAlchemy's own would double percent signs, which it does again for the statement.
    return "`" + name.replace("`", "``") + "`"
