"""The rig of the dual write tests, on each kind of journal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.dual.peer import Peer
from tests.gateway.dual.rig import Rig

_USUALLY_ON_BOTH = {"test_dual_write", "test_journal_away", "test_plain_writes"}


@pytest.fixture(params=["sqlite", "postgres"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Two live peers at stage `legacy`, epoch 0."""
    dsn = request.getfixturevalue("journal_dsn") if request.param == "postgres" else None
    made = Rig(tmp_path, Peer("legacy", "{}"), Peer("modern", "m-{}"), dsn)
    yield made
    made.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what shows the writer rather than the journal to the soak, on the second journal."""
    for item in items:
        if "[postgres" in item.name and item.path.stem not in _USUALLY_ON_BOTH:
            item.add_marker(pytest.mark.soak)
