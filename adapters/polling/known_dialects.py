"""Which dialect a URL means."""

from collections.abc import Callable
from typing import Final

from adapters.polling.dialects import Dialect, SqliteDialect
from adapters.polling.mariadb import MariaDBDialect
from adapters.polling.other_dialects import Db2Dialect, OracleDialect, SqlServerDialect
from adapters.polling.postgresql import PostgresDialect

_KNOWN: Final[dict[str, Callable[[], Dialect]]] = {
    "mysql": MariaDBDialect,
    "mariadb": MariaDBDialect,
    "postgresql": PostgresDialect,
    "sqlite": SqliteDialect,
    "mssql": SqlServerDialect,
    "oracle": OracleDialect,
    "ibm_db_sa": Db2Dialect,
    "db2": Db2Dialect,
}


def dialect_for(backend: str) -> Dialect:
    """Return the dialect of SQLAlchemy's backend name; a plain one when it is not known here."""
    make = _KNOWN.get(backend)
    return Dialect(backend) if make is None else make()
