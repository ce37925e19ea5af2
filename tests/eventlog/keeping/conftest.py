"""An open data folder, and each kind of store of data keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.eventlog.keeping.ports import SubjectKeyStore
from bridge.runtime.wiring.stores import Stores
from bridge.storage.subject_keys.memory import MemorySubjectKeys
from bridge.storage.subject_keys.sqlite import SqliteSubjectKeys
from tests.eventlog.keeping.shop import settings


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    """The stores of a data folder whose contract names customers."""
    with Stores(settings(tmp_path)) as opened:
        yield opened


@pytest.fixture(params=["memory", "sqlite"])
def key_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SubjectKeyStore]:
    """An empty store of each kind."""
    store: SubjectKeyStore
    if request.param == "memory":
        store = MemorySubjectKeys()
    else:
        store = SqliteSubjectKeys(tmp_path / "keys.db")
    yield store
    store.close()
