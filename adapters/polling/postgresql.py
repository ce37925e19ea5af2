"""PostgreSQL, asked instead of listened to: where nobody may create a replication slot."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg import Error as PostgresError
from sqlalchemy import Connection, literal_column, text
from sqlalchemy.engine import URL
from sqlalchemy.types import TypeEngine

from adapters.polling.dialects import Dialect, ReadColumn
from adapters.polling.rendering import cell
from bridge.capture.polling.horizon import OpenWork
from bridge.capture.polling.scalars import Scalar

_XID8: Final = 5069

_OPTIONS: Final = {
    # As the snapshots and the stream of the other way of capturing have them.
    "datestyle": "ISO",
    "intervalstyle": "iso_8601",
    "timezone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "default_transaction_isolation": "repeatable\\ read",
    "default_transaction_read_only": "on",
    "lock_timeout": "5000",
    "idle_in_transaction_session_timeout": "60000",
}

# Every role may see who holds the lock on its own virtual transaction; since when, members of
# pg_read_all_stats only. `now()` stands still from BEGIN on, so it does not matter whether a
# transaction has written yet. A prepared one has no session any more. Background processes have no
# user.
_OPEN: Final = """
SELECT l.virtualtransaction, a.xact_start, false
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'virtualxid' AND a.datname = current_database() AND a.usesysid IS NOT NULL
AND l.pid <> pg_backend_pid()
UNION ALL
SELECT 'prepared ' || transaction, NULL, true
FROM pg_prepared_xacts WHERE database = current_database()
"""

_COLUMNS: Final = """
SELECT attname, atttypid::bigint, atttypmod FROM pg_attribute
WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


class PostgresDialect(Dialect):
    """The server renders all values itself; its locks are the horizon, without any right."""

    system = "postgresql"
    clock_sql = "SELECT clock_timestamp()"
    # A driver has no value for `infinity`, and fewer digits of some types.
    places_are_texts = True

    def prepared_url(self, url: URL) -> URL:
        if url.drivername in ("postgresql", "postgres"):
            return url.set(drivername="postgresql+psycopg")
        return url

    def connect_args(self, timeout_s: float) -> dict[str, Any]:
        options = {**_OPTIONS, "statement_timeout": f"{timeout_s * 1000:.0f}"}
        return {
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
            "connect_timeout": 10,
            "application_name": "legacy-bridge polling",
        }

    def open_transactions(
        self, connection: Connection, *, first: bool
    ) -> Mapping[str, OpenWork] | None:
        if connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one():
            return None  # Those of the primary do not show here.
        return {
            str(name): OpenWork(started, is_renamed=prepared)
            for name, started, prepared in connection.execute(text(_OPEN))
        }

    def column_horizon(
        self, connection: Connection, kind: TypeEngine[Any], type_oid: int
    ) -> Scalar | None:
        # A column of the writer's own transaction id needs no clock.
        if type_oid != _XID8:
            return None
        found = connection.execute(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text"))
        return str(found.scalar_one())

    def read_columns(
        self, connection: Connection, schema: str, table: str, found: Sequence[Mapping[str, Any]]
    ) -> list[ReadColumn]:
        name = f"{_quoted(schema)}.{_quoted(table)}"
        catalog = connection.execute(text(_COLUMNS), {"name": name})
        return [self._read(*row) for row in catalog]

    def _read(self, name: str, oid: int, modifier: int) -> ReadColumn:
        # A cast to text would trim char(n) and spell booleans out: `concat` uses the type's own
        # output, as replication does; it makes a text of NULL, though.
        quoted = _quoted(name)
        output = f"CASE WHEN num_nulls({quoted}) = 0 THEN concat({quoted}) END"
        return ReadColumn(name, literal_column(output), cell, oid, modifier)

    def unfit(self, original: BaseException) -> str | None:
        state = original.sqlstate if isinstance(original, PostgresError) else None
        if state is None:
            return None
        known = {
            "42501": "the role lacks a right",
            "42P01": "there is no such table",
            "42703": "there is no such column",
            "3D000": "there is no such database",
            "28P01": "the role name or the password is wrong",
            "28000": "the role may not log in",
        }
        return known.get(state)


def _quoted(name: str) -> str:
    # SQLAlchemy's own would double percent signs, which it does again for the statement.
    return '"' + name.replace('"', '""') + '"'
