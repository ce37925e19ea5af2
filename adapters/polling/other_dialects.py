"""Oracle, SQL Server and Db2: written from their manuals, run on none of them.

Each needs its driver (`oracledb`, `pyodbc`, `ibm_db_sa`). What is not known to hold is left to the
overlap window, which every database has.
"""

from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.types import TypeEngine

from adapters.polling.dialects import Dialect
from bridge.capture.polling.scalars import Scalar


class SqlServerDialect(Dialect):
    """A `rowversion` column has an exact horizon; any other column a window."""

    system = "sqlserver"
    clock_sql = "SELECT SYSUTCDATETIME()"

    def column_horizon(
        self, connection: Connection, kind: TypeEngine[Any], type_oid: int
    ) -> Scalar | None:
        if type(kind).__name__ not in ("TIMESTAMP", "ROWVERSION"):
            return None
        found = connection.execute(text("SELECT CAST(MIN_ACTIVE_ROWVERSION() AS BINARY(8))"))
        return bytes(found.scalar_one())


class OracleDialect(Dialect):
    """Sessions in UTC, so that `SYSTIMESTAMP` columns compare; a window for every column."""

    system = "oracle"
    clock_sql = "SELECT SYS_EXTRACT_UTC(SYSTIMESTAMP) FROM DUAL"

    def session_sql(self, timeout_s: float) -> tuple[str, ...]:
        return ("ALTER SESSION SET TIME_ZONE = '+00:00'",)


class Db2Dialect(Dialect):
    """A window for every column."""

    system = "db2"
    clock_sql = "SELECT CURRENT TIMESTAMP - CURRENT TIMEZONE FROM SYSIBM.SYSDUMMY1"
