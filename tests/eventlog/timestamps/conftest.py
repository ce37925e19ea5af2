"""A local time-stamp authority; its keys are made once for each worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventlog.timestamps.openssl_authority import Desk, OpensslAuthority, served


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority(tmp_path_factory.mktemp("tsa") / "good")


@pytest.fixture
def desk(authority: OpensslAuthority) -> Desk:
    return Desk(authority)


@pytest.fixture
def url(desk: Desk) -> Iterator[str]:
    with served(desk) as address:
        yield address


@pytest.fixture
def other_authority(tmp_path: Path) -> OpensslAuthority:
    return OpensslAuthority(tmp_path / "other")
