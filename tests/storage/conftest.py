"""One journal from both ends, in each of its implementations."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.storage.journal.memory import MemoryJournal
from bridge.storage.journal.memory_desk import MemoryJournalDesk
from bridge.storage.journal.sqlite import SqliteJournal
from bridge.storage.journal.sqlite_desk import SqliteJournalDesk
from tests.storage.journal_kit import Books


@pytest.fixture(params=["sqlite", "memory"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    made: Books
    if request.param == "sqlite":
        path = tmp_path / "journal.db"
        made = Books(SqliteJournal(path), SqliteJournalDesk(path))
    else:
        journal = MemoryJournal()
        made = Books(journal, MemoryJournalDesk(journal.state))
    made.desk.ensure_groups(["orders"])
    yield made
    made.journal.close()
    made.desk.close()
