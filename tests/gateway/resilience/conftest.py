"""One gateway for all tests of this folder: it takes seconds to start."""

from collections.abc import Iterator

import pytest

from tests.gateway.resilience.rig import WHY, House, house
from tests.waiting import wait_until


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway with all its roles between two processes; for tests that change nothing."""
    with house(tmp_path_factory.mktemp("resilience")) as made:
        yield made


@pytest.fixture
def gateway(shared: House) -> Iterator[House]:
    """The same: afterwards no drill is on, both sides live and nothing is on its way."""
    yield shared
    shared.end()
    if shared.broken:
        shared.broken = False
        shared.modern.kill()
        shared.modern.start()
        shared.call("lanes", "resume", "orders", *WHY)
    wait_until(shared.drained, what="every lane to be drained")
    wait_until(shared.recovered, what="modern to be asked again")
