"""The API of a fresh deployment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.deployment import Deployment
from tests.control.served import Api, served


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(Deployment(tmp_path)) as served_api:
        yield served_api
