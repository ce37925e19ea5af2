"""What capture cannot do without: each problem keeps it from starting, and says how to mend it."""

from collections.abc import Iterator
from typing import Final

from adapters.postgres.catalog import ServerFacts, Slot, quoted, quoted_table
from adapters.postgres.publication import NoIdentity
from adapters.postgres.table_catalog import CatalogTable, Publishable
from bridge.capture.findings import Finding, Level

VERSION_MIN: Final = 140000
VERSION_STANDBY_MIN: Final = 160000

# Our own slot and walsender, and the temporary ones that a run of the snapshot takes.
SLOTS_NEEDED: Final = 2

_KINDS_UNFIT: Final = {
    "v": "a view",
    "m": "a materialised view",
    "f": "a foreign table",
    "S": "a sequence",
    "c": "a composite type",
    "i": "an index",
    "I": "an index",
    "t": "a TOAST table",
}
_PERSISTENCES_UNFIT: Final = {"u": "unlogged", "t": "temporary"}


def server_problems(facts: ServerFacts, slot: Slot | None) -> Iterator[Finding]:
    """Judge the server and our role."""
    if facts.version < VERSION_MIN:
        yield _problem(
            "server-version", f"server version is {facts.version_text}; 14 is the oldest supported"
        )
    if facts.wal_level != "logical":
        yield _problem(
            "wal-level",
            f"wal_level is {facts.wal_level!r}",
            fix="set wal_level = logical and restart the server",
            sql="ALTER SYSTEM SET wal_level = logical;",
        )
    if facts.in_recovery and facts.version < VERSION_STANDBY_MIN:
        yield _problem(
            "standby",
            f"the server is a standby of version {facts.version_text}; a standby can be captured "
            "from PostgreSQL 16 on",
            fix="name the primary in the source's DSN",
        )
    if not facts.may_replicate:
        yield _problem(
            "role-replication",
            f"role {facts.role!r} lacks REPLICATION",
            sql=f"ALTER ROLE {quoted(facts.role)} REPLICATION;",
        )
    needed = SLOTS_NEEDED if slot is None else SLOTS_NEEDED - 1
    if facts.slots_used + needed > facts.slots_max:
        yield _problem(
            "replication-slots",
            f"{facts.slots_used} of {facts.slots_max} replication slots are in use, {needed} "
            "more are needed",
            fix="raise max_replication_slots and restart the server, or drop an unused slot",
        )


def slot_problems(name: str, slot: Slot | None, facts: ServerFacts) -> Iterator[Finding]:
    """Judge whether a slot of our name is ours."""
    if slot is not None and (slot.plugin != "pgoutput" or slot.database != facts.database):
        yield _problem(
            "slot",
            f"slot {name!r} belongs to plugin {slot.plugin!r} on database {slot.database!r}",
            fix="configure another slot name",
        )


def table_problems(
    name: str,
    table: CatalogTable | None,
    facts: ServerFacts,
    no_identity: NoIdentity,
    captured: frozenset[str],
) -> list[Finding]:
    """Return why a table cannot be captured; empty when it can."""
    if table is None:
        return [
            _problem(
                "table",
                f"table {name!r} does not exist",
                table=name,
                fix="correct its contract's mapping",
            )
        ]
    if table.kind not in "rp" or table.persistence != "p" or table.of_system:
        kind = _KINDS_UNFIT.get(table.kind) or _PERSISTENCES_UNFIT.get(table.persistence)
        return [
            _problem(
                "table",
                f"{name!r} is not an ordinary, logged table but {kind or 'one of the system'}; its "
                "changes are not in the WAL",
                table=name,
                fix="correct its contract's mapping, or make it an ordinary table",
            )
        ]
    return [
        *_rights_problems(table, facts),
        *_identity_problems(table, no_identity),
        *_partition_problems(table, captured),
    ]


def _rights_problems(table: CatalogTable, facts: ServerFacts) -> Iterator[Finding]:
    name, role = table.name, quoted(facts.role)
    if not table.may_use_schema:
        schema = table.shape.relation.schema
        yield _problem(
            "table-rights",
            f"no USAGE right on schema {schema!r}",
            table=name,
            sql=f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {role};",
        )
    sent = {column.name for column in table.shape.relation.columns}
    if not table.may_select and not all(c.may_select for c in table.columns if c.name in sent):
        yield _problem(
            "table-rights",
            f"no SELECT right on table {name!r}",
            table=name,
            sql=f"GRANT SELECT ON {quoted_table(table.shape.relation)} TO {role};",
        )
    if table.row_security:
        yield _problem(
            "row-security",
            f"row security of table {name!r} applies to role {facts.role!r}: the first reading "
            "would fail rather than leave rows out, while the stream has them all",
            table=name,
            fix="let the role pass row security",
            sql=f"ALTER ROLE {role} BYPASSRLS;",
        )


def _identity_problems(table: CatalogTable, no_identity: NoIdentity) -> Iterator[Finding]:
    name = quoted_table(table.shape.relation)
    if table.publishable is Publishable.NOTHING:
        yield _problem(
            "replica-identity",
            f"partitioned table {table.name!r} has REPLICA IDENTITY FULL, which partitions do not "
            "inherit: the key that a new one sends would pass for a full row with nulls",
            table=table.name,
            fix="take the parent's key as identity; for full old rows, give its partitions FULL "
            "and contracts of their own",
            sql=f"ALTER TABLE {name} REPLICA IDENTITY DEFAULT;",
        )
    elif table.publishable is Publishable.INSERTS and no_identity == "refuse":
        yield _problem(
            "replica-identity",
            f"table {table.name!r} has no usable replica identity, and no_identity is 'refuse'",
            table=table.name,
            fix="give it a primary key or a replica identity, or set no_identity to insert_only",
        )


def _partition_problems(table: CatalogTable, captured: frozenset[str]) -> Iterator[Finding]:
    both = sorted(table.ancestors & captured)
    if both:
        yield _problem(
            "partitions",
            f"partition {table.name!r} and its parent {both[0]!r} both have a contract; the server "
            "sends a change once, under the parent's name",
            table=table.name,
            fix="keep one contract: the parent's, or those of the partitions",
        )


def _problem(
    check: str, what: str, *, table: str | None = None, fix: str = "", sql: str = ""
) -> Finding:
    return Finding(level=Level.ERROR, check=check, table=table, what=what, fix=fix, sql=sql)
