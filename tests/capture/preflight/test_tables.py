"""Whatever shape a table has, capture never makes the application's own statements fail."""

import re
from pathlib import Path

import psycopg
import pytest

from bridge.capture.findings import Level
from bridge.model.errors import SourceUnfit
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.preflight.looking import checks, found, inspect, set_up
from tests.capture.running import await_position, await_streaming, capturing, events_of, make_source
from tests.conftest import Database

# name → how it is made, whether its updates can be published, and what doctor says of its identity.
TABLES = {
    "plain": ("create table plain (id int primary key, n int)", True, "the primary key"),
    "late": (
        "create table late (id int primary key deferrable, n int)",
        False,
        "its primary key is deferrable",
    ),
    "keyless": ("create table keyless (id int, n int)", False, "no primary key"),
    "unique_only": ("create table unique_only (id int unique, n int)", False, "no primary key"),
    "nothing": (
        (
            "create table nothing (id int primary key, n int);"
            " alter table nothing replica identity nothing"
        ),
        False,
        "it is NOTHING",
    ),
    "full_row": (
        "create table full_row (id int, n int); alter table full_row replica identity full",
        True,
        "FULL",
    ),
    "by_index": (
        (
            "create table by_index (id int not null unique, n int);"
            " alter table by_index replica identity using index by_index_id_key"
        ),
        True,
        "a unique index",
    ),
    "index_gone": (
        (
            "create table index_gone (id int not null unique, n int);"
            " alter table index_gone replica identity using index index_gone_id_key;"
            " alter table index_gone drop constraint index_gone_id_key"
        ),
        False,
        "its index was dropped",
    ),
    "parted": (
        (
            "create table parted (id int primary key, n int) partition by range (id);"
            " create table parted_1 partition of parted for values from (0) to (50);"
            " create table parted_2 partition of parted for values from (50) to (100)"
        ),
        True,
        "the primary key",
    ),
    "parted_odd": (
        (
            "create table parted_odd (id int primary key, n int) partition by range (id);"
            " create table parted_odd_1 partition of parted_odd for values from (0) to (100);"
            " alter table parted_odd_1 replica identity nothing"
        ),
        False,
        "partition 'public.parted_odd_1' has none that fits",
    ),
    "parted_keyless": (
        (
            "create table parted_keyless (id int, n int) partition by range (id);"
            " create table parted_keyless_1 partition of parted_keyless"
            " for values from (0) to (100);"
            " alter table parted_keyless replica identity full;"
            " alter table parted_keyless_1 replica identity full"
        ),
        False,
        "partitions to come inherit a primary key only",
    ),
    "parted_mixed": (
        (
            "create table parted_mixed (id int primary key, n int) partition by range (id);"
            " create table parted_mixed_1 partition of parted_mixed for values from (0) to (100);"
            " alter table parted_mixed_1 replica identity full"
        ),
        True,
        "the primary key",
    ),
    "parent": (
        "create table parent (id int primary key, n int); create table child () inherits (parent)",
        True,
        "the primary key",
    ),
}


def test_the_applications_own_statements_work_on_every_kind_of_table(
    any_database: Database, log: MemoryEventLog, tmp_path: Path
) -> None:
    """And every insert is captured; updates and deletes wherever the server lets us."""
    names = tuple(f"public.{name}" for name in TABLES)
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        for statements, _, _ in TABLES.values():
            sql.execute(statements.encode())
        with capturing(
            make_source(any_database.dsn, any_database.name, *names), log, tmp_path, *names
        ) as running:
            await_streaming(running, log, *names)
            # A partition that comes later, as a nightly job makes it.
            for name in ("parted", "parted_keyless"):
                sql.execute(
                    f"create table {name}_new partition of {name}"
                    " for values from (100) to (200)".encode()
                )
            for name in (*TABLES, "child", "parted_new", "parted_keyless_new"):
                first = 100 if name.endswith("_new") else 1
                sql.execute(f"insert into {name} values ({first}, 1), ({first + 1}, 1)".encode())
                sql.execute(f"update {name} set n = 2 where id = {first}".encode())
                sql.execute(f"delete from {name} where id = {first + 1}".encode())
            await_position(running, sql, log)
    kinds = {name: [e["kind"] for e in events_of(log) if e["table"] == name] for name in names}
    deleted = [e for e in events_of(log) if e["kind"] == "deleted"]
    assert {e["before"]["id"] for e in deleted if e["table"] == "public.parted_mixed"} == {"2"}
    # A full old row of a partition is cut down to what its parent declares.
    assert not [e for e in deleted if e["table"].startswith("public.parted") and "n" in e["before"]]
    for name, (_, whole, _) in TABLES.items():
        times = 2 if name in ("parted", "parted_keyless") else 1
        once = ["created", "created", *(["updated", "deleted"] if whole else [])]
        assert kinds[f"public.{name}"] == once * times, name


