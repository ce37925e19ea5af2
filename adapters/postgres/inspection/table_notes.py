"""What capture of a table means: which image an event has, what is left out, what it costs."""

from collections.abc import Iterator, Mapping
from typing import Final

from adapters.postgres.catalog import quoted_table
from adapters.postgres.publication_catalog import PublishedTable
from adapters.postgres.table_catalog import CatalogTable, Publishable, TableColumn
from bridge.capture.findings import Finding, Level

# Bytes of WAL on PostgreSQL 15; docs/databases.md has the whole table.
FULL_COST: Final = (
    "FULL writes the whole old row into the WAL with each UPDATE and DELETE, values outside the "
    "row too; measured for an UPDATE: 2,150 instead of 1,180 bytes for a row of 1 KB, 5,267 "
    "instead of 235 for one with 5 KB outside the row"
)

_COLUMNS_TOLD_MAX: Final = 8


def table_notes(
    table: CatalogTable,
    published: PublishedTable | None,
    mapped: frozenset[str] | None,
    version: int,
) -> Iterator[Finding]:
    """Judge a table that can be captured; `mapped` are the columns that its contract uses."""
    yield _identity(table)
    yield from _keys(table)
    yield from _toast(table)
    yield from _generated(table, mapped, version)
    yield from _partitions(table)
    yield from _lists(table, published, mapped)
    strange = [column for column in table.columns if not column.plain]
    if strange:
        yield _notice(
            table,
            "types",
            f"{_named(strange, types=True)}: of a type that does not come with the server",
            "its values are delivered as the server's text, with the type's name",
        )
    if table.has_children and table.kind == "r":
        yield _notice(
            table,
            "inheritance",
            "other tables inherit from it",
            "their rows are not captured with it; each needs a contract of its own",
        )


def _identity(table: CatalogTable) -> Finding:
    name = quoted_table(table.shape.relation)
    key = ", ".join(sorted(table.identity_columns))
    if table.publishable is not Publishable.ALL:
        return Finding(
            level=Level.WARNING,
            check="replica-identity",
            table=table.name,
            what=f"no usable replica identity ({_why_unusable(table)}): only inserts and truncates "
            "are captured",
            why="with its updates published, the application's own UPDATE and DELETE would fail",
            fix=f"give it a primary key, or name a unique index; else FULL. {FULL_COST}",
            sql=f"ALTER TABLE {name} REPLICA IDENTITY FULL;" if table.kind == "r" else "",
        )
    if table.shape.relation.identity == "f":
        return _notice(
            table,
            "replica-identity",
            "replica identity is FULL: events have the whole old row",
            FULL_COST,
        )
    which = "the primary key" if table.shape.relation.identity == "d" else "a unique index"
    return Finding(
        level=Level.OK,
        check="replica-identity",
        table=table.name,
        what=f"replica identity is {which} ({key}): cheapest, events have no old row but its key",
    )


def _why_unusable(table: CatalogTable) -> str:
    identity = table.shape.relation.identity
    if table.kind == "p" and table.identity_usable:
        unfit = [
            leaf.table for leaf in table.leaves if leaf.kind == "r" and leaf.sends == "nothing"
        ]
        if unfit:
            return f"partition {unfit[0]!r} has none that fits"
        if identity == "i":
            return "partitions do not inherit an index identity"
        return "partitions to come inherit a primary key only, and it has none"
    if identity == "n":
        return "it is NOTHING"
    if identity == "i":
        return "its index was dropped"
    return "its primary key is deferrable" if table.primary_deferrable else "no primary key"


def _keys(table: CatalogTable) -> Iterator[Finding]:
    if not table.shape.key:
        yield _notice(
            table,
            "key",
            "no key",
            "the first reading cannot be cut into pieces by key, and which events are of one row "
            "cannot be told",
        )
        return
    long = [c for c in table.columns if c.name in table.shape.key and c.toastable]
    if long:
        yield _notice(
            table,
            "key",
            f"key {_named(long)} may be long",
            "a key that is stored outside the row is sent with each UPDATE, and reading in the "
            "order of a long key is slow",
        )


