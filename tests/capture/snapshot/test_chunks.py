"""Chunks against real servers: what a table may be, and what may happen to it meanwhile."""

import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.capture.ports import TableShape
from bridge.capture.snapshot.pacing import SnapshotLimits
from bridge.capture.snapshot.ports import Chunk, ChunkOrder, ChunkReader, Look, TableAltered
from bridge.model.errors import SourceUnfit
from bridge.storage.event_log.memory import MemoryEventLog
from tests.capture.running import (
    await_position,
    await_streaming,
    capturing,
    events_of,
    make_source,
    rebuild,
    table_rows,
)
from tests.conftest import Database

T = "public.t"
SLOW = SnapshotLimits(chunk_rows=20, duty=0.2)


def order(shape: TableShape, **options: Any) -> ChunkOrder:
    return ChunkOrder(
        **{
            "relation": shape.relation,
            "key": shape.key,
            "row_filter": shape.row_filter,
            "rows_max": 100,
            **options,
        }
    )


def read_all(reader: ChunkReader, shape: TableShape, rows_max: int) -> list[Chunk]:
    chunks = [reader.read(order(shape, rows_max=rows_max))]
    while not chunks[-1].ended:
        chunks.append(reader.read(order(shape, rows_max=rows_max, after=chunks[-1].after)))
    return chunks


def test_wide_rows_end_a_chunk(database: Database, sql: psycopg.Connection) -> None:
    sql.execute("create table t (id int primary key, body text)")
    sql.execute("alter table t alter body set storage external")
    sql.execute("insert into t select x, repeat('b', 1000000) from generate_series(1, 70) x")
    source = make_source(database.dsn, database.name, T)
    (shape,) = source.prepare(None).tables
    reader = source.chunks()
    chunks = read_all(reader, shape, 1_000)
    reader.close()
    assert [row[0] for chunk in chunks for row in chunk.rows] == [str(x) for x in range(1, 71)]
    assert max(len(chunk.rows) for chunk in chunks) <= 50, "more than memory was promised"


def test_keys_conditions_and_bytes_that_are_no_text(
    database: Database, sql: psycopg.Connection
) -> None:
    admin = database.dsn.rsplit("/", 1)[0] + "/postgres"
    name = f"{database.name}_ascii"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(
            f"create database {name} encoding 'SQL_ASCII' locale 'C' template template0".encode()
        )
    try:
        dsn = database.dsn.rsplit("/", 1)[0] + f"/{name}"
        with psycopg.connect(dsn, autocommit=True) as ascii_sql:
            ascii_sql.execute('create table "T %" ("k%" text, n int, primary key ("k%", n))')
            ascii_sql.execute(
                """insert into "T %" select convert_from('\\xe9'::bytea, 'SQL_ASCII') || x, x
                   from generate_series(1, 9) x"""
            )
            source = make_source(dsn, name, "public.T %")
            (shape,) = source.shapes()
            reader = source.chunks()
            chunks = read_all(reader, shape, 2)
            first = chunks[0].rows[0][0]
            assert first == b"\xe91"
            assert sum(len(chunk.rows) for chunk in chunks) == 9
            named = reader.read(
                order(shape, only_keys=True, keys=[("\udce93", "3"), ("nothing", "1")])
            )
            assert named.rows == [(b"\xe93", "3")]
            assert named.absent == [("nothing", "1")]
            some = reader.read(order(shape, where="n % 4 = 0"))
            assert [row[1] for row in some.rows] == ["4", "8"]
            assert some.after == ("\udce99", "9"), "what was looked at, not what was kept"
            with pytest.raises(SourceUnfit, match="nosuch"):
                reader.read(order(shape, where="nosuch = 1"))
            assert reader.read(order(shape)).ended, "the connection is as good as before"
            reader.close()
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)".encode())


def test_a_condition_cannot_write(database: Database, sql: psycopg.Connection) -> None:
    sql.execute("create table t (id int primary key)")
    sql.execute("create sequence s")
    sql.execute("insert into t values (1)")
    source = make_source(database.dsn, database.name, T)
    (shape,) = source.prepare(None).tables
    reader = source.chunks()
    with pytest.raises(SourceUnfit, match="its condition would write"):
        reader.read(order(shape, where="nextval('public.s') > 0"))
    for several in ["true); delete from t; select (1", "true; delete from t"]:
        with pytest.raises(SourceUnfit):
            reader.read(order(shape, where=several))
    reader.close()
    assert len(table_rows(sql, "t")) == 1


