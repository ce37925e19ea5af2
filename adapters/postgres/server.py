"""Connections to one legacy PostgreSQL database, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.postgres.refusal import read_refusal
from adapters.postgres.sql_ascii import receive_as_stored
from adapters.postgres.sqlstates import meaning
from bridge.model.errors import BridgeError, ConfigInvalid, SourceUnavailable, SourceUnfit

# A role, a database or the server may set any of these; each would change the text of replicated
# values, or end our long reads. `row_security=off` turns silently missing rows into an error.
_PINNED: Final = {
    "datestyle": "ISO",
    "intervalstyle": "iso_8601",
    "timezone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    # Names of tables, types and functions are values too (regclass and its like).
    "search_path": "pg_catalog",
    "quote_all_identifiers": "off",
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}

# Bounds how long creating a slot, or reading a table that is being altered, may wait.
LOCK_TIMEOUT_MS_DEFAULT: Final = 10_000

# A dead peer is noticed after about 10 + 3 x 5 s, data unanswered after 30 s.
_TCP_DEFAULTS: Final = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


class PostgresServer:
    """Opens connections with pinned settings; one object per configured source."""

    def __init__(
        self, dsn: str, *, application_name: str, lock_timeout_ms: int = LOCK_TIMEOUT_MS_DEFAULT
    ) -> None:
        """Raises `ConfigInvalid` when `dsn` is not a libpq connection string."""
        try:
            given = conninfo_to_dict(dsn)
        except psycopg.ProgrammingError:
            # No cause attached: its message quotes the string, which may hold a password.
            raise ConfigInvalid(
                "cannot read the DSN of a source: it is not a libpq connection string such as "
                "'postgresql://user@host:5432/database'"
            ) from None
        pinned = {**_PINNED, "lock_timeout": str(lock_timeout_ms)}
        options = " ".join(f"-c {name}={value}" for name, value in pinned.items())
        parameters = {
            **_TCP_DEFAULTS,
            "application_name": application_name,
            **given,
            "options": f"{given.get('options') or ''} {options}".strip(),
            "client_encoding": "UTF8",
        }
        self._conninfo = make_conninfo("", **parameters)
        self.application_name = str(parameters["application_name"])
        """What our sessions are called in `pg_stat_activity`."""
        host = given.get("host") or given.get("hostaddr") or "localhost"
        self.place = f"{host}:{given.get('port') or 5432}"
        """`host:port`, for messages."""

    def connect(self) -> psycopg.Connection:
        """Open a connection for queries, in autocommit mode."""
        with self._refusals("connect to"):
            connection = psycopg.connect(self._conninfo, autocommit=True)
            receive_as_stored(connection)
            return connection

    def connect_replication(self) -> psycopg.Connection:
        """Open a connection that takes replication commands (simple protocol only)."""
        with self._refusals("open a replication connection to"):
            connection = psycopg.connect(
                self._conninfo, autocommit=True, replication="database", prepare_threshold=None
            )
            receive_as_stored(connection)
            return connection

    @contextmanager
    def _refusals(self, doing: str) -> Iterator[None]:
        """Tell a server that refuses us (`SourceUnfit`) from one that is not there."""
        try:
            yield
        except psycopg.Error as exc:
            refusal = read_refusal(exc, self._conninfo)
            raise self.translate(exc, doing, state=refusal.state, advice=refusal.advice) from exc

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Turn driver errors inside into `SourceUnavailable` or `SourceUnfit`."""
        try:
            yield
        except psycopg.Error as exc:
            raise self.translate(exc, doing) from exc

    def translate(
        self,
        error: psycopg.Error,
        doing: str,
        *,
        state: str | None = None,
        advice: str = "",
        starting: bool = False,
    ) -> BridgeError:
        """Return what `error` means for us; its message holds no value of a row.

        `state` is its SQLSTATE where the driver does not know it, `advice` the next step where
        more is known than the table of states says; `starting`: it was said to the start of the
        stream.
        """
        state = state or error.sqlstate or ""
        what = f"cannot {doing} source database at {self.place}"
        # Class 22 ("data exception") quotes the offending value.
        why = "bad data" if state.startswith("22") else _first_line(error)
        suffix = f" (SQLSTATE {state})" if state else ""
        means = meaning(state, starting=starting)
        next_step = advice or means.advice
        text = f"{what}: {why}{suffix}" + (f"; {next_step}" if next_step else "")
        return SourceUnavailable(text) if means.retry else SourceUnfit(text)


def _first_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error)
    return text.strip().split("\n", 1)[0] or type(error).__name__
