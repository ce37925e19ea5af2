"""A transaction is the same whether it came streamed or in the ordinary form."""

from pathlib import Path

import psycopg
import pytest

from adapters.postgres.stream import StreamForm
from tests.capture.protocol.reading import CountingStages, Whole, joined, read, wal_end
from tests.capture.protocol.workload import prepare, run
from tests.conftest import Database


def make_slots(sql: psycopg.Connection, *names: str) -> None:
    for name in names:
        sql.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))


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


@pytest.mark.parametrize("seed", range(3))
def test_random_transactions(seed: int, any_database: Database, tmp_path: Path) -> None:
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        prepare(sql, any_database.name)
        make_slots(sql, f"{any_database.name}_1", f"{any_database.name}_2")
        run(any_database.dsn, seed, 150)
        ordinary, streamed, count = in_both_forms(any_database, sql, tmp_path)
    assert count > 3, "nothing was streamed"
    for mine, theirs in zip(streamed, ordinary, strict=True):
        assert mine == theirs
