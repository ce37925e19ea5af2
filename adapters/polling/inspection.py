"""What a database's catalog says about the tables to poll, and whether they can be polled so."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from sqlalchemy import Connection, inspect
from sqlalchemy.engine import Inspector
from sqlalchemy.exc import NoSuchTableError, SAWarning
from sqlalchemy.types import NullType, TypeEngine

from adapters.polling.dialects import TEXT_OID, Dialect, ReadColumn
from bridge.capture.polling.horizon import Growth, Ordering
from bridge.capture.polling.plan import TablePlan
from bridge.capture.polling.ports import PolledTable
from bridge.model.change import Column, Relation
from bridge.model.errors import SourceUnfit

_NAMES_TOLD_MAX: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedTable:
    """A table with what the queries need."""

    polled: PolledTable
    schema: str
    table: str
    columns: tuple[ReadColumn, ...]
    column_kind: TypeEngine[Any]
    """Type of the order column, as SQLAlchemy knows it."""
    column_oid: int
    """And as PostgreSQL does; that of `text` elsewhere."""


def inspect_tables(
    connection: Connection, dialect: Dialect, plans: Sequence[TablePlan]
) -> list[InspectedTable]:
    """Return all planned tables.

    Raises:
        SourceUnfit: names every table that cannot be polled as planned, and why.
    """
    inspector = inspect(connection)
    tables, problems = [], []
    for plan in plans:
        try:
            tables.append(_inspect(connection, inspector, dialect, plan))
        except SourceUnfit as exc:
            problems.append(str(exc))
    if problems:
        raise SourceUnfit("; ".join(problems))
    return tables


def _inspect(
    connection: Connection, inspector: Inspector, dialect: Dialect, plan: TablePlan
) -> InspectedTable:
    schema, _, table = plan.table.partition(".")
    with warnings.catch_warnings():
        # A type that SQLAlchemy does not know is read as text.
        warnings.simplefilter("ignore", SAWarning)
        try:
            found = inspector.get_columns(table, schema=schema)
        except NoSuchTableError:
            found = []
        if not found:
            raise _unfit(plan, "there is no such table, or the user may not see it")
        columns = [
            one
            for one in dialect.read_columns(connection, schema, table, found)
            if one.name not in plan.ignore
        ]
        key = _key(inspector, schema, table, plan)
    kinds: dict[str, TypeEngine[Any]] = {str(one["name"]): one["type"] for one in found}
    places = {one.name: place for place, one in enumerate(columns)}
    _check_names(plan, key, places)
    ordering = _ordering(dialect, plan, kinds)
    return InspectedTable(
        polled=PolledTable(
            plan=plan,
            relation=_relation(schema, table, columns, key),
            key=key,
            ordering=ordering,
            key_cells=tuple(places[name] for name in key) or tuple(range(len(columns))),
            deleted_cell=None if plan.deleted_column is None else places[plan.deleted_column],
        ),
        schema=schema,
        table=table,
        columns=tuple(columns),
        column_kind=NullType() if plan.column is None else kinds[plan.column],
        column_oid=TEXT_OID if plan.column is None else columns[places[plan.column]].type_oid,
    )


def _key(inspector: Inspector, schema: str, table: str, plan: TablePlan) -> tuple[str, ...]:
    """Return the columns that identify a row; each set of them must be unique."""
    primary = tuple(inspector.get_pk_constraint(table, schema=schema)["constrained_columns"])
    if plan.key is None:
        if not primary and plan.column is not None:
            raise _unfit(plan, "it has no primary key; name unique columns as 'key'")
        return primary
    if not plan.key:
        return ()
    unique = [set(primary)] if primary else []
    constraints = inspector.get_unique_constraints(table, schema=schema)
    unique += [set(constraint["column_names"]) for constraint in constraints]
    for index in inspector.get_indexes(table, schema=schema):
        names = index["column_names"]
        if index["unique"] and None not in names:
            unique.append({str(name) for name in names})
    # A view has none; there the rows of each page are compared.
    if unique and not any(one <= set(plan.key) for one in unique):
        raise _unfit(plan, f"nothing says that its key {', '.join(plan.key)!r} is unique")
    return plan.key


def _check_names(plan: TablePlan, key: tuple[str, ...], places: dict[str, int]) -> None:
    wanted = [*key, *(name for name in (plan.column, plan.deleted_column) if name is not None)]
    missing = [name for name in wanted if name not in places]
    if missing:
        known = ", ".join(list(places)[:_NAMES_TOLD_MAX])
        raise _unfit(plan, f"it has no column {', '.join(map(repr, missing))}; it has {known}")


def _ordering(
    dialect: Dialect, plan: TablePlan, kinds: dict[str, TypeEngine[Any]]
) -> Ordering | None:
    if plan.column is None:
        return None
    growth = dialect.growth(kinds[plan.column])
    local = growth in (Growth.LOCAL_CLOCK, Growth.LOCAL_DATE)
    if local and plan.zone is None:
        raise _unfit(
            plan,
            f"its column {plan.column!r} holds local times; set 'zone' to the time zone that the "
            "database writes them in (for example UTC, or Asia/Tokyo)",
        )
    if not local and plan.zone is not None:
        raise _unfit(plan, f"its column {plan.column!r} holds no local times: remove 'zone'")
    return Ordering(growth=growth, zone=plan.zone or "UTC")


def _relation(
    schema: str, table: str, columns: Sequence[ReadColumn], key: tuple[str, ...]
) -> Relation:
    return Relation(
        # Only to tell tables apart; no catalog but PostgreSQL's has such numbers.
        oid=crc32(f"{schema}.{table}".encode()),
        schema=schema,
        table=table,
        identity="d" if key else "f",
        columns=tuple(
            Column(
                name=one.name,
                type_oid=one.type_oid,
                type_modifier=one.type_modifier,
                is_key=one.name in key,
            )
            for one in columns
        ),
    )


def _unfit(plan: TablePlan, why: str) -> SourceUnfit:
    return SourceUnfit(f"cannot poll table {plan.table!r}: {why}")
