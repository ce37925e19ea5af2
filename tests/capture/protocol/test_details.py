"""What a transaction can hold beside plain rows, read from real servers in both forms."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from adapters.postgres.stream import StreamForm
from bridge.demo.servers import PrivatePostgres
from bridge.model.change import (
    UNSENT,
    BeforeImage,
    Change,
    ChangeKind,
    LogicalMessage,
    RowChange,
    Truncation,
)
from bridge.model.errors import SourceUnfit
from tests.capture.protocol.reading import CountingStages, Whole, joined, read, wal_end
from tests.conftest import Database


@pytest.fixture(params=["ordinary", "streamed"])
def form(request: pytest.FixtureRequest, tmp_path: Path) -> StreamForm:
    return StreamForm(stages=CountingStages(tmp_path) if request.param == "streamed" else None)


MESSAGE = "select pg_logical_emit_message(true, 'app', 'x')"


class Source:
    """A database with a slot, whose transactions are large enough to be streamed."""

    def __init__(self, database: Database, sql: psycopg.Connection) -> None:
        self.sql = sql
        self._dsn = database.dsn
        self._name = database.name

    def publish(self, what: str, options: str = "") -> None:
        """Publish, make the slot, and have what follows streamed."""
        self._run("create table filler (n int, note text)")
        self._run(f"create publication {self._name} for {what}, table filler {options}")
        self._run(f"alter database {self._name} set logical_decoding_work_mem = '64kB'")
        self.sql.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (self._name,))

    def write(self, *statements: str) -> None:
        """Commit `statements` in one transaction that is large enough."""
        with self.sql.transaction():
            self._run("insert into filler select x, repeat('x', 90) from generate_series(1, 900) x")
            for statement in statements:
                self._run(statement)

    def read(self, form: StreamForm, *, streams: bool = True) -> list[Whole]:
        """Return all transactions, without the rows that only fill."""
        end = wal_end(self.sql)
        self._run("create table if not exists elsewhere (n int)")
        self._run("insert into elsewhere values (1)")
        wholes = joined(read(self._dsn, self._name, self._name, end, form))
        if isinstance(form.stages, CountingStages):
            assert (form.stages.created > 0) == streams, "what was streamed"
        return [whole._replace(changes=_interesting(whole)) for whole in wholes]

    def _run(self, statement: str) -> None:
        self.sql.execute(statement.encode())


def _interesting(whole: Whole) -> list[Change]:
    return [
        change
        for change in whole.changes
        if isinstance(change, LogicalMessage) or change.relation.table != "filler"
    ]


@pytest.fixture
def source(any_database: Database) -> Iterator[Source]:
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        yield Source(any_database, sql)


def row_changes(whole: Whole) -> list[RowChange]:
    return [change for change in whole.changes if isinstance(change, RowChange)]


def test_truncates_say_how_and_name_each_table(source: Source, form: StreamForm) -> None:
    source.sql.execute("create table a (id serial primary key)")
    source.sql.execute("create table b (id int primary key, a int references a)")
    source.publish("table a, b")
    source.write("truncate b", "truncate a cascade", "truncate a, b restart identity")
    (whole,) = source.read(form)
    told = [(change.relation.table, change.truncation) for change in row_changes(whole)]
    cascade, restart = Truncation(True, False), Truncation(False, True)
    assert told[0] == ("b", Truncation(False, False))
    assert sorted(told[1:3]) == [("a", cascade), ("b", cascade)]
    assert sorted(told[3:]) == [("a", restart), ("b", restart)]


def test_a_changed_key_is_one_update_with_the_old_key(source: Source, form: StreamForm) -> None:
    source.sql.execute("create table t (id int primary key, note text)")
    source.publish("table t")
    source.write("insert into t values (1, 'a')", "update t set id = 2", "update t set note = 'b'")
    (whole,) = source.read(form)
    _, moved, noted = row_changes(whole)
    assert (moved.kind, moved.before, moved.before_image) == (
        ChangeKind.UPDATED,
        ("1", UNSENT),
        BeforeImage.KEY,
    )
    assert moved.after == ("2", "a")
    assert (noted.before, noted.before_image) == (None, BeforeImage.NONE)


def test_messages_stand_in_the_order_of_the_transaction(source: Source, form: StreamForm) -> None:
    source.sql.execute("create table t (id int primary key)")
    source.publish("table t")
    source.write(
        "select pg_logical_emit_message(true, 'who', 'ana')",
        "insert into t values (1)",
        "select pg_logical_emit_message(true, 'why', '\\x00ff'::bytea)",
    )
    (whole,) = source.read(form)
    who, row, why = whole.changes
    assert isinstance(who, LogicalMessage)
    assert (who.transactional, who.prefix, who.content) == (True, "who", b"ana")
    assert isinstance(row, RowChange)
    assert isinstance(why, LogicalMessage)
    assert (why.prefix, why.content) == ("why", b"\x00\xff")
    assert who.lsn < why.lsn <= whole.commit_lsn


def test_a_message_outside_is_told_even_if_its_transaction_is_undone(
    source: Source, form: StreamForm
) -> None:
    source.sql.execute("create table t (id int primary key)")
    source.publish("table t")
    source.sql.execute("begin")
    source.sql.execute("insert into filler select x, repeat('x', 90) from generate_series(1,900) x")
    source.sql.execute("select pg_logical_emit_message(true, 'inside', 'x')")
    source.sql.execute("select pg_logical_emit_message(false, 'outside', 'x')")
    source.sql.execute("rollback")
    source.write("insert into t values (1)")
    outside, whole = source.read(form)
    (told,) = outside.changes
    assert isinstance(told, LogicalMessage)
    assert (told.transactional, told.prefix) == (False, "outside")
    assert (outside.xid, outside.commit_lsn, outside.end_lsn) == (0, told.lsn - 1, told.lsn)
    assert len(whole.changes) == 1


def test_a_message_outside_is_not_sent_again_behind_its_end(
    source: Source, any_database: Database
) -> None:
    source.sql.execute("create table t (id int primary key)")
    source.publish("table t")
    source.write("select pg_logical_emit_message(false, 'once', 'x')")
    source.write("insert into t values (1)")
    name = any_database.name
    wholes = source.read(StreamForm())
    assert [whole.xid == 0 for whole in wholes] == [True, False, False]
    # The commit record stands right behind the message's: nothing of its transaction is skipped.
    assert wholes[0].end_lsn == wholes[1].commit_lsn
    again = read(
        any_database.dsn, name, name, wholes[2].end_lsn, StreamForm(), start_lsn=wholes[0].end_lsn
    )
    assert [whole.end_lsn for whole in joined(again)] == [whole.end_lsn for whole in wholes[1:]]


@pytest.mark.parametrize("begin", ["insert into t values (0)", "truncate t", MESSAGE])
def test_the_origin_of_a_transaction(
    source: Source, any_database: Database, form: StreamForm, begin: str
) -> None:
    source.sql.execute("create table t (id int primary key)")
    source.publish("table t")
    name = (any_database.name,)
    source.sql.execute("select pg_replication_origin_create(%s)", name)
    try:
        source.sql.execute("select pg_replication_origin_session_setup(%s)", name)
        with source.sql.transaction():
            source.sql.execute(begin.encode())
            source.write("insert into t values (1)")
        source.sql.execute("select pg_replication_origin_session_reset()")
        source.write("insert into t values (2)")
        # A streamed transaction would tell it only if it began with a row.
        wholes = source.read(form, streams=False)
        assert [whole.origin for whole in wholes] == [any_database.name, None]
        if source.sql.info.server_version >= 160_000:
            local = source.read(StreamForm(stages=form.stages, origin="none"), streams=False)
            assert [whole.end_lsn for whole in local] == [wholes[1].end_lsn]
    finally:
        source.sql.execute("select pg_replication_origin_drop(%s)", name)


def test_an_origin_filter_that_the_server_lacks(source: Source) -> None:
    if source.sql.info.server_version >= 160_000:
        pytest.skip("it has one")
    source.sql.execute("create table t (id int primary key)")
    source.publish("table t")
    with pytest.raises(SourceUnfit, match="has no origin filter"):
        source.read(StreamForm(origin="none"))


@pytest.mark.parametrize("root", [True, False])
def test_partitions_by_root_or_leaf(source: Source, form: StreamForm, root: bool) -> None:
    source.sql.execute("create table p (id int, k int, primary key (id, k)) partition by list (k)")
    source.sql.execute("create table p1 partition of p for values in (1)")
    source.sql.execute("create table p2 partition of p for values in (2)")
    source.publish("table p", f"with (publish_via_partition_root = {root})")
    source.write("insert into p values (1, 1), (2, 2)", "update p set k = 2 where id = 1")
    (whole,) = source.read(form)
    told = [(change.relation.table, change.kind) for change in row_changes(whole)]
    first, second = ("p", "p") if root else ("p1", "p2")
    assert told == [
        (first, ChangeKind.CREATED),
        (second, ChangeKind.CREATED),
        # Moving a row to another partition is a delete and an insert.
        (first, ChangeKind.DELETED),
        (second, ChangeKind.CREATED),
    ]


def test_row_filters_and_column_lists(
    source: Source, form: StreamForm, any_postgres: PrivatePostgres
) -> None:
    if source.sql.info.server_version < 150_000:
        pytest.skip("PostgreSQL 14 has neither")
    source.sql.execute("create table t (id int primary key, secret text, note text, k int)")
    source.sql.execute("alter table t replica identity full")
    source.sql.execute("create table u (id int primary key, secret text, note text)")
    source.publish("table t where (k > 0), u (id, note)")
    source.write(
        "insert into t values (1, 's', 'n', 1), (2, 's', 'n', 0)",
        "update t set k = 1 - k",
        "insert into u values (1, 's', 'n')",
    )
    (whole,) = source.read(form)
    # An update across the filter's border comes as what it is for who sees only one side.
    told = [(change.relation.table, change.kind) for change in row_changes(whole)]
    assert told == [
        ("t", ChangeKind.CREATED),
        ("t", ChangeKind.DELETED),
        ("t", ChangeKind.CREATED),
        ("u", ChangeKind.CREATED),
    ]
    last = row_changes(whole)[-1]
    assert [column.name for column in last.relation.columns] == ["id", "note"]
    assert last.after == ("1", "n")


def test_any_bytes_of_a_database_without_an_encoding(
    any_postgres: PrivatePostgres, any_database: Database, form: StreamForm
) -> None:
    name = f"{any_database.name}_raw"
    dsn = any_postgres.dsn(name)
    with psycopg.connect(any_postgres.dsn(), autocommit=True) as admin:
        admin.execute(
            f"create database {name} encoding 'SQL_ASCII' template template0 lc_collate 'C'"
            " lc_ctype 'C'".encode()
        )
        try:
            with psycopg.connect(dsn, autocommit=True, client_encoding="utf8") as sql:
                raw = Source(Database(name=name, dsn=dsn), sql)
                sql.execute("create table t (id int primary key, note text)")
                raw.publish("table t")
                raw.write(r"insert into t values (1, E'caf\xe9'), (2, E'caf\xc3\xa9')")
                (whole,) = raw.read(form)
                sql.execute("select pg_drop_replication_slot(%s)", (name,))
            rows = [change.after for change in row_changes(whole)]
            assert rows == [("1", b"caf\xe9"), ("2", "café")]
        finally:
            admin.execute(f"drop database {name} with (force)".encode())
