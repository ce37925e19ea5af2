"""Both verifiers for the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.eventlog.verifier.both import Verifiers, both_verifiers


@pytest.fixture(scope="session")
def verifiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verifiers]:
    """Both verifiers; each keeps its process for the whole session."""
    with both_verifiers(tmp_path_factory.mktemp("bundles") / "bundle") as opened:
        yield opened
