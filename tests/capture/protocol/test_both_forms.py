"""A transaction is the same whether it came streamed or in the ordinary form."""

from pathlib import Path

import psycopg
import pytest

from adapters.postgres import stream as stream_module
from adapters.postgres.stream import StreamForm
from bridge.capture.protocol.stage_files import StageFolder
from tests.capture.protocol.reading import (
    CountingStages,
    FormReader,
    Whole,
    joined,
    read,
    streaming,
    wal_end,
)
from tests.capture.protocol.workload import prepare, run
from tests.conftest import Database
from tests.waiting import wait_until


def make_slots(sql: psycopg.Connection, *names: str) -> None:
    for name in names:
        sql.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))


def test_a_long_block_leaves_time_to_answer(
    database: Database, sql: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "_BATCH_BYTES_MAX", 50_000)
    prepare(sql, database.name)
    make_slots(sql, database.name)
    form = StreamForm(stages=StageFolder(tmp_path))
    with streaming(database.dsn, database.name, database.name, 0, form) as stream:
        with sql.transaction():
            sql.execute(
                "insert into shared select x, repeat('x', 80) from generate_series(1,9000) x"
            )
        calls: list[int] = []

        def is_told() -> bool:
            received = stream.receive(1_000, 1_000)
            calls.append(sum(len(part.changes) for part in received.parts))
            return sum(calls) == 9_000

        wait_until(is_told, 30, "the transaction")
    # About a megabyte came before anything could be given: each fifty thousand bytes of it the
    # source could be answered, and the parts were handed out one by one.
    assert calls.index(5_000) > 10
    assert sorted(calls)[-2:] == [4_000, 5_000]


def test_wide_rows_come_in_parts_of_bounded_size(
    database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    prepare(sql, database.name)
    make_slots(sql, f"{database.name}_1", f"{database.name}_2")
    sql.execute("insert into shared select x, repeat('x', 100000) from generate_series(1, 200) x")
    sql.execute("insert into shared values (1000, 'right behind')")
    end = wal_end(sql)
    sql.execute("create table last_word (n int)")
    sql.execute("insert into last_word values (1)")
    name = database.name
    form = StreamForm(stages=StageFolder(tmp_path))
    ordinary = read(database.dsn, f"{name}_1", name, end, StreamForm())
    streamed = read(database.dsn, f"{name}_2", name, end, form)
    assert joined(streamed) == joined(ordinary)
    assert [part.final for part in streamed[:4]] == [False, False, True, True]
    # Eight megabytes, and the row that makes them full.
    assert [len(part.changes) for part in streamed[:4]] == [84, 84, 32, 1]


def in_both_forms(
    database: Database, sql: psycopg.Connection, folder: Path
) -> tuple[list[Whole], list[Whole], int]:
    """Return what the two slots give, and how many transactions were streamed."""
    sql.execute("create table if not exists last_word (n int)")
    end = wal_end(sql)
    sql.execute("insert into last_word values (1)")
    stages = CountingStages(folder)
    name = database.name
    ordinary = read(database.dsn, f"{name}_1", name, end, StreamForm())
    streamed = read(database.dsn, f"{name}_2", name, end, StreamForm(stages=stages))
    assert not list(folder.glob("stage-*")), "stages are gone with the stream"
    return joined(ordinary), joined(streamed), stages.created


@pytest.mark.parametrize(
    "seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 30))]
)
def test_random_transactions(seed: int, any_database: Database, tmp_path: Path) -> None:
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        prepare(sql, any_database.name)
        make_slots(sql, f"{any_database.name}_1", f"{any_database.name}_2")
        run(any_database.dsn, seed, 150)
        ordinary, streamed, count = in_both_forms(any_database, sql, tmp_path)
    assert count > 3, "nothing was streamed"
    for mine, theirs in zip(streamed, ordinary, strict=True):
        assert mine == theirs


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 30))]
)
def test_random_transactions_while_they_happen(
    seed: int, any_database: Database, tmp_path: Path
) -> None:
    name, stages = any_database.name, CountingStages(tmp_path)
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        prepare(sql, name)
        make_slots(sql, f"{name}_1", f"{name}_2")
        form = StreamForm(stages=stages)
        with FormReader(any_database.dsn, f"{name}_2", name, form) as reader:
            run(any_database.dsn, 1_000 + seed, 150, beside=lambda: reader.receive(1))
            end = wal_end(sql)
            sql.execute("create table last_word (n int)")
            sql.execute("insert into last_word values (1)")
            streamed = joined(reader.read_until(end))
        ordinary = joined(read(any_database.dsn, f"{name}_1", name, end, StreamForm()))
    assert stages.created > 3, "nothing was streamed"
    for mine, theirs in zip(streamed, ordinary, strict=True):
        assert mine == theirs
