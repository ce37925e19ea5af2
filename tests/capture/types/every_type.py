"""Tables with a column of every type of one server, their contracts, and rows to fill them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml

from tests.capture.types.literals import VALUELESS
from tests.capture.types.server_types import OWN_TYPES, ServerType, ServerTypes
from tests.contracts.samples import DIALECT, write_contract

# A wide table is quick to insert into; a narrow one is quick to look at when a test fails.
_COLUMNS_MAX = 40

_EXTENSIONS = ("citext", "hstore", "ltree")

# What would change the text of values if capture did not pin it.
HOSTILE_SETTINGS = {
    "datestyle": "SQL, DMY",
    "intervalstyle": "postgres_verbose",
    "timezone": "Asia/Kolkata",
    "bytea_output": "escape",
    "extra_float_digits": "-10",
    "quote_all_identifiers": "on",
    "search_path": "pg_catalog, public",
}


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """A column and the type that it shows."""

    name: str
    type: ServerType
    tree: Any
    """Its type as the mapping says it."""
    values: tuple[str, ...]
    """Texts that the server reads as values of the type."""
    copied: str | None
    """Query for the value of a type that no text gives."""

    @property
    def rows(self) -> int:
        """How many rows show all its values."""
        return len(self.values) or 1

    def expression(self, row: int) -> tuple[str, list[str]]:
        """Return the expression of its value in a row, with its parameters."""
        if self.copied is not None:
            return f"({self.copied})", []
        if row >= len(self.values):
            return "null", []
        # The parameter is of the column's type: the type's input function reads it, no cast.
        return f"%s::{self.type.sql}", [self.values[row]]


@dataclass(frozen=True, slots=True)
class TypedTable:
    """One of the tables."""

    name: str
    columns: tuple[TypedColumn, ...]

    def create(self, sql: psycopg.Connection) -> None:
        """Create it."""
        columns = ", ".join(f"{column.name} {column.type.sql}" for column in self.columns)
        sql.execute(f"create table {self.name} (id int primary key, {columns})".encode())

    def fill(self, sql: psycopg.Connection) -> int:
        """Insert all values, and a row of NULLs; return how many rows there are."""
        count = max(column.rows for column in self.columns) + 1
        for row in range(count):
            parts = [column.expression(row) for column in self.columns]
            places = [at for at, (text, _) in enumerate(parts) if text != "null"]
            names = "".join(f", {self.columns[at].name}" for at in places)
            texts = "".join(f", {parts[at][0]}" for at in places)
            parameters = [row, *(value for at in places for value in parts[at][1])]
            statement = f"insert into {self.name} (id{names}) values (%s{texts})"
            sql.execute(statement.encode(), parameters)
        return count

    def write_contract(self, folder: Path, source: str) -> None:
        """Write the contract that maps every column by the name of its type."""
        fields = {
            column.name: {
                "column": column.name,
                **(column.tree if isinstance(column.tree, dict) else {"type": column.tree}),
            }
            for column in self.columns
        }
        number = {"column": "id", "type": "integer"}
        mapping = {
            "subject": f"shop.{self.name.replace('_', '-')}",
            "version": "1.0",
            "source": source,
            "table": f"public.{self.name}",
            "key": ["id"],
            "fields": {"id": number, **fields},
        }
        schema = {
            "$schema": DIALECT,
            "type": "object",
            "required": ["key"],
            "properties": {
                "after": {"type": "object", "properties": {name: {} for name in ["id", *fields]}}
            },
        }
        write_contract(
            folder,
            subject=str(mapping["subject"]),
            schema=schema,
            mapping=yaml.safe_dump(mapping, allow_unicode=True, sort_keys=False),
        )


def make_tables(sql: psycopg.Connection) -> list[TypedTable]:
    """Create types of every kind and a column for each type; return the tables, still empty."""
    for extension in _EXTENSIONS:
        try:
            sql.execute(f"create extension {extension}")
        except psycopg.errors.FeatureNotSupported:
            continue  # Not in this package of the server.
    sql.execute(OWN_TYPES)
    types = ServerTypes(sql)
    columns = list(_columns(sql, types))
    tables = []
    for start in range(0, len(columns), _COLUMNS_MAX):
        name = f"every_type_{start // _COLUMNS_MAX}"
        tables.append(TypedTable(name, tuple(columns[start : start + _COLUMNS_MAX])))
    for table in tables:
        table.create(sql)
    return tables


def _columns(sql: psycopg.Connection, types: ServerTypes) -> Iterator[TypedColumn]:
    sql.execute(
        "create function pg_temp.is_value(candidate text, type_name text) returns boolean"
        " language plpgsql as $$ begin execute format('select %L::%s', candidate, type_name);"
        " return true; exception when others then return false; end $$"
    )
    for number, one in enumerate(types):
        if not types.is_for_columns(one.oid):
            continue
        values = _values(sql, one, types.literals(one.oid))
        copied = None if values else types.copied(one)
        has_values = bool(values) or copied is not None
        assert has_values or one.name in VALUELESS or _is_unsupported(sql, one), one.name
        yield TypedColumn(f"c{number}", one, types.tree(one.oid), values, copied)


def _values(sql: psycopg.Connection, one: ServerType, texts: list[str]) -> tuple[str, ...]:
    rows = sql.execute(
        "select t from unnest(%s::text[]) with ordinality as u(t, n)"
        " where pg_temp.is_value(t, %s) order by n",
        (texts, one.sql),
    ).fetchall()
    return tuple(text for (text,) in rows)


def _is_unsupported(sql: psycopg.Connection, one: ServerType) -> bool:
    try:
        sql.execute(f"select '<a/>'::{one.sql}".encode())
    except psycopg.errors.FeatureNotSupported:
        return True  # xml, in a server that was built without it.
    return False


def set_hostile(sql: psycopg.Connection, database: str, role: str) -> None:
    """Give role and database settings that change how values are printed."""
    for n, (name, value) in enumerate(HOSTILE_SETTINGS.items()):
        target = f'database "{database}"' if n % 2 else f'role "{role}" in database "{database}"'
        sql.execute(f"alter {target} set {name} = {_setting(value)}".encode())


def _setting(value: str) -> str:
    return ", ".join(f"'{part}'" for part in value.split(", "))


def data_of(payload: bytes) -> dict[str, Any]:
    """Return an event's data."""
    data: dict[str, Any] = json.loads(payload)["data"]
    return data
