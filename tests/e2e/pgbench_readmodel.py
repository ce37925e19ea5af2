"""A consumer that rebuilds the four pgbench tables from events alone; run as its own process."""

import argparse
import sqlite3
import threading
from pathlib import Path

from bridge.consumer import Consumer, ReceivedEvent
from bridge.consumer.sqlite_inbox import SqliteInbox
from bridge.contracts import ContractSet
from bridge.model.change import ChangeKind
from bridge.model.group_queue import queue_name
from bridge.model.signals import stop_on_signals

CONTRACTS = Path(__file__).resolve().parent.parent / "pgbench_contracts"
GROUP = "pgbench"
BINDINGS = ["pgbench.#"]

# Per subject: table, key column, value columns; history has no key and is only ever added to.
KEYED = {
    "pgbench.account": ("accounts", "account_id", ("branch_id", "balance", "filler")),
    "pgbench.branch": ("branches", "branch_id", ("balance", "filler")),
    "pgbench.teller": ("tellers", "teller_id", ("branch_id", "balance", "filler")),
}
HISTORY = ("teller_id", "branch_id", "account_id", "delta", "recorded_at", "filler")


def columns(table: str) -> tuple[str, ...]:
    """Return the columns of a keyed table as the legacy one has them, key first."""
    return next((key, *names) for name, key, names in KEYED.values() if name == table)


def prepare(connection: sqlite3.Connection) -> None:
    """Create the read model."""
    for table, key, columns in KEYED.values():
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table}"
            f" ({key} INTEGER PRIMARY KEY, {', '.join(columns)}, sequence TEXT)"
        )
    connection.execute(f"CREATE TABLE IF NOT EXISTS history ({', '.join(HISTORY)})")
    connection.execute("CREATE TABLE IF NOT EXISTS disorder (event_id TEXT)")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS seen (event_id TEXT PRIMARY KEY, leaf INTEGER) WITHOUT ROWID"
    )


def handle(event: ReceivedEvent, tx: sqlite3.Connection) -> None:
    """Apply one event; `seen` proves that none comes twice, `disorder` that order is kept."""
    tx.execute("INSERT INTO seen VALUES (?, ?)", (event.id, event.leaf_index))
    if event.subject == "pgbench.history":
        _history(event, tx)
        return
    table, key, columns = KEYED[event.subject]
    if event.kind is ChangeKind.TRUNCATED:
        tx.execute(f"DELETE FROM {table}")
        return
    assert event.key is not None
    if event.kind is ChangeKind.DELETED:
        tx.execute(f"DELETE FROM {table} WHERE {key} = ?", (event.key[key],))
        return
    known = tx.execute(f"SELECT sequence FROM {table} WHERE {key} = ?", (event.key[key],))
    last = known.fetchone()
    if last is not None and last[0] >= event.sequence:
        tx.execute("INSERT INTO disorder VALUES (?)", (event.id,))
    after = event.data["after"]
    marks = ", ".join("?" * (len(columns) + 2))
    tx.execute(
        f"INSERT OR REPLACE INTO {table} VALUES ({marks})",
        (event.key[key], *(after[column] for column in columns), event.sequence),
    )


def _history(event: ReceivedEvent, tx: sqlite3.Connection) -> None:
    if event.kind is ChangeKind.TRUNCATED:
        tx.execute("DELETE FROM history")
        return
    after = event.data["after"]
    tx.execute(
        f"INSERT INTO history VALUES ({', '.join('?' * len(HISTORY))})",
        tuple(after[column] for column in HISTORY),
    )


def main() -> None:
    """Consume until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--file", type=Path, required=True)
    arguments = parser.parse_args()
    stop = threading.Event()
    consumer = Consumer(
        arguments.url,
        queue_name(GROUP),
        BINDINGS,
        handle,
        SqliteInbox(arguments.file, prepare=prepare),
        ContractSet.load(CONTRACTS, type_prefix="com.example"),
        group=GROUP,
    )
    with stop_on_signals(stop):
        consumer.run(stop)


if __name__ == "__main__":
    main()
