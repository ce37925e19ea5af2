"""Connections to the write journal in PostgreSQL: each wait has an end, each error an explanation.

The database is the gateway's own, never the legacy one.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg
import psycopg.conninfo
from psycopg.abc import PQGen

from bridge.model.errors import ConfigInvalid, StorageUnavailable
from bridge.storage.journal.ingress_sql import LANE_INDEX
from bridge.storage.journal.postgres_arrays import ByteaArray, ByteaArrayDumper
from bridge.storage.journal.postgres_schema import SCHEMA_LOCK, SCHEMA_VERSION, UPGRADES

T = TypeVar("T")

# As long as a worker waits for the file of an SQLite journal; its client must hear of more.
PATIENCE_S: Final = 2.0

# libpq's least.
_CONNECT_TIMEOUT_S: Final = 2

# A journal's transaction is one round trip or two: whoever lets one lie is cut off or stopped, and
# others must not wait for what it holds.
_LOCK_TIMEOUT_MS: Final = 1_500
_IDLE_IN_TRANSACTION_MS: Final = 2_000


class TimedConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server does not answer within `patience_s`."""

    patience_s: float = PATIENCE_S

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait as the base class does, but not without end."""
        try:
            return super().wait(gen, interval, timeout or self.patience_s)
        except psycopg.errors._WaitTimeout as exc:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"no answer within {timeout or self.patience_s:g} s"
            ) from exc


def connect(dsn: str, *, what: str = "journal", patience_s: float | None = None) -> TimedConnection:
    """Connect; raises `psycopg.Error` when that fails."""
    patience_s = patience_s or PATIENCE_S
    options = (
        # A server may be set to acknowledge commits before they are on disk; we may not.
        f"-c synchronous_commit=on -c lock_timeout={_LOCK_TIMEOUT_MS}"
        f" -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_MS}"
        # Every statement looks up keys, whatever the values and however many. Plans are kept from
        # when the tables were empty, and would read all of them for ever.
        " -c plan_cache_mode=force_generic_plan -c jit=off"
        " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
    )
    connection = TimedConnection.connect(
        dsn,
        autocommit=True,
        connect_timeout=_CONNECT_TIMEOUT_S,
        tcp_user_timeout=int(patience_s * 1000),
        application_name=f"legacy-bridge {what}",
        options=options,
        client_encoding="utf8",
    )
    connection.patience_s = patience_s
    connection.adapters.register_dumper(ByteaArray, ByteaArrayDumper)
    return connection


def make_tables(dsn: str) -> None:
    """Make the schema, or bring it to this version, once over all processes.

    Raises:
        StorageUnavailable: the server cannot be reached or refuses.
        ConfigInvalid: the schema there is of a later version.
    """
    with storage_errors("open the write journal", dsn), connect(dsn) as connection:
        if _version(connection) < SCHEMA_VERSION:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                while (found := _version(connection)) in UPGRADES:
                    connection.execute(UPGRADES[found])
                    connection.execute(
                        "UPDATE bridge_journal.versions SET version = %s", (found + 1,)
                    )
        found = _version(connection)
        if found == SCHEMA_VERSION and not _has_lane_index(connection):
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                connection.execute(LANE_INDEX)
    if found != SCHEMA_VERSION:
        raise ConfigInvalid(
            f"cannot use schema 'bridge_journal': its tables are of version {found}, this gateway "
            f"needs {SCHEMA_VERSION}; run the newer gateway that made it"
        )


def _version(connection: TimedConnection) -> int:
    # `to_regclass` would go on answering from before another process made the tables: it reads no
    # table, and so does not hear of them.
    known = connection.execute(
        "SELECT 1 FROM pg_tables WHERE (schemaname, tablename) = ('bridge_journal', 'versions')"
    ).fetchone()
    if known is None:
        return 0
    row = connection.execute("SELECT version FROM bridge_journal.versions").fetchone()
    assert row is not None, "the table is made with its row"
    return int(row[0])


def _has_lane_index(connection: TimedConnection) -> bool:
    # To ask costs nothing; `IF NOT EXISTS` alone would wait for whoever writes there.
    return (
        connection.execute(
            "SELECT 1 FROM pg_indexes"
            " WHERE (schemaname, indexname) = ('bridge_journal', 'queued_lane')"
        ).fetchone()
        is not None
    )


@contextmanager
def storage_errors(what: str, dsn: str) -> Iterator[None]:
    """Turn the server's and the wire's errors into `StorageUnavailable`."""
    try:
        yield
    except psycopg.Error as exc:
        raise unavailable(what, dsn, exc) from exc


def unavailable(what: str, dsn: str, exc: psycopg.Error) -> StorageUnavailable:
    """Return what a caller of the journal is told about `exc`."""
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    place = f"database {parts.get('dbname')!r} on {parts.get('host')}:{parts.get('port')}"
    # The server's main line only: its details may hold values of a row.
    cause = exc.diag.message_primary or str(exc).strip() or type(exc).__name__
    return StorageUnavailable(f"cannot {what} in {place}: {cause}")


def lock_key(*parts: str) -> int:
    """Return the 64-bit number under which the thing that `parts` name is locked."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