def _toast(table: CatalogTable) -> Iterator[Finding]:
    long = [c for c in table.columns if c.toastable and not c.generated]
    if long and table.publishable is Publishable.ALL and table.shape.relation.identity != "f":
        yield _notice(
            table,
            "toast",
            f"{_named(long)} may be stored outside the row",
            "an UPDATE that leaves such a value alone does not send it: the event names it as "
            "unavailable, or has it from our own log; FULL would send it",
        )


def _generated(
    table: CatalogTable, mapped: frozenset[str] | None, version: int
) -> Iterator[Finding]:
    sent = {column.name for column in table.shape.relation.columns}
    absent = [c for c in table.columns if c.generated and c.name not in sent]
    if not absent:
        return
    used = [column for column in absent if mapped is not None and column.name in mapped]
    if used:
        virtual = any(column.generated == "v" for column in used)
        cause = (
            "a virtual column is computed when it is read and is in no WAL"
            if virtual
            else f"PostgreSQL {version // 10_000} does not send it; 18 does"
        )
        yield Finding(
            level=Level.ERROR,
            check="generated-columns",
            table=table.name,
            what=f"the contract maps generated {_named(used)}: {cause}",
            fix="drop it from the mapping, and let the reader compute it",
        )
    else:
        yield _notice(
            table,
            "generated-columns",
            f"generated {_named(absent)} is absent from events",
            "map a stored one and PostgreSQL 18 sends it",
        )


def _partitions(table: CatalogTable) -> Iterator[Finding]:
    moves = (
        "ATTACH and DETACH PARTITION, and TRUNCATE or DROP of a partition, move or remove rows "
        "without an event"
    )
    if table.kind == "p":
        yield _notice(
            table,
            "partitions",
            f"partitioned: changes of its {len(table.leaves)} partitions come under its own name",
            f"{moves}; a partition with a contract of its own comes under its own name instead",
        )
        for leaf in table.leaves:
            if leaf.kind == "f" or leaf.persistence != "p":
                kind = "a foreign table" if leaf.kind == "f" else "unlogged"
                yield Finding(
                    level=Level.WARNING,
                    check="partitions",
                    table=table.name,
                    what=f"partition {leaf.table!r} is {kind}: its changes are not captured",
                )
    elif table.ancestors:
        yield _notice(
            table,
            "partitions",
            f"a partition of {min(table.ancestors)!r}, captured under its own name",
            f"a row that moves to another partition is a delete here; {moves}",
        )


def _lists(
    table: CatalogTable, published: PublishedTable | None, mapped: frozenset[str] | None
) -> Iterator[Finding]:
    if published is None:
        return
    if published.row_filter is not None:
        yield _notice(
            table,
            "row-filter",
            f"the publication sends only rows with {published.row_filter}",
            "an UPDATE that carries a row over the filter's edge arrives as an insert or a delete; "
            "the first reading applies the same filter",
        )
    if published.columns is not None:
        listed = ", ".join(sorted(published.columns))
        yield _notice(
            table,
            "column-list",
            f"the publication sends only columns {listed}",
            "a column that is added to the table is not sent until somebody adds it to the list",
        )
        missing = sorted((mapped or frozenset()) - published.columns)
        if missing:
            yield Finding(
                level=Level.ERROR,
                check="column-list",
                table=table.name,
                what=f"the contract maps {', '.join(map(repr, missing))}, outside the column list",
                fix="add it to the publication's list, or drop it from the mapping",
            )


def _named(columns: list[TableColumn], *, types: bool = False) -> str:
    told = [
        f"{column.name!r} ({column.type_name})" if types else repr(column.name)
        for column in columns[:_COLUMNS_TOLD_MAX]
    ]
    more = len(columns) - len(told)
    word = "column" if len(columns) == 1 else "columns"
    return f"{word} {', '.join(told)}" + (f" and {more} more" if more else "")


def _notice(table: CatalogTable, check: str, what: str, why: str) -> Finding:
    return Finding(level=Level.NOTICE, check=check, table=table.name, what=what, why=why)


def not_captured(large_objects: int | None) -> Mapping[str, str]:
    """Return what logical replication never carries, by check, with what is known of it."""
    count = "" if large_objects is None else f" ({large_objects:,} in this database)"
    return {
        "sequences": "the position of sequences is not captured",
        "large-objects": f"large objects are not captured{count}; their ids in columns are",
        "ddl": "changes of the schema are not captured; they are noticed by their effect",
    }
