"""The stores that the conformance suite runs over, and drafts to append."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.ports import EventLogStore
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.event_log.postgres import PostgresEventLog
from bridge.storage.event_log.sqlite import SqliteEventLog

OpenStore = Callable[[], EventLogStore]


@pytest.fixture(params=["sqlite", "postgres"])
def open_durable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens one log again and again, each time as another process would."""
    opened: list[EventLogStore] = []
    database: Any = request.getfixturevalue("database") if request.param == "postgres" else None

    def open_store() -> EventLogStore:
        store: EventLogStore
        if database is None:
            store = SqliteEventLog(tmp_path / "log.db")
        else:
            store = PostgresEventLog(database.dsn)
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLogStore]:
    """An empty log of each kind."""
    store: EventLogStore
    if request.param == "memory":
        store = MemoryEventLog()
    elif request.param == "sqlite":
        store = SqliteEventLog(tmp_path / "log.db")
    else:
        store = PostgresEventLog(request.getfixturevalue("database").dsn)
    yield store
    store.close()
