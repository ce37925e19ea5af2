"""A database with rights to play with, and a log in memory."""

from collections.abc import Iterator

import psycopg
import pytest

from bridge.storage.event_log.memory import MemoryEventLog
from tests.conftest import Database


@pytest.fixture
def sql(database: Database) -> Iterator[psycopg.Connection]:
    """A connection of the legacy application, with the settings that capture pins."""
    options = "-c datestyle=ISO -c intervalstyle=iso_8601 -c timezone=UTC -c extra_float_digits=3"
    with psycopg.connect(database.dsn, autocommit=True, options=options) as connection:
        yield connection


@pytest.fixture
def log() -> Iterator[MemoryEventLog]:
    log = MemoryEventLog()
    yield log
    log.close()
