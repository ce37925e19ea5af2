"""Which publications capture needs, and the SQL between what is there and what is needed.

Two of them: tables whose rows can be told apart publish everything, tables without a usable replica
identity publish inserts and truncates only, because the server would refuse the application's own
UPDATE. Never FOR ALL TABLES, never a whole schema: a table that is created later must not be
published before somebody looked at it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from adapters.postgres.catalog import ServerFacts, quoted, quoted_table
from adapters.postgres.publication_catalog import Publication
from adapters.postgres.slot_creation import FAILOVER_VERSION_MIN
from adapters.postgres.table_catalog import CatalogTable, Publishable, generated_mapped
from bridge.capture.findings import Finding, Level, SetupStep

NoIdentity = Literal["insert_only", "refuse"]
"""What becomes of a table without a usable replica identity."""

INSERT_SUFFIX: Final = "_insert"
"""Ends the name of the publication for tables that publish inserts and truncates only."""

ALL_KINDS: Final = "insert, update, delete, truncate"
INSERT_KINDS: Final = "insert, truncate"
KINDS_STORED: Final = {ALL_KINDS: "(t,t,t,t)", INSERT_KINDS: "(t,f,f,t)"}

_VERSION_GENERATED: Final = 180000


def publication_names(publication: str) -> dict[str, str]:
    """Return the names of both publications by what they publish.

    Both always exist, even without a table: the server decodes old changes with the catalog of
    their time, and fails for good where a publication did not exist yet.
    """
    return {ALL_KINDS: publication, INSERT_KINDS: f"{publication}{INSERT_SUFFIX}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the publications are judged and made by."""

    facts: ServerFacts
    names: Mapping[str, str]
    existing: Mapping[str, Publication]
    tables: Mapping[str, CatalogTable]
    """The captured tables that can be captured, by name."""
    tables_named: frozenset[str]
    """All that have a contract, also those that do not exist or cannot be captured."""
    mapped: Mapping[str, frozenset[str]]
    """Columns that contracts use, by table; a table that is not there: not known."""
    no_identity: NoIdentity
    slot: str
    slot_exists: bool

    def members(self, kinds: str) -> dict[str, CatalogTable]:
        """Return the tables that belong into the publication of `kinds`."""
        fitting = Publishable.ALL if kinds == ALL_KINDS else Publishable.INSERTS
        return {
            name: table
            for name, table in sorted(self.tables.items())
            if table.publishable is fitting
            and (fitting is Publishable.ALL or self.no_identity == "insert_only")
        }


def plan_publications(wanted: Wanted) -> list[SetupStep]:
    """Return the statements that give both publications exactly our tables, in order."""
    steps = []
    # Out of the wrong publication first: a table must never be in both.
    for kinds, name in wanted.names.items():
        existing = wanted.existing.get(name)
        if existing is not None:
            leaving = existing.tables & wanted.tables_named - set(wanted.members(kinds))
            steps += [_drop_table(name, table) for table in sorted(leaving)]
    for kinds, name in wanted.names.items():
        existing = wanted.existing.get(name)
        members = wanted.members(kinds)
        generated = (
            wanted.facts.version >= _VERSION_GENERATED
            and bool(generated_mapped(members, wanted.mapped))
        )  # fmt: skip
        if existing is None:
            steps.append(_create(name, kinds, list(members.values()), generated=generated))
            continue
        if generated and not existing.generated and _sent_by_option(existing, members, wanted):
            steps.append(
                SetupStep(
                    sql=f"ALTER PUBLICATION {quoted(name)} "
                    "SET (publish_generated_columns = stored);",
                    why="a contract maps a stored generated column",
                )
            )
        joining = [table for table in members if table not in existing.tables]
        if joining:
            listed = _listed([members[table] for table in joining])
            steps.append(
                SetupStep(
                    sql=f"ALTER PUBLICATION {quoted(name)} ADD TABLE {listed};",
                    why=f"{_count(joining)} a contract and not published",
                )
            )
    return steps