def test_a_role_that_can_write_nothing_suffices(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key, note text)")
    sql.execute("insert into t select x, 'n' from generate_series(1, 200) x")
    role = f"reader_{database.name}"
    sql.execute(f"create role {role} login replication".encode())
    try:
        sql.execute(f"grant select on t to {role}".encode())
        make_source(database.dsn, database.name, T).prepare(None)  # A person sets it up.
        port = database.dsn.rsplit(":", 1)[1]
        source = make_source(f"postgresql://{role}@127.0.0.1:{port}", database.name, T)
        with capturing(
            source, log, tmp_path, T, snapshot_limits=SnapshotLimits(chunk_rows=30)
        ) as running:
            await_streaming(running, log, T)
            await_position(running, sql, log)
        assert len(rebuild(log, T, "id")) == 200
    finally:
        sql.execute(f"drop owned by {role}".encode())
        sql.execute(f"drop role {role}".encode())


def test_a_table_that_is_altered_while_it_is_read(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    """A rewritten table is empty to older snapshots: the rows behind must not be lost."""
    sql.execute("create table t (id int primary key, note text)")
    sql.execute("insert into t select x, x::text from generate_series(1, 1000) x")
    source = make_source(database.dsn, database.name, T)
    with capturing(source, log, tmp_path, T, snapshot_limits=SLOW) as running:
        running.observer.await_note("snapshot_progress")
        sql.execute("alter table t alter note type varchar(40) using 'n' || note")
        told = running.observer.await_note("capture_interrupted")
        assert "was altered; it is looked at again" in str(told["error"])
        await_streaming(running, log, T)
        await_position(running, sql, log)
    read = {e["after"]["id"]: e["after"]["note"] for e in events_of(log) if e.get("kind") == "read"}
    assert set(read) == {str(x) for x in range(1, 1001)}
    assert read["1"] == "1"
    assert read["1000"] == "n1000"


def test_an_altered_table_is_told_apart(database: Database, sql: psycopg.Connection) -> None:
    sql.execute("create table t (id int primary key, note text)")
    source = make_source(database.dsn, database.name, T)
    (shape,) = source.prepare(None).tables
    reader = source.chunks()
    sql.execute("alter table t drop note")
    with pytest.raises(TableAltered, match="'note' was altered"):
        reader.read(order(shape))
    sql.execute("drop table t")
    with pytest.raises((TableAltered, SourceUnfit)):
        reader.read(order(shape))
    reader.close()


def test_a_truncation_while_it_is_read(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key, note text)")
    sql.execute("insert into t select x, 'old' from generate_series(1, 2000) x")
    source = make_source(database.dsn, database.name, T)
    with capturing(source, log, tmp_path, T, snapshot_limits=SLOW) as running:
        running.observer.await_note("snapshot_progress")
        # Held open, so that a chunk has to wait for the lock before it looks.
        with psycopg.connect(database.dsn) as truncating:
            truncating.execute("truncate t")
            truncating.execute("insert into t select x, 'new' from generate_series(1, 50) x")
            running.observer.await_note("snapshot_delayed")
        await_streaming(running, log, T)
        await_position(running, sql, log)
    assert rebuild(log, T, "id") == {str(row["id"]): row for row in table_rows(sql, "t")}
    assert not running.observer.notes("capture_interrupted"), "the stream went on"


def test_a_large_transaction_that_is_half_appended(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (id int primary key, note text, big text)")
    sql.execute("alter table t alter big set storage external")
    sql.execute("insert into t select x, 'old', repeat('b', 2100) from generate_series(1, 9000) x")
    source = make_source(database.dsn, database.name, T)
    limits = SnapshotLimits(chunk_rows=300, duty=1.0)
    with capturing(source, log, tmp_path, T, snapshot_limits=limits) as running:
        running.observer.await_note("snapshot_progress")
        writing = threading.Thread(target=_update_all, args=(database.dsn,))
        writing.start()
        await_streaming(running, log, T)
        writing.join(30)
        await_position(running, sql, log)
    assert rebuild(log, T, "id") == {str(row["id"]): row for row in table_rows(sql, "t")}


def _update_all(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("update t set note = 'new'")
        connection.execute("update t set note = 'newer', id = -id where id % 3 = 0")


def test_a_table_without_a_key_that_is_too_large(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    sql.execute("create table t (n int)")
    sql.execute("insert into t select generate_series(1, 500)")
    sql.execute("analyze t")
    limits = SnapshotLimits(keyless_rows_max=400)
    source = make_source(database.dsn, database.name, T)
    with (
        pytest.raises(SourceUnfit, match="about 500 rows, and the stream waits"),
        capturing(source, log, tmp_path, T, snapshot_limits=limits) as running,
    ):
        running.await_failure()


class FarAhead:
    """A reader whose source is far ahead of the stream until it is told otherwise."""

    def __init__(self, reader: ChunkReader) -> None:
        self._reader = reader
        self.ahead_bytes = 10**12

    def look(self) -> Look:
        look = self._reader.look()
        return look._replace(position=look.position + self.ahead_bytes)

    def read(self, order: ChunkOrder) -> Chunk:
        return self._reader.read(order)

    def blockers(self) -> str:
        return self._reader.blockers()

    def close(self) -> None:
        self._reader.close()


def test_reading_waits_while_the_log_is_behind(
    database: Database,
    sql: psycopg.Connection,
    log: MemoryEventLog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sql.execute("create table t (id int primary key)")
    sql.execute("insert into t select generate_series(1, 100)")
    source = make_source(database.dsn, database.name, T)
    reader = FarAhead(source.chunks())
    monkeypatch.setattr(source, "chunks", lambda: reader)
    with capturing(source, log, tmp_path, T) as running:
        running.observer.await_note("snapshot_delayed", why="lag")
        sql.execute("insert into t values (101)")
        await_position(running, sql, log)
        assert not running.observer.notes("snapshot_progress")
        reader.ahead_bytes = 0
        await_streaming(running, log, T)
    assert len(rebuild(log, T, "id")) == 101


def test_keys_of_a_type_with_an_order_of_its_own(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    """`citext` sorts without regard to case: pages must be cut where its index cuts them."""
    sql.execute("create schema ext")
    sql.execute("create extension citext schema ext")
    sql.execute("create domain ext.code as ext.citext")
    sql.execute("create table t (id ext.citext, code ext.code, primary key (id, code))")
    sql.execute(
        "insert into t select chr(x % 26 + case x % 2 when 0 then 65 else 97 end) || x / 40,"
        " 'c' || x % 3 from generate_series(1, 300) x on conflict do nothing"
    )
    source = make_source(database.dsn, database.name, T)
    with capturing(
        source, log, tmp_path, T, snapshot_limits=SnapshotLimits(chunk_rows=7, duty=1.0)
    ) as running:
        await_streaming(running, log, T)
    read = [tuple(event["after"].values()) for event in events_of(log) if event["kind"] == "read"]
    assert sorted(read) == sorted(tuple(row.values()) for row in table_rows(sql, "t"))


def test_a_chosen_identity_tells_rows_apart(
    database: Database, sql: psycopg.Connection, log: MemoryEventLog, tmp_path: Path
) -> None:
    """The stream names rows by the index that was chosen; the primary key may change unseen."""
    sql.execute("create table t (id int primary key, code text not null, at int not null)")
    sql.execute("create unique index t_code on t (at, code)")
    sql.execute("alter table t replica identity using index t_code")
    sql.execute("insert into t select x, 'c' || x, x % 5 from generate_series(1, 500) x")
    source = make_source(database.dsn, database.name, T)
    (shape,) = source.prepare(None).tables
    assert shape.key == ("at", "code"), "in the order of the index"
    with capturing(source, log, tmp_path, T, snapshot_limits=SLOW) as running:
        running.observer.await_note("snapshot_progress")
        for number in range(1, 60):
            sql.execute("update t set id = -id where id = %s", (number,))
            sql.execute("delete from t where id = %s", (500 - number,))
        await_streaming(running, log, T)
        await_position(running, sql, log)
    assert rebuild(log, T, "code") == {str(row["code"]): row for row in table_rows(sql, "t")}
