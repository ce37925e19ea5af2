"""A consumer as a process of its own, for tests that kill it: URL STORE READY_FILE."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge.consumer import Consumer, ReceivedEvent
from bridge.consumer.postgres_inbox import PostgresInbox
from bridge.consumer.sqlite_inbox import SqliteInbox
from bridge.model.signals import stop_on_signals
from tests.consumer.samples import BINDINGS, contracts

TABLES = """
CREATE TABLE IF NOT EXISTS branch (id INTEGER PRIMARY KEY, balance INTEGER, changes INTEGER);
CREATE TABLE IF NOT EXISTS disorder (branch_id INTEGER, was INTEGER, came INTEGER);
"""
# Counts every application, so that a double one shows, and notes what came out of order.
NOTE_DISORDER = """
INSERT INTO disorder SELECT id, balance, {0} FROM branch WHERE id = {0} AND balance >= {0}
"""
UPSERT = """
INSERT INTO branch VALUES ({0}, {0}, 1) ON CONFLICT (id)
DO UPDATE SET balance = excluded.balance, changes = branch.changes + 1
"""


def handler(placeholder: str) -> Callable[[ReceivedEvent, Any], None]:
    """Return a handler for a database that writes parameters as `placeholder`."""
    note_disorder, upsert = NOTE_DISORDER.format(placeholder), UPSERT.format(placeholder)

    def handle(event: ReceivedEvent, tx: Any) -> None:
        row = event.data["after"]
        branch, balance = row["branch_id"], row["balance"]
        tx.execute(note_disorder, (balance, branch, balance))
        tx.execute(upsert, (branch, balance))

    return handle


def create(execute: Callable[[str], Any]) -> None:
    """Create the read model's tables."""
    execute(TABLES)


class ReadyFile:
    """Tells that the consumer is connected, for the first time, by creating a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, name: str, **_facts: int | float | str) -> None:
        if name == "connected":
            self._path.touch()


def consumer(url: str, store: str, ready: Path) -> "Consumer[Any]":
    """Return a consumer that keeps its read model in `store`: a file, or a PostgreSQL URI."""
    inbox: Any
    if store.startswith("postgresql:"):
        inbox = PostgresInbox(store, prepare=lambda tx: create(tx.execute))
        handle = handler("%s")
    else:
        inbox = SqliteInbox(Path(store), prepare=lambda tx: create(tx.executescript))
        handle = handler("?")
    return Consumer(
        url,
        "c.test",
        BINDINGS,
        handle,
        inbox,
        contracts(),
        group="test",
        prefetch=200,
        batch_count_max=50,
        observer=ReadyFile(ready),
    )


def main() -> None:
    stop = threading.Event()
    with stop_on_signals(stop):
        consumer(sys.argv[1], sys.argv[2], Path(sys.argv[3])).run(stop)


if __name__ == "__main__":
    main()