def publication_problems(wanted: Wanted, steps: Sequence[SetupStep]) -> list[Finding]:
    """Return what keeps capture from using, making or changing its publications."""
    found = [
        problem
        for kinds, name in wanted.names.items()
        for problem in _problems_of(wanted, kinds, name)
    ]
    return found or list(_rights_problems(wanted, steps))


def slot_step(slot: str, facts: ServerFacts, *, failover: bool) -> SetupStep:
    """Return the statement that creates the slot; it waits for open writing transactions."""
    # Without a standby that synchronises slots, a failover slot is like any other; a standby
    # itself may not have one.
    can = facts.version >= FAILOVER_VERSION_MIN and not facts.in_recovery
    option = ", failover => true" if failover and can else ""
    return SetupStep(
        sql=f"SELECT pg_create_logical_replication_slot({_literal(slot)}, 'pgoutput'{option});",
        why="keeps the WAL that capture has not read yet; after the publications, because changes "
        "from before them could not be decoded",
    )


def _problems_of(wanted: Wanted, kinds: str, name: str) -> Iterator[Finding]:
    publication = wanted.existing.get(name)
    if publication is None:
        if wanted.slot_exists:
            yield _problem(
                f"publication {name!r} is gone but slot {wanted.slot!r} is not, and the server "
                "cannot decode changes from before a publication",
                fix="drop the slot and name a new source to read the tables afresh",
            )
        return
    if publication.all_tables or publication.schemas:
        scope = (
            "FOR ALL TABLES"
            if publication.all_tables
            else f"FOR TABLES IN SCHEMA {', '.join(publication.schemas)}"
        )
        yield _problem(
            f"publication {name!r} is {scope}, which makes UPDATE fail on tables without a key",
            fix="drop it, it is then created per table",
            sql=f"DROP PUBLICATION {quoted(name)};",
        )
        return
    if publication.kinds != KINDS_STORED[kinds]:
        yield _problem(
            f"publication {name!r} does not publish exactly {kinds!r}",
            sql=f"ALTER PUBLICATION {quoted(name)} SET (publish = '{kinds}');",
        )
    strangers = sorted(publication.tables - wanted.tables_named)
    if strangers:
        yield _problem(
            f"publication {name!r} has table {strangers[0]!r}, which has no contract",
            fix="add one, or take the table out",
            sql=" ".join(_drop_table(name, table).sql for table in strangers),
        )
    partitioned = [
        table for table in publication.tables if _is_partitioned(wanted.tables.get(table))
    ]
    if partitioned and not publication.via_root:
        yield _problem(
            f"publication {name!r} sends changes of partitioned table {min(partitioned)!r} under "
            "the names of its partitions, which have no contracts",
            sql=f"ALTER PUBLICATION {quoted(name)} SET (publish_via_partition_root = true);",
        )
    yield from _list_problems(wanted, kinds, publication)


def _list_problems(wanted: Wanted, kinds: str, publication: Publication) -> Iterator[Finding]:
    """Column lists and row filters that make the application's UPDATE or DELETE fail."""
    if kinds != ALL_KINDS:
        return
    for name, published in sorted(publication.published.items()):
        table = wanted.tables.get(name)
        if table is None or name not in wanted.members(kinds):
            continue
        identity = table.identity_columns
        if published.columns is not None and (outside := identity - published.columns):
            yield _problem(
                f"the column list of publication {publication.name!r} lacks {_names(outside)} of "
                "the replica identity, so the application's UPDATE and DELETE fail",
                table=name,
                fix="give the whole replica identity a place in the list, or publish all columns",
                sql=_republish(publication.name, table, published.row_filter),
            )
        elif outside := published.filter_columns - identity:
            yield _problem(
                f"the row filter of publication {publication.name!r} uses {_names(outside)}, "
                "outside the replica identity, so the application's UPDATE and DELETE fail",
                table=name,
                fix="filter by columns of the replica identity only, or publish all rows",
                sql=_republish(publication.name, table, None),
            )