def test_doctor_tells_why_updates_of_a_table_are_not_captured(
    any_database: Database,
) -> None:
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        for statements, _, _ in TABLES.values():
            sql.execute(statements.encode())
    findings = inspect(any_database.dsn, any_database.name, *TABLES)
    for name, (_, whole, words) in TABLES.items():
        finding = found(findings, "replica-identity", name)
        assert (finding.level < Level.WARNING) == whole, name
        assert words in finding.what, name
    for name in TABLES:
        assert not checks(findings, Level.ERROR, name), name
    assert found(findings, "replica-identity", "keyless").sql == (
        'ALTER TABLE "public"."keyless" REPLICA IDENTITY FULL;'
    )
    assert "inherit from it" in found(findings, "inheritance", "parent").what
    refused = inspect(any_database.dsn, any_database.name, *TABLES, no_identity="refuse")
    for name, (_, whole, _) in TABLES.items():
        assert ("replica-identity" in checks(refused, Level.ERROR, name)) != whole, name


@pytest.mark.parametrize("leaf", ["default", "full"])
def test_a_full_parent_is_refused(leaf: str, database: Database, sql: psycopg.Connection) -> None:
    """The stream would declare full rows and send keys: nulls that never were in the table.

    Also if all partitions are FULL now: the next one is not.
    """
    sql.execute(
        "create table parted (id int primary key, n int) partition by range (id);"
        " create table parted_1 partition of parted for values from (0) to (50);"
        " alter table parted replica identity full"
    )
    sql.execute(f"alter table parted_1 replica identity {leaf}".encode())
    source = make_source(database.dsn, database.name, "public.parted")
    with pytest.raises(SourceUnfit, match="would pass for a full row with nulls") as caught:
        source.prepare(None)
    sql.execute(str(caught.value).split("; run: ")[1].encode())
    source.prepare(None)


