"""One worker and one upstream for all cases that leave both as they were."""

from collections.abc import Iterator

import pytest

from tests.gateway.http.rig import Gateway
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import Wire


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[Gateway]:
    with Gateway({"legacy": upstream.port, "modern": upstream.port}) as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Wire]:
    with gateway.connect() as wire:
        yield wire
