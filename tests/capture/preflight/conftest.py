"""Databases of the newest server."""

from collections.abc import Iterator

import pytest

from bridge.demo.servers import PrivatePostgres
from tests.conftest import Database, fresh_database


@pytest.fixture
def postgres_18_database(
    postgres_18: PrivatePostgres, database_names: Iterator[str]
) -> Iterator[Database]:
    with fresh_database(postgres_18, next(database_names)) as database:
        yield database
