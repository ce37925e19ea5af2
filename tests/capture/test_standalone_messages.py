"""A message that stands for itself is never mistaken for the transaction that wrote it.

Its LSN is the end of its record, which is where the commit record of that transaction begins when
nothing was written in between.
"""

import psycopg

from adapters.postgres.source import PostgresSource
from bridge.model.change import LogicalMessage, RowChange, TransactionPart
from tests.capture.running import make_source
from tests.conftest import Database
from tests.waiting import wait_until


def received(source: PostgresSource, start_lsn: int, until_lsn: int) -> list[TransactionPart]:
    """Return the parts of a new stream up to a position."""
    stream = source.stream(start_lsn)
    parts: list[TransactionPart] = []

    def reached() -> bool:
        arrived = stream.receive(1_000, 100)
        parts.extend(arrived.parts)
        return max([arrived.position or 0, *(part.end_lsn or 0 for part in parts)]) >= until_lsn

    try:
        wait_until(reached, 20, "the stream to arrive")
    finally:
        stream.close()
    return parts


def test_a_commit_right_behind_a_message_is_not_lost(
    any_database: Database,
) -> None:
    source = make_source(any_database.dsn, any_database.name, "public.t")
    with psycopg.connect(any_database.dsn, autocommit=True) as sql:
        sql.execute("create table t (id int primary key)")
        start_lsn = source.prepare(None).start_lsn
        with sql.transaction():
            sql.execute("insert into t values (1)")
            sql.execute("select pg_logical_emit_message(false, 'audit', 'x')")
        sql.execute("insert into t values (2)")
        row = sql.execute("select pg_current_wal_insert_lsn() - '0/0'").fetchone()
        assert row is not None
    parts = received(source, start_lsn, int(row[0]))
    message, behind, last = (part for part in parts if part.changes)
    assert isinstance(message.changes[0], LogicalMessage)
    assert isinstance(behind.changes[0], RowChange)
    # In order, under numbers of their own.
    assert message.commit_lsn < behind.commit_lsn < last.commit_lsn
    # Whoever has the message, and then dies, is sent what follows and not the message again.
    assert message.end_lsn is not None
    again = [part for part in received(source, message.end_lsn, int(row[0])) if part.changes]
    assert [part.commit_lsn for part in again] == [behind.commit_lsn, last.commit_lsn]
