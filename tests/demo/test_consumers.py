"""Read model and backfill as their users run them: processes that consume from the broker."""

import signal
import subprocess
import sys
from pathlib import Path

import pika

from bridge.demo.modern.importer import QUEUE as IMPORT_QUEUE
from bridge.demo.modern.importer import id_pairs, position
from bridge.demo.readmodel.compare import compare, row_counts
from bridge.demo.readmodel.handler import QUEUE
from bridge.model.event import Event
from tests.consumer.samples import EXCHANGE, Broker
from tests.demo.conftest import Service
from tests.demo.events import mapped
from tests.waiting import wait_until


def bind_queues(broker_url: str) -> None:
    """Declare the queues as the relay's topology has them, so that events wait for consumers."""
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    channel = connection.channel()
    arguments = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
    for queue in (QUEUE, IMPORT_QUEUE):
        channel.queue_declare(queue, durable=True, arguments=arguments)
        channel.queue_bind(queue, EXCHANGE, routing_key="shop.#")
    connection.close()


def test_both_keep_up_and_end(
    shop: Service, modern_dsn: str, broker_url: str, tmp_path: Path
) -> None:
    made = [event for event in mapped(shop.dsn) if isinstance(event, Event)]
    database = tmp_path / "model.db"
    with Broker(broker_url) as broker:
        bind_queues(broker_url)
        broker.publish_fast(made)
    common = ("--broker", broker_url)
    module = (sys.executable, "-m")
    readmodel = subprocess.Popen(
        [*module, "bridge.demo.readmodel", *common, "--database", str(database)]
    )
    backfill = subprocess.Popen(
        [
            *(*module, "bridge.demo.modern.backfill", *common, "--dsn", modern_dsn),
            *("--until", str(len(made) - 1)),
        ]
    )
    # The backfill ends by itself, at its position; the read model goes on until it is told.
    assert backfill.wait(timeout=60) == 0
    assert position(modern_dsn) == len(made) - 1
    assert len(list(id_pairs(modern_dsn))) == 200
    wait_until(
        lambda: database.exists() and sum(row_counts(database).values()) == len(made),
        timeout_s=60,
        what="the read model to hold every row",
    )
    assert readmodel.poll() is None
    readmodel.send_signal(signal.SIGTERM)
    assert readmodel.wait(timeout=60) == 0
    assert compare(shop.dsn, database) == []