def test_a_partition_may_be_captured_under_its_own_name(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    """Its contract names the partition: root or leaf is chosen table by table."""
    sql.execute(
        "create table whole (id int primary key, n int) partition by range (id);"
        " create table whole_1 partition of whole for values from (0) to (100);"
        " create table split (id int primary key, n int) partition by range (id);"
        " create table split_1 partition of split for values from (0) to (50);"
        " create table split_2 partition of split for values from (50) to (100)"
    )
    tables = ("public.whole", "public.split_1")
    with capturing(
        make_source(database.dsn, database.name, *tables), log, tmp_path, *tables
    ) as running:
        await_streaming(running, log, *tables)
        sql.execute("insert into whole values (1, 1); insert into split values (1, 1), (51, 1)")
        sql.execute("update split set id = 60 where id = 1")
        sql.execute("truncate split")
        await_position(running, sql, log)
    assert [(event["table"], event["kind"]) for event in events_of(log)] == [
        ("public.whole", "created"),
        ("public.split_1", "created"),
        ("public.split_1", "deleted"),
        ("public.split_1", "truncated"),
    ]
    findings = inspect(database.dsn, database.name, "whole", "split_1")
    assert "under its own name" in found(findings, "partitions", "split_1").what
    assert "ATTACH and DETACH PARTITION" in found(findings, "partitions", "whole").why
    both = inspect(database.dsn, database.name, "split", "split_1")
    assert "both have a contract" in found(both, "partitions", "split_1").what


def test_what_is_no_ordinary_table_is_told(database: Database, sql: psycopg.Connection) -> None:
    sql.execute(
        "create view seen as select 1 as id; create materialized view kept as select 1 as id;"
        " create unlogged table fast (id int primary key); create sequence counter;"
        " create table parted (id int primary key) partition by range (id);"
        " create unlogged table parted_1 partition of parted for values from (0) to (9);"
        " create foreign data wrapper nowhere; create server elsewhere"
        " foreign data wrapper nowhere; create foreign table far (id int) server elsewhere"
    )
    kinds = {
        "seen": "a view",
        "kept": "a materialised view",
        "fast": "unlogged",
        "counter": "a sequence",
        "far": "a foreign table",
    }
    findings = inspect(database.dsn, database.name, *kinds, "missing", "parted")
    for name, words in kinds.items():
        assert f"not an ordinary, logged table but {words}" in found(findings, "table", name).what
    assert "does not exist" in found(findings, "table", "missing").what
    assert "is unlogged: its changes are not captured" in found(
        findings, "partitions", "parted"
    ).what  # fmt: skip
    system = inspect(database.dsn, database.name, "t").copy()
    assert found(system, "table", "t").level is Level.ERROR


def test_columns_that_need_a_word(any_database: Database) -> None:
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute(
            "create type mood as enum ('sad', 'ok'); create table t (code text primary key,"
            " small varchar(20), amount numeric(10, 2), doc jsonb, feeling mood,"
            " twice int generated always as (2 * length(code)) stored)"
        )
    findings = inspect(any_database.dsn, any_database.name, "t", mapped={"public.t": frozenset()})
    toast = found(findings, "toast", "t")
    assert "'doc'" in toast.what
    assert "amount" not in toast.what
    assert "small" not in toast.what
    assert "'code' may be long" in found(findings, "key", "t").what
    assert re.search(r"'feeling' \((public\.)?mood\)", found(findings, "types", "t").what)
    assert "'twice' is absent from events" in found(findings, "generated-columns", "t").what


def test_a_generated_column_that_a_contract_maps(any_database: Database) -> None:
    """PostgreSQL 18 is asked to send it; before, the contract cannot be kept."""
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute(
            "create table t (id int primary key, twice int generated always as (2 * id) stored)"
        )
    mapped = {"public.t": frozenset({"id", "twice"})}
    findings = inspect(any_database.dsn, any_database.name, "t", mapped=mapped)
    with psycopg.connect(any_database.dsn) as sql:
        new = sql.info.server_version >= 180000
    if not new:
        finding = found(findings, "generated-columns", "t")
        assert finding.level is Level.ERROR
        assert "does not send it; 18 does" in finding.what
        return
    assert "generated-columns" not in checks(findings, Level.ERROR, "t")
    set_up(any_database.dsn, any_database.name, "t", mapped=mapped)
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sent = sql.execute("select pubname, pubgencols::text from pg_publication order by 1")
        assert sent.fetchall() == [(any_database.name, "s"), (f"{any_database.name}_insert", "n")]


def test_a_generated_column_reaches_the_log(
    postgres_18_database: Database, log: MemoryEventLog, tmp_path: Path
) -> None:
    """From the first reading and from the stream; also when it is mapped only later."""
    database = postgres_18_database
    with psycopg.connect(database.dsn, autocommit=True) as sql:
        sql.execute(
            "create table t (id int primary key, twice int generated always as (2 * id) stored,"
            " thrice int generated always as (3 * id) virtual)"
        )
        sql.execute("insert into t values (1)")
        make_source(database.dsn, database.name, "public.t").prepare(None)
        mapped = {"public.t": frozenset({"id", "twice"})}
        source = make_source(database.dsn, database.name, "public.t", mapped=mapped)
        with capturing(source, log, tmp_path, "public.t") as running:
            await_streaming(running, log, "public.t")
            sql.execute("insert into t values (2)")
            await_position(running, sql, log)
    rows = {event["after"]["id"]: event["after"] for event in events_of(log)}
    assert rows == {"1": {"id": "1", "twice": "2"}, "2": {"id": "2", "twice": "4"}}


def test_the_option_reaches_all_tables_of_its_publication(
    postgres_18_database: Database,
) -> None:
    """So that the contracts of the others are checked for it before the stream begins."""
    database = postgres_18_database
    generated = "g int generated always as (1) stored"
    with psycopg.connect(database.dsn, autocommit=True) as sql:
        sql.execute(f"create table mapped (id int primary key, {generated})".encode())
        sql.execute(f"create table beside (id int primary key, {generated})".encode())
        sql.execute(f"create table keyless (id int, {generated})".encode())
    names = ("public.mapped", "public.beside", "public.keyless")
    mapped = {"public.mapped": frozenset({"g"})}
    for _ in range(2):  # Before the option is on, and after.
        source = make_source(database.dsn, database.name, *names, mapped=mapped)
        shapes = source.prepare(None).tables
        assert {
            shape.relation.table: [column.name for column in shape.relation.columns]
            for shape in shapes
        } == {"mapped": ["id", "g"], "beside": ["id", "g"], "keyless": ["id"]}


def test_names_of_every_kind(database: Database, sql: psycopg.Connection) -> None:
    names = ('Ord"er %s', "select", "Ünï", "a'b", "CASE", "case")
    for name in names:
        quoted = name.replace('"', '""')
        sql.execute(f'create table "{quoted}" (id int primary key)'.encode())
    set_up(database.dsn, database.name, *names)
    findings = inspect(database.dsn, database.name, *names)
    assert found(findings, "publication").level is Level.OK
    for name in names:
        assert found(findings, "replica-identity", name).level is Level.OK
