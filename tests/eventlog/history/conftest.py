"""Each kind of index, empty, with segments of a few entries."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.eventlog.history.ports import LogIndexWriter
from bridge.storage.log_index.postgres import PostgresLogIndex
from bridge.storage.log_index.sqlite import SqliteLogIndex

SEGMENT = 8

Open = Callable[[], LogIndexWriter]


@pytest.fixture(params=["sqlite", "postgres"])
def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open the same index again and again, as processes do."""
    opened: list[LogIndexWriter] = []
    dsn = request.getfixturevalue("database").dsn if request.param == "postgres" else ""

    def open_one() -> LogIndexWriter:
        index: LogIndexWriter
        if request.param == "postgres":
            index = PostgresLogIndex(dsn, segment_entries=SEGMENT)
        else:
            index = SqliteLogIndex(tmp_path / "index.db", segment_entries=SEGMENT)
        opened.append(index)
        return index

    yield open_one
    for index in opened:
        index.close()


@pytest.fixture
def index(open_index: Open) -> LogIndexWriter:
    return open_index()
