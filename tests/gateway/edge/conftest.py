"""An authority and an upstream."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.edge.authority import Authority
from tests.gateway.http.upstream import Upstream


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Certifies what a test asks for."""
    return Authority(tmp_path)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream that answers 200."""
    running = Upstream()
    yield running
    running.close()
