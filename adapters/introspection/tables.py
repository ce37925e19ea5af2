"""What any database says about its tables, read through SQLAlchemy: nothing is written."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy import URL, Engine, create_engine, inspect, make_url
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.exc import (
    ArgumentError,
    NoSuchModuleError,
    NoSuchTableError,
    SAWarning,
    SQLAlchemyError,
)

from adapters.introspection.types import field_type
from bridge.contracts.drafting.description import ColumnDescription, TableDescription
from bridge.model.errors import BridgeError, ConfigInvalid, SourceUnavailable

# Reflection of a table takes some five queries; more tables than this at once is a mistake, or a
# job for several runs.
TABLES_MAX: Final = 2_000

_CONNECT_TIMEOUT_S: Final = 10


class Introspection:
    """Describes the tables of one database."""

    def __init__(self, address: str) -> None:
        """`address` is a libpq connection string or a SQLAlchemy URL.

        Raises `ConfigInvalid` when it is neither, or its driver is not installed.
        """
        self._engine, self._place = _engine(address)

    def tables(self, schema: str | None) -> list[tuple[str, str]]:
        """Return (schema, table) of all ordinary tables in `schema` (the default when None)."""
        with self._errors("list tables"):
            inspector = inspect(self._engine)
            chosen = schema or self._default_schema(inspector)
            names = sorted(inspector.get_table_names(schema=schema))
        if len(names) > TABLES_MAX:
            raise ConfigInvalid(
                f"cannot draft contracts for {len(names)} tables of {chosen!r} at once: at most "
                f"{TABLES_MAX}; name the tables"
            )
        return [(chosen, name) for name in names]

    def describe(self, tables: Sequence[tuple[str, str]]) -> Iterator[TableDescription]:
        """Yield what the catalog says about each table; raises `ConfigInvalid` for one missing."""
        with self._errors("read the catalog"):
            inspector = inspect(self._engine)
        for schema, table in tables:
            with self._errors(f"describe table {schema}.{table}"):
                yield self._describe(inspector, schema, table)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _describe(self, inspector: Inspector, schema: str, table: str) -> TableDescription:
        try:
            with warnings.catch_warnings():
                # An unknown type is told by us, in the contract itself.
                warnings.simplefilter("ignore", SAWarning)
                columns = inspector.get_columns(table, schema=schema)
            key = inspector.get_pk_constraint(table, schema=schema)["constrained_columns"]
        except NoSuchTableError as exc:
            raise ConfigInvalid(
                f"cannot draft a contract for table {schema}.{table}: {self._place} has none of "
                "this name, or this role may not see it"
            ) from exc
        try:
            comment = inspector.get_table_comment(table, schema=schema)["text"]
        except NotImplementedError:
            comment = None  # SQLite has no comments.
        return TableDescription(
            schema=schema,
            table=table,
            columns=tuple(self._column(column) for column in columns),
            key=tuple(key),
            comment=comment,
        )

    def _column(self, column: ReflectedColumn) -> ColumnDescription:
        tree, limits = field_type(column["type"])
        return ColumnDescription(
            name=column["name"],
            type=tree,
            sql_type=_sql_type(column["type"], self._engine),
            nullable=column["nullable"],
            comment=column.get("comment"),
            limits=limits,
            generated=column.get("computed") is not None,
        )

    def _default_schema(self, inspector: Inspector) -> str:
        return inspector.default_schema_name or "main"

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except BridgeError:
            raise
        except (SQLAlchemyError, psycopg.Error) as exc:
            original = getattr(exc, "orig", None) or exc
            raise SourceUnavailable(
                f"cannot {doing} of {self._place}: {_first_line(original)}"
            ) from None  # Its text may repeat the address.


def _engine(address: str) -> tuple[Engine, str]:
    if re.match(r"^[a-z0-9]+(\+[a-z0-9_]+)?://", address) and not address.startswith(
        ("postgresql://", "postgres://")
    ):
        try:
            url = make_url(address)
            return create_engine(url, connect_args=_connect_arguments(url)), _place(url)
        except (NoSuchModuleError, ModuleNotFoundError) as exc:
            raise ConfigInvalid(
                f"cannot reach the source: its driver is not installed ({exc}); install the "
                "Python package of the driver that the URL names"
            ) from None
        except (ArgumentError, ValueError):
            raise ConfigInvalid(
                "cannot read the address of the source: expected a SQLAlchemy URL such as "
                "'mysql+pymysql://user@host/database'"
            ) from None
    try:
        parts = psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        raise ConfigInvalid(
            "cannot read the address of the source: expected a PostgreSQL connection string or a "
            "SQLAlchemy URL"
        ) from None
    place = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}"

    def connect() -> Any:
        return psycopg.connect(
            address,
            connect_timeout=_CONNECT_TIMEOUT_S,
            application_name="legacy-bridge source add",
            options="-c default_transaction_read_only=on",
        )

    return create_engine("postgresql+psycopg://", creator=connect), place


def _connect_arguments(url: URL) -> dict[str, Any]:
    return {"connect_timeout": _CONNECT_TIMEOUT_S} if url.get_backend_name() == "mysql" else {}


def _place(url: URL) -> str:
    return f"{url.host or url.database or 'database'}" + (f":{url.port}" if url.port else "")


def _sql_type(column: Any, engine: Engine) -> str:
    try:
        text = str(column.compile(dialect=engine.dialect))
    except SQLAlchemyError:
        return type(column).__name__.lower()
    return " ".join(text.split()).lower()


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