def _rights_problems(wanted: Wanted, steps: Sequence[SetupStep]) -> Iterator[Finding]:
    if not steps:
        return
    if wanted.facts.in_recovery:
        yield Finding(
            level=Level.ERROR,
            check="publication-rights",
            what="the server is a standby: its publications are those of its primary",
            fix="let an owner run it on the primary",
            sql=" ".join(step.sql for step in steps),
        )
        return
    changed = [table for table in wanted.tables.values() if not table.may_publish]
    unowned = [
        publication
        for publication in wanted.existing.values()
        if not publication.may_alter and any(quoted(publication.name) in s.sql for s in steps)
    ]
    if unowned:
        lacking = f"ownership of publication {unowned[0].name!r}"
    elif changed:
        lacking = f"ownership of table {changed[0].name!r}"
    elif len(wanted.existing) < len(wanted.names) and not wanted.facts.may_create:
        lacking = f"CREATE on database {wanted.facts.database!r}"
    else:
        return
    yield Finding(
        level=Level.ERROR,
        check="publication-rights",
        what=f"role {wanted.facts.role!r} cannot publish: it lacks {lacking}",
        fix="let an owner set it up (`legacy-bridge source setup`)",
        sql=" ".join(step.sql for step in steps),
    )


def _sent_by_option(
    publication: Publication, members: Mapping[str, CatalogTable], wanted: Wanted
) -> bool:
    """Whether a mapped generated column is sent by the option only: no column list names it."""
    return any(
        name not in publication.published or publication.published[name].columns is None
        for name in generated_mapped(members, wanted.mapped)
    )


def _create(name: str, kinds: str, tables: Sequence[CatalogTable], *, generated: bool) -> SetupStep:
    options = f"publish = '{kinds}', publish_via_partition_root = true"
    if generated:
        options += ", publish_generated_columns = stored"
    listed = f" FOR TABLE {_listed(tables)}" if tables else ""
    whose = "tables whose rows can be told apart" if kinds == ALL_KINDS else "tables without a key"
    return SetupStep(
        sql=f"CREATE PUBLICATION {quoted(name)}{listed} WITH ({options});",
        why=f"says what the slot sends of {whose} ({len(tables)} now)",
    )


def _drop_table(publication: str, table: str) -> SetupStep:
    schema, _, name = table.partition(".")
    return SetupStep(
        sql=f"ALTER PUBLICATION {quoted(publication)} DROP TABLE {quoted(schema)}.{quoted(name)};",
        why=f"table {table!r} does not belong into this publication any more",
    )


def _republish(publication: str, table: CatalogTable, row_filter: str | None) -> str:
    name = quoted_table(table.shape.relation)
    where = f" WHERE ({row_filter})" if row_filter else ""
    return (
        f"ALTER PUBLICATION {quoted(publication)} DROP TABLE {name}; "
        f"ALTER PUBLICATION {quoted(publication)} ADD TABLE {_only(table)}{name}{where};"
    )


def _listed(tables: Sequence[CatalogTable]) -> str:
    return ", ".join(_only(table) + quoted_table(table.shape.relation) for table in tables)


def _only(table: CatalogTable) -> str:
    # Children of an inheritance parent are tables of their own.
    return "" if table.kind == "p" else "ONLY "


def _is_partitioned(table: CatalogTable | None) -> bool:
    return table is not None and table.kind == "p"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _names(columns: frozenset[str]) -> str:
    word = "column" if len(columns) == 1 else "columns"
    return f"{word} {', '.join(repr(name) for name in sorted(columns))}"


def _count(tables: Sequence[str]) -> str:
    return f"table {tables[0]!r} has" if len(tables) == 1 else f"{len(tables)} tables have"


def _problem(what: str, *, table: str | None = None, fix: str = "", sql: str = "") -> Finding:
    return Finding(level=Level.ERROR, check="publication", table=table, what=what, fix=fix, sql=sql)
