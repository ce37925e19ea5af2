"""Take events into the read model; a handler for `bridge.consumer`."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bridge.consumer import Consumer, ReceivedEvent
from bridge.consumer.sqlite_inbox import SqliteInbox
from bridge.contracts import ContractSet
from bridge.demo.readmodel.tables import OVERVIEW, TABLES
from bridge.model.change import ChangeKind
from bridge.model.observer import Observer

GROUP: Final = "readmodel"
QUEUE: Final = f"c.{GROUP}"
BINDINGS: Final = ("shop.#",)

_PUT: Final = {subject: table.put() for subject, table in TABLES.items()}
_REMOVE: Final = {subject: table.remove() for subject, table in TABLES.items() if table.key}


def prepare(connection: sqlite3.Connection) -> None:
    """Create the tables that are not there."""
    for table in TABLES.values():
        connection.execute(table.create())
    connection.execute(OVERVIEW)


def apply(event: ReceivedEvent, connection: sqlite3.Connection) -> None:
    """Take one event of the shop, within the caller's transaction; others are passed over."""
    table = TABLES.get(event.subject)
    if table is None:
        return
    if event.kind is ChangeKind.TRUNCATED:
        connection.execute(table.empty())
        return
    before = event.data.get("before")
    if before is not None and table.key:
        old_key = {name: before[name] for name in table.key}
        if event.kind is ChangeKind.DELETED or old_key != event.key:
            _remove(connection, event, old_key)
    after = event.data.get("after")
    if after is not None:
        _put(connection, event, after)


def consumer(
    broker_url: str,
    path: Path,
    contracts: ContractSet,
    *,
    exchange: str = "lb.events",
    observer: Observer | None = None,
) -> Consumer[sqlite3.Connection]:
    """Return the consumer that keeps the read model in the SQLite file `path`."""
    return Consumer(
        broker_url,
        QUEUE,
        BINDINGS,
        apply,
        SqliteInbox(path, prepare=prepare),
        contracts,
        group=GROUP,
        exchange=exchange,
        observer=observer,
    )


def _put(connection: sqlite3.Connection, event: ReceivedEvent, after: Mapping[str, Any]) -> None:
    table = TABLES[event.subject]
    parameters = {"sequence": event.sequence, "event_id": event.id, **after}
    if table.long_text is not None:
        parameters["sent"] = table.long_text in after
        parameters.setdefault(table.long_text, None)
    connection.execute(_PUT[event.subject], parameters)


def _remove(connection: sqlite3.Connection, event: ReceivedEvent, key: Mapping[str, Any]) -> None:
    connection.execute(_REMOVE[event.subject], {"sequence": event.sequence, **key})
