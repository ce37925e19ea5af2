"""The rig of the dual write tests, on the journal of one machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.dual.peer import Peer
from tests.gateway.dual.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Two live peers at stage `legacy`, epoch 0."""
    made = Rig(tmp_path, Peer("legacy", "{}"), Peer("modern", "m-{}"))
    yield made
    made.close()
