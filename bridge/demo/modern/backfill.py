"""Run the backfill: `python -m bridge.demo.modern.backfill --broker amqp://… --dsn …`.

With `--until LEAF` it ends once that entry of the event log, and everything before it, is applied.
"""

import argparse
import threading
from pathlib import Path
from typing import Any

import psycopg

from bridge.consumer import Consumer
from bridge.consumer.postgres_inbox import PostgresInbox
from bridge.contracts import ContractSet
from bridge.demo.modern.database import create_schema
from bridge.demo.modern.importer import BINDINGS, GROUP, QUEUE, apply, position
from bridge.demo.places import data_root
from bridge.model.observer import Observer
from bridge.model.signals import stop_on_signals

_LOOK_INTERVAL_S = 0.1


def consumer(
    broker_url: str,
    dsn: str,
    contracts: ContractSet,
    *,
    exchange: str = "lb.events",
    observer: Observer | None = None,
) -> Consumer[psycopg.Connection[Any]]:
    """Return the consumer that imports orders into the modern service's database."""
    create_schema(dsn)
    return Consumer(
        broker_url,
        QUEUE,
        BINDINGS,
        apply,
        PostgresInbox(dsn),
        contracts,
        group=GROUP,
        exchange=exchange,
        observer=observer,
    )


def stop_at(dsn: str, leaf_index: int, stop: threading.Event) -> None:
    """Set `stop` once the entry `leaf_index` is applied; returns when it is set by anybody.

    What is in the queue behind that entry may be applied as well, and is harmless.
    """
    while position(dsn) < leaf_index and not stop.wait(_LOOK_INTERVAL_S):
        pass
    stop.set()


def main() -> None:
    """Import until SIGTERM or SIGINT, or until the given entry is applied."""
    parser = argparse.ArgumentParser(
        prog="python -m bridge.demo.modern.backfill", description=__doc__
    )
    parser.add_argument("--broker", required=True, help="AMQP URL")
    parser.add_argument("--dsn", required=True, help="libpq URI of the modern database")
    parser.add_argument("--contracts", type=Path, default=data_root() / "contracts")
    parser.add_argument("--type-prefix", default="com.example")
    parser.add_argument("--until", type=int, metavar="LEAF", help="end after this log entry")
    arguments = parser.parse_args()
    contracts = ContractSet.load(arguments.contracts, type_prefix=arguments.type_prefix)
    stop = threading.Event()
    service = consumer(arguments.broker, arguments.dsn, contracts)
    if arguments.until is not None:
        watching = (arguments.dsn, arguments.until, stop)
        threading.Thread(target=stop_at, args=watching, daemon=True).start()
    with stop_on_signals(stop):
        service.run(stop)


if __name__ == "__main__":
    main()
