"""One look at everything that capture needs in a source: server, slot, publications, tables."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from adapters.postgres.catalog import ServerFacts, Slot, read_server, read_slot
from adapters.postgres.inspection.required import (
    server_problems,
    slot_problems,
    table_problems,
)
from adapters.postgres.publication import (
    NoIdentity,
    Wanted,
    plan_publications,
    publication_names,
    publication_problems,
    slot_step,
)
from adapters.postgres.publication_catalog import Publication, read_publications
from adapters.postgres.table_catalog import CatalogTable, generated_mapped, read_table
from bridge.capture.findings import Finding, SetupStep

_VERSION_GENERATED = 180000


@dataclass(frozen=True, slots=True, kw_only=True)
class Capturing:
    """What is to be captured, and how."""

    slot: str
    publication: str
    tables: tuple[str, ...]
    no_identity: NoIdentity = "insert_only"
    mapped: Mapping[str, frozenset[str]]
    """Columns that contracts use, by table; a table that is not there: not known."""
    failover: bool = True
    """Whether the slot is to survive a failover, where the server can do that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is there now, what is in the way, and what is missing."""

    facts: ServerFacts
    slot: Slot | None
    publications: Mapping[str, Publication]
    tables: Mapping[str, CatalogTable]
    """The captured tables that exist, by name."""
    server_problems: tuple[Finding, ...]
    """What keeps capture from starting: server, role and slot."""
    table_problems: tuple[Finding, ...]
    """What keeps capture from starting: tables, then publications."""
    publication_steps: tuple[SetupStep, ...]
    slot_steps: tuple[SetupStep, ...]

    @property
    def steps(self) -> tuple[SetupStep, ...]:
        """What setting up would run, publications first."""
        return self.publication_steps + self.slot_steps


def look(connection: psycopg.Connection, capturing: Capturing) -> Look:
    """Look at the source; a few plain catalog queries for each table, nothing is locked."""
    facts = read_server(connection)
    slot = read_slot(connection, capturing.slot)
    names = publication_names(capturing.publication)
    publications = read_publications(connection, tuple(names.values()))
    tables = _tables(connection, capturing, facts, publications)
    problems: list[Finding] = []
    unfit = set()
    for name in capturing.tables:
        found = table_problems(
            name, tables.get(name), facts, capturing.no_identity, frozenset(capturing.tables)
        )
        problems += found
        if found:
            unfit.add(name)
    wanted = Wanted(
        facts=facts,
        names=names,
        existing=publications,
        tables={
            name: table
            for name, table in tables.items()
            # What cannot be selected can be published; what is no table cannot.
            if name not in unfit or table.kind in "rp"
        },
        tables_named=frozenset(capturing.tables),
        mapped=capturing.mapped,
        no_identity=capturing.no_identity,
        slot=capturing.slot,
        slot_exists=slot is not None,
    )
    steps = plan_publications(wanted)
    problems += publication_problems(wanted, steps)
    return Look(
        facts=facts,
        slot=slot,
        publications=publications,
        tables=tables,
        server_problems=(
            *server_problems(facts, slot),
            *slot_problems(capturing.slot, slot, facts),
        ),
        table_problems=tuple(problems),
        publication_steps=tuple(steps),
        slot_steps=(
            (slot_step(capturing.slot, facts, failover=capturing.failover),) if slot is None else ()
        ),
    )


def _tables(
    connection: psycopg.Connection,
    capturing: Capturing,
    facts: ServerFacts,
    publications: Mapping[str, Publication],
) -> dict[str, CatalogTable]:
    tables = {}
    for name in capturing.tables:
        holders = [p for p in publications.values() if name in p.published]
        listed = holders[0].published[name] if holders else None
        table = read_table(
            connection,
            name,
            columns_listed=listed.columns if listed else None,
            row_filter=listed.row_filter if listed else None,
            generated_sent=any(holder.generated for holder in holders),
        )
        if table is not None:
            tables[name] = table
    if facts.version >= _VERSION_GENERATED:
        tables |= _tables_with_generated(connection, capturing, publications, tables)
    return tables


def _tables_with_generated(
    connection: psycopg.Connection,
    capturing: Capturing,
    publications: Mapping[str, Publication],
    tables: Mapping[str, CatalogTable],
) -> dict[str, CatalogTable]:
    """Return the tables that will send generated columns once a publication's option is on.

    A contract that maps one switches it on for all tables of the same publication, except those
    with a column list.
    """
    kinds = {tables[name].publishable for name in generated_mapped(tables, capturing.mapped)}
    again = {}
    for name, table in tables.items():
        listed = any(
            name in publication.published and publication.published[name].columns is not None
            for publication in publications.values()
        )
        if listed or table.publishable not in kinds:
            continue
        found = read_table(connection, name, row_filter=table.shape.row_filter, generated_sent=True)
        if found is not None:
            again[name] = found
    return again
