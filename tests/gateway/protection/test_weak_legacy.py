"""A weak legacy behind the gateway, under more load than it can bear."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from adapters.upstream.pool import Pool, PoolLimits
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.protection.adaptive_limit import AdaptiveLimit
from bridge.gateway.protection.breaker import Breaker
from bridge.gateway.protection.guarded_pool import GuardedPool, Guards
from bridge.gateway.protection.retry_budget import RetryBudget
from bridge.gateway.protection.token_bucket import TokenBuckets
from bridge.gateway.routes.sections.protection import Priority, ProtectionRules
from bridge.gateway.upstream_ports import NamedPool
from tests.gateway.http.rig import Gateway, route
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import GET, OK, Message, Wire
from tests.gateway.protection.crowd import crowd, statuses, steady
from tests.gateway.protection.legacy import WeakLegacy
from tests.waiting import RecordingObserver, wait_until

ROUTES = [
    route("high", "/high", protection=ProtectionRules(priority=Priority.HIGH)),
    route("low", "/low", protection=ProtectionRules(priority=Priority.LOW)),
    route("quick", "/quick", timeout_ms=300),
    route("all", "/{rest...}"),
]


def guards(
    *,
    most: int | None = None,
    adaptive: bool = False,
    queue_max: int = 64,
    queue_wait_s: float = 5.0,
    breaker: Breaker | None = None,
    rate: float | None = None,
) -> Guards:
    limit = None if most is None else AdaptiveLimit(most=most, adaptive=adaptive)
    bucket = None if rate is None else TokenBuckets(rate, 5)
    return Guards(
        limit=limit,
        queue_max=queue_max,
        queue_wait_s=queue_wait_s,
        breaker=breaker,
        bucket=bucket,
        retries=RetryBudget("legacy"),
    )


@pytest.fixture
def legacy() -> Iterator[WeakLegacy]:
    """Four at once, 20 ms each: 200 requests a second at best, and fewer when it is crowded."""
    weak = WeakLegacy(4, 0.02)
    yield weak
    weak.close()


def behind(how: Guards) -> Callable[[Pool, RecordingObserver], NamedPool]:
    return lambda pool, observer: GuardedPool(pool, how, observer)


@contextmanager
def protected(port: int, how: Guards) -> Iterator[Gateway]:
    settings = PlaneSettings(drain_ms=300, drain_idle_ms=0)
    limits = PoolLimits(connections_max=500, wait_ms=5_000)
    with Gateway(
        {"legacy": port}, routes=ROUTES, settings=settings, limits=limits, guard=behind(how)
    ) as gateway:
        yield gateway


def test_no_more_than_its_places_are_asked_at_once(legacy: WeakLegacy) -> None:
    with protected(legacy.port, guards(most=4, queue_max=200)) as gateway:
        heard = crowd(gateway.port, [b"/a"] * 60)
    assert statuses(heard) == {200: 60}
    assert legacy.at_once_max == 4


def test_a_burst_is_shed_at_once_and_the_queue_keeps_its_bound(legacy: WeakLegacy) -> None:
    with protected(legacy.port, guards(most=4, queue_max=10)) as gateway:
        heard = crowd(gateway.port, [b"/a"] * 150)
        counts = statuses(heard)
    told = sum(int(note.facts["requests"]) for note in gateway.observer.notes("shed"))
    assert set(counts) == {200, 503}
    assert legacy.count == counts[200]
    assert legacy.at_once_max == 4
    assert told == counts[503] > 50
    shed = [each for each in heard if each.status == 503]
    assert all(b"\r\nRetry-After: 1" in each.head for each in shed)
    assert max(each.took_s for each in shed) < 2.0  # Not one waited for the queue's 5 s.


def test_a_weak_legacy_keeps_answering_its_share(legacy: WeakLegacy) -> None:
    """Left alone with the same load, it would be crowded tenfold and answer a tenth."""
    with protected(legacy.port, guards(most=60, adaptive=True, queue_max=4)) as gateway:
        steady(gateway.port, 40, 1.0)
        heard = steady(gateway.port, 40, 1.5)
    served = statuses(heard)[200] / 1.5
    assert served > 60, statuses(heard)


def test_low_priority_is_shed_first(legacy: WeakLegacy) -> None:
    legacy.hang = True
    with protected(legacy.port, guards(most=2, queue_max=4, queue_wait_s=1.0)) as gateway:
        waiting = [gateway.connect() for _ in range(10)]
        for client, path in zip(
            waiting, [b"/a"] * 2 + [b"/low"] * 4 + [b"/high"] * 3 + [b"/low"], strict=True
        ):
            client.send(GET % path)
            if client is waiting[1]:
                wait_until(lambda: legacy.count == 2, what="the first two")
        shed = [client.message() for client in (*waiting[3:6], waiting[9])]
        assert [each.status for each in shed] == [503] * 4
        rest = [waiting[number].message().status for number in (2, 6, 7, 8)]
        assert rest == [503] * 4  # After a second in the queue.
        for client in waiting:
            client.reset()
    assert legacy.requests[b"/low"] == 0


def test_a_rate_is_kept(legacy: WeakLegacy) -> None:
    with protected(legacy.port, guards(rate=10.0)) as gateway:
        heard = crowd(gateway.port, [b"/a"] * 40)
    counts = statuses(heard)
    assert 5 <= counts[200] <= 12
    assert counts[503] == 40 - counts[200]
    assert legacy.count == counts[200]


def test_a_client_that_leaves_gives_its_place_back(legacy: WeakLegacy) -> None:
    legacy.hang = True
    with protected(legacy.port, guards(most=1, queue_max=1)) as gateway:
        first, second = gateway.connect(), gateway.connect()
        first.send(GET % b"/1")
        wait_until(lambda: legacy.count == 1, what="the first request")
        second.send(GET % b"/2")
        with gateway.connect() as third:
            third.send(GET % b"/3")
            assert third.message().status == 503
        second.reset()  # Its place in the queue is free.
        legacy.hang = False
        with gateway.connect() as fourth:
            wait_until(lambda: _waits(fourth), what="a place in the queue")
            first.reset()
            assert fourth.message().status == 200
    assert legacy.requests[b"/2"] == 0


def _waits(client: Wire) -> bool:
    """Ask; return whether the request was not shed at once."""
    client.send(GET % b"/4")
    client.sock.settimeout(0.2)
    try:
        data = client.sock.recv(65_536, socket.MSG_PEEK)
    except TimeoutError:
        client.sock.settimeout(10)
        return True
    assert data.startswith(b"HTTP/1.1 503"), data
    client.sock.settimeout(10)
    client.message()
    return False


@pytest.mark.parametrize("fault", ["status", "hang", "gone"])
def test_a_breaker_opens_probes_once_and_closes(legacy: WeakLegacy, fault: str) -> None:
    found = Breaker(share=0.5, count_min=4, window_s=10, rest_s=0.5)
    port = legacy.port
    if fault == "status":
        legacy.status = 503
    elif fault == "hang":
        legacy.hang = True
    else:
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
    with protected(port, guards(breaker=found)) as gateway:
        crowd(gateway.port, [b"/quick"] * 4)
        gateway.observer.await_note("breaker", state="open")
        before = legacy.count
        refused = crowd(gateway.port, [b"/quick"] * 50)
        assert statuses(refused) == {503: 50}
        assert max(each.took_s for each in refused) < 2.0
        assert legacy.count == before
        if fault == "gone":
            return
        wait_until(lambda: found.open_until <= time.monotonic(), what="the end of the rest")
        legacy.hang = True
        probed = crowd(gateway.port, [b"/quick"] * 20)
        assert statuses(probed) == {503: 19, 504: 1}
        assert legacy.count == before + 1
        wait_until(lambda: found.open_until <= time.monotonic(), what="the end of the longer rest")
        legacy.hang, legacy.status = False, 200
        assert statuses(crowd(gateway.port, [b"/probe"])) == {200: 1}
        assert statuses(crowd(gateway.port, [b"/a"] * 10)) == {200: 10}


def test_a_retry_storm_does_not_multiply_the_load() -> None:
    """An upstream that closes every kept connection at its next request, answering nothing."""
    seen: dict[int, int] = {}
    upstream = Upstream()

    def once(wire: Wire, _: Message) -> None:
        seen[id(wire)] = seen.get(id(wire), 0) + 1
        if seen[id(wire)] == 1:
            wire.send(OK)
        else:
            wire.close()

    upstream.default = once
    try:
        with protected(upstream.port, guards()) as gateway, gateway.connect() as client:
            statuses_seen = []
            for _ in range(200):
                client.send(GET % b"/storm")
                statuses_seen.append(client.message().status)
            calls = len(upstream.received)
            gateway.observer.await_note("retry_refused")
    finally:
        upstream.close()
    # Without the budget, every second request would be sent twice: 300 calls and more.
    assert calls <= 200 * 1.2 + 15, calls
    assert statuses_seen.count(502) > 20


def test_what_is_not_protected_has_no_guard(legacy: WeakLegacy) -> None:
    with Gateway({"legacy": legacy.port}, routes=ROUTES) as gateway:
        heard = crowd(gateway.port, [b"/a"] * 20)
    assert statuses(heard) == {200: 20}
    assert not gateway.observer.notes("shed")
