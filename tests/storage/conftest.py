"""One journal from both ends, in each of its implementations."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.storage.journal.memory import MemoryJournal
from bridge.storage.journal.memory_desk import MemoryJournalDesk
from bridge.storage.journal.postgres import PostgresJournal
from bridge.storage.journal.postgres_desk import PostgresJournalDesk
from bridge.storage.journal.postgres_replicas import PostgresReplicas
from bridge.storage.journal.sqlite import SqliteJournal
from bridge.storage.journal.sqlite_desk import SqliteJournalDesk
from tests.storage.journal_kit import Books

# Owners in whose name the tests open writes; none of them may be taken for dead here.
_OWNERS = ("worker-a", "dead", "live")


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    made: Books
    replicas = None
    if request.param == "sqlite":
        path = tmp_path / "journal.db"
        made = Books(SqliteJournal(path), SqliteJournalDesk(path))
    elif request.param == "postgres":
        dsn: str = request.getfixturevalue("journal_dsn")
        replicas = PostgresReplicas(dsn, lease_s=60)
        for owner in _OWNERS:
            replicas.take(owner)
        made = Books(PostgresJournal(dsn), PostgresJournalDesk(dsn))
    else:
        journal = MemoryJournal()
        made = Books(journal, MemoryJournalDesk(journal.state))
    made.desk.ensure_groups(["orders"])
    yield made
    made.journal.close()
    made.desk.close()
    if replicas is not None:
        replicas.close()


@pytest.fixture
def desk(journal_dsn: str) -> Iterator[PostgresJournalDesk]:
    """A desk of group `orders`, beside a replica with a long lease."""
    replicas = PostgresReplicas(journal_dsn, lease_s=60)
    replicas.take("worker-a")
    desk = PostgresJournalDesk(journal_dsn)
    desk.ensure_groups(["orders"])
    yield desk
    desk.close()
    replicas.close()


@pytest.fixture
def shared(journal_dsn: str, desk: PostgresJournalDesk) -> Iterator[Books]:
    journal = PostgresJournal(journal_dsn)
    yield Books(journal, desk)
    journal.close()
