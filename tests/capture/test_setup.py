"""Preparing a source: what is created, and what is said when something is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from bridge.capture.ports import TableShape
from bridge.capture.service import CaptureService
from bridge.demo.servers import PrivatePostgres
from bridge.model.errors import ConfigInvalid, Remedy, SourceUnavailable, SourceUnfit
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.running import PlainContracts, make_source
from tests.conftest import Database

PASSWORD = "canary-secret"


@pytest.fixture
def clerk(database: Database, sql: psycopg.Connection) -> Iterator[str]:
    """The DSN of a role that may log in and nothing else."""
    name = f"clerk_{database.name}"
    sql.execute(f"create role {name} login password '{PASSWORD}'".encode())
    parts = urlsplit(database.dsn)
    login = f"{name}:{PASSWORD}@{parts.hostname}:{parts.port}"
    yield urlunsplit(parts._replace(netloc=login))
    sql.execute(f"drop owned by {name}; drop role {name}".encode())


def slots(sql: psycopg.Connection) -> int:
    row = sql.execute(
        "select count(*) from pg_replication_slots where database = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


def publications(sql: psycopg.Connection) -> dict[str, list[str]]:
    rows = sql.execute(
        "select pubname, array_remove(array_agg(tablename::text order by 1), null)"
        " from pg_publication left join pg_publication_tables using (pubname) group by 1"
    )
    return dict(rows.fetchall())


def test_only_what_is_needed_is_created_and_only_once(
    database: Database, sql: psycopg.Connection
) -> None:
    sql.execute("create table t (id int primary key); create table h (n int)")
    sql.execute("create table not_captured (n int)")
    source = make_source(database.dsn, database.name, "public.t", "public.h")
    first = source.prepare(None)
    assert source.prepare(None) == first
    assert publications(sql) == {database.name: ["t"], f"{database.name}_insert": ["h"]}
    assert slots(sql) == 1
    assert [table.key for table in first.tables] == [("id",), ()]
    # Nothing that was there is changed, and the application can still write everywhere.
    sql.execute("insert into h values (1); update h set n = 2; delete from h")


def test_a_table_moves_with_its_key(database: Database, sql: psycopg.Connection) -> None:
    sql.execute("create table t (id int primary key, n int)")
    source = make_source(database.dsn, database.name, "public.t")
    source.prepare(None)
    sql.execute("alter table t drop constraint t_pkey; insert into t values (1, 1)")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        sql.execute("update t set n = 2")
    source.prepare(None)
    sql.execute("update t set n = 2")
    assert publications(sql) == {database.name: [], f"{database.name}_insert": ["t"]}
    sql.execute("alter table t add primary key (id)")
    source.prepare(None)
    assert publications(sql) == {database.name: ["t"], f"{database.name}_insert": []}


def test_a_unique_index_as_identity_is_a_key(database: Database, sql: psycopg.Connection) -> None:
    sql.execute("create table t (n int, code text not null unique)")
    sql.execute("alter table t replica identity using index t_code_key")
    (table,) = make_source(database.dsn, database.name, "public.t").prepare(None).tables
    assert table.key == ("code",)
    assert [column.is_key for column in table.relation.columns] == [False, True]


def test_an_unreachable_server(database: Database) -> None:
    dsn = f"postgresql://postgres:{PASSWORD}@127.0.0.1:1/shop"
    with pytest.raises(
        SourceUnavailable, match=r"cannot connect to source database at 127.0.0.1:1: .*refused"
    ) as caught:
        make_source(dsn, database.name, "public.t").prepare(None)
    assert PASSWORD not in str(caught.value)
    assert caught.value.remedy is Remedy.RETRY


def test_a_dsn_that_is_none() -> None:
    with pytest.raises(ConfigInvalid, match="not a libpq connection string") as caught:
        make_source(f"host=h pasword={PASSWORD}", "slot", "public.t")
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_server_without_logical_wal(server_folder: Path) -> None:
    with PrivatePostgres.start(server_folder, settings={"wal_level": "replica"}) as server:
        source = make_source(server.dsn(), "slot", "public.t")
        with pytest.raises(SourceUnfit, match=r"wal_level is 'replica'; set wal_level = logical"):
            source.prepare(None)


def test_a_role_without_replication(
    database: Database, sql: psycopg.Connection, clerk: str
) -> None:
    sql.execute("create table t (id int primary key)")
    with pytest.raises(SourceUnfit, match=r"lacks REPLICATION; run: ALTER ROLE") as caught:
        make_source(clerk, database.name, "public.t").prepare(None)
    assert PASSWORD not in str(caught.value)


def test_a_role_without_select(database: Database, sql: psycopg.Connection, clerk: str) -> None:
    sql.execute("create table t (id int primary key)")
    sql.execute(f"alter role clerk_{database.name} replication".encode())
    with pytest.raises(
        SourceUnfit,
        match=r"no SELECT right on table 'public.t'; .*; run: GRANT SELECT ON .* TO \"clerk",
    ):
        make_source(clerk, database.name, "public.t").prepare(None)


def test_a_role_that_may_only_read(database: Database, sql: psycopg.Connection, clerk: str) -> None:
    """Somebody else creates the publications with the SQL that the error tells."""
    role = f"clerk_{database.name}"
    sql.execute("create table t (id int primary key)")
    sql.execute(f"alter role {role} replication".encode())
    sql.execute(f"grant select on t to {role}".encode())
    source = make_source(clerk, database.name, "public.t")
    with pytest.raises(SourceUnfit, match=r"lacks ownership of table 'public.t'") as caught:
        source.prepare(None)
    assert slots(sql) == 0
    sql.execute(str(caught.value).split("; run: ")[1].encode())
    assert source.prepare(None).tables[0].key == ("id",)
    assert slots(sql) == 1


def test_an_owner_who_may_not_create(
    database: Database, sql: psycopg.Connection, clerk: str
) -> None:
    role = f"clerk_{database.name}"
    sql.execute("create table t (id int primary key)")
    sql.execute(f"alter role {role} replication; alter table t owner to {role}".encode())
    with pytest.raises(SourceUnfit, match="lacks CREATE on database"):
        make_source(clerk, database.name, "public.t").prepare(None)


def test_a_refused_table_leaves_no_slot_that_would_hold_wal(
    database: Database, sql: psycopg.Connection
) -> None:
    sql.execute("create table t (id int primary key)")

    def refuse(_table: TableShape) -> None:
        raise ConfigInvalid("cannot map: the contract does not fit")

    with pytest.raises(ConfigInvalid, match="does not fit"):
        make_source(database.dsn, database.name, "public.t").prepare(None, refuse)
    assert slots(sql) == 0
    assert publications(sql) == {}


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("select 1", r"table 'public.t' does not exist; correct its contract's mapping"),
        ("create view t as select 1 as id", r"'public.t' is not an ordinary, logged table"),
        ("create unlogged table t (id int)", r"'public.t' is not an ordinary, logged table"),
    ],
)
def test_a_table_that_cannot_be_captured(
    statement: str, complaint: str, database: Database, sql: psycopg.Connection
) -> None:
    sql.execute(statement.encode())
    with pytest.raises(SourceUnfit, match=complaint):
        make_source(database.dsn, database.name, "public.t").prepare(None)


@pytest.mark.parametrize(
    ("definition", "complaint"),
    [
        ("for all tables", "is FOR ALL TABLES"),
        ("for table t with (publish = 'insert')", "does not publish exactly"),
        ("for table t, u", "has table 'public.u', which has no contract"),
    ],
)
def test_a_publication_that_is_not_ours(
    definition: str, complaint: str, database: Database, sql: psycopg.Connection
) -> None:
    sql.execute("create table t (id int primary key); create table u (id int primary key)")
    sql.execute(f"create publication {database.name} {definition}".encode())
    with pytest.raises(SourceUnfit, match=complaint):
        make_source(database.dsn, database.name, "public.t").prepare(None)
    assert slots(sql) == 0


def test_a_publication_that_went_away(database: Database, sql: psycopg.Connection) -> None:
    sql.execute("create table t (id int primary key)")
    source = make_source(database.dsn, database.name, "public.t")
    source.prepare(None)
    sql.execute(f"drop publication {database.name}".encode())
    with pytest.raises(SourceUnfit, match="is gone but slot"):
        source.prepare(None)


def test_a_slot_of_somebody_else(database: Database, sql: psycopg.Connection) -> None:
    sql.execute("create table t (id int primary key)")
    source = make_source(database.dsn, database.name, "public.t")
    source.prepare(None)
    sql.execute("select pg_drop_replication_slot(%s)", (database.name,))
    sql.execute("select pg_create_logical_replication_slot(%s, 'test_decoding')", (database.name,))
    with pytest.raises(SourceUnfit, match="belongs to plugin 'test_decoding'"):
        source.prepare(None)


@contextmanager
def all_slots_taken(sql: psycopg.Connection) -> Iterator[None]:
    free = (
        "select current_setting('max_replication_slots')::int - count(*) from pg_replication_slots"
    )
    row = sql.execute(free.encode()).fetchone()
    assert row is not None
    names = [f"taken_{number}" for number in range(int(row[0]))]
    for name in names:
        sql.execute("select pg_create_physical_replication_slot(%s)", (name,))
    try:
        yield
    finally:
        for name in names:
            sql.execute("select pg_drop_replication_slot(%s)", (name,))


def test_no_free_slot(database: Database, sql: psycopg.Connection) -> None:
    sql.execute("create table t (id int primary key)")
    with all_slots_taken(sql), pytest.raises(SourceUnfit, match="replication slots are in use"):
        make_source(database.dsn, database.name, "public.t").prepare(None)
    assert publications(sql) == {}


def test_a_table_without_a_contract_is_told_at_the_start(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key)")
    service = CaptureService(
        "shop",
        make_source(database.dsn, database.name, "public.t"),
        log,
        PlainContracts("public.other"),
        spool_folder=tmp_path,
    )
    with pytest.raises(ConfigInvalid, match=r"table 'public.t' of source 'shop': no contract"):
        service.check()
