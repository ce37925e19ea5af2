"""The broker is away for the whole time: the source's WAL stays bounded, and nothing is lost."""

import json
from pathlib import Path

import psycopg
import pytest

from adapters.postgres.slot_watch import PostgresSlotReader
from adapters.rabbitmq.sink import RabbitMQSink
from bridge.delivery.backoff import Backoff
from bridge.delivery.relay import Relay
from bridge.delivery.topology import QueueSpec, Topology
from bridge.demo.servers import PrivateRabbitMQ
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sink_cursors import SqliteSinkCursors
from tests.capture.running import (
    await_position,
    await_streaming,
    capturing,
    cursor_of,
    make_source,
)
from tests.conftest import Database
from tests.delivery.queues import take_all
from tests.delivery.running import running as relaying
from tests.waiting import RecordingObserver, wait_until

T = "public.t"
QUEUE = "c.all"
MB = 1 << 20

CHUNK_BYTES = 4 * MB
"""What the source writes between two of its checkpoints, at least."""

BOUND_BYTES = 3 * CHUNK_BYTES
"""What the slot may hold at any time: the chunk that is being written, the one before it (the slot
moves at a checkpoint only), and room for what the server writes by itself."""


def write_chunk(sql: psycopg.Connection, number: int) -> None:
    """Commit half a chunk into the captured table, half into another, in turns."""
    for part in range(4):
        # Half a megabyte in 64 rows of 8 kB that do not compress, and as much beside it.
        first = number * 256 + part * 64
        for table in ("t", "other"):
            sql.execute(
                (
                    f"insert into {table} select x, (select string_agg(md5(x || '.' || y), '')"
                    " from generate_series(1, 256) y)"
                    " from generate_series(%s::int, %s::int) x"
                ).encode(),
                (first, first + 63),
            )


@pytest.mark.long
@pytest.mark.parametrize(
    "chunks", [6, pytest.param(100, marks=pytest.mark.soak)], ids=["24MB", "400MB"]
)
def test_wal_stays_bounded_and_all_arrives_in_order(
    chunks: int,
    database: Database,
    sql: psycopg.Connection,
    rabbitmq: PrivateRabbitMQ,
    broker_url: str,
    tmp_path: Path,
) -> None:
    for table in ("t", "other"):
        sql.execute(f"create table {table} (id int, filling text)".encode())
        sql.execute(f"alter table {table} alter filling set storage external".encode())
    sql.execute("alter table t add primary key (id)")
    log = SqliteEventLog(tmp_path / "log.db")
    cursors = SqliteSinkCursors(tmp_path / "state.db")
    observer = RecordingObserver()
    topology = Topology(queues=(QueueSpec(name=QUEUE, bindings=("shop.#",)),))
    sink = RabbitMQSink(broker_url, topology, type_prefix="com.example", observer=observer)
    source = make_source(database.dsn, database.name, T)
    reader = source.slot_reader()
    held: list[int] = []
    backoff = Backoff(longest_ms=500)
    rabbitmq.flush()  # It is killed: the virtual host must be on its disk.
    rabbitmq.kill()
    try:
        with (
            capturing(source, log, tmp_path, T, idle_interval_s=0.1) as running,
            relaying(Relay("rabbitmq", log, sink, cursors, observer, backoff=backoff)),
        ):
            await_streaming(running, log, T)
            first = reader.read().position
            for number in range(chunks):
                write_chunk(sql, number)
                held.append(held_bytes(reader))
                written = reader.read().position
                wait_until(lambda: cursor_of(log).end_lsn >= written, 60, "capture")  # noqa: B023  called in this turn
                sql.execute("checkpoint")
            total = reader.read().position - first
            await_position(running, sql, log)

            def is_released() -> bool:
                sql.execute("checkpoint")
                return held_bytes(reader) < MB

            wait_until(is_released, 30, "the last WAL to be released")
            assert cursors.load("rabbitmq") == 0
            assert total >= chunks * CHUNK_BYTES
            assert max(held) <= BOUND_BYTES, [round(one / MB, 1) for one in held]

            size = log.head().size
            assert size == chunks * 256
            rabbitmq.restart()
            wait_until(lambda: cursors.load("rabbitmq") > 0, 60, "the relay to come back")
            delivered = take_all(broker_url, QUEUE, set(range(size)))
    finally:
        reader.close()
        if not rabbitmq.is_running:
            rabbitmq.restart()
        cursors.close()
        log.close()
    order = list(dict.fromkeys(message.leaf_index for message in delivered))
    assert order == list(range(size))
    ids = dict.fromkeys(int(json.loads(message.body)["after"]["id"]) for message in delivered)
    assert list(ids) == list(range(size))


def held_bytes(reader: PostgresSlotReader) -> int:
    """Return how much WAL the slot makes the source keep."""
    reading = reader.read()
    assert reading.restart_lsn is not None
    return reading.position - reading.restart_lsn
