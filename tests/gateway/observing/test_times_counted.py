"""What each exchange counts: first byte and whole, waits, and the phases of a journalled write."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.upstream.pool import PoolLimits
from bridge.gateway.routes.timings import RouteTimes, Timings, read_times
from bridge.model.latency import Histogram
from bridge.model.stage import Side, Stage
from tests.gateway.canary.rig import CanaryGateway, a_key
from tests.gateway.dual.peer import Peer, Slow
from tests.gateway.dual.rig import GROUP, Rig, a_request, value_of
from tests.gateway.http.rig import Gateway, ports
from tests.gateway.http.upstream import Upstream, hangs
from tests.gateway.http.wire import GET, OK, Message, Wire
from tests.warrants import by


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


def told(gateway: Gateway) -> dict[str, dict[str, Histogram]]:
    """Stop the worker and return what it told, by label."""
    gateway.stop()
    found: dict[str, dict[str, Histogram]] = {}
    for note in gateway.observer.notes():
        if note.name == "latency":
            found |= {label: read_times(str(text)) for label, text in note.facts.items()}
    return found


def get(gateway: Gateway, path: bytes) -> Message:
    """Send one request over a connection of its own."""
    with gateway.connect() as client:
        client.send(GET % path)
        return client.message()


def test_an_answer_counts_under_the_route_stage_and_side_that_gave_it(upstream: Upstream) -> None:
    with Gateway(ports(upstream)) as gateway:
        for _ in range(3):
            assert get(gateway, b"/x").status == 200
        gateway.switch(Stage.MODERN, 1)
        with gateway.connect() as client:
            client.send(b"PUT /orders/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            client.message()
        found = told(gateway)
    assert found["all.legacy.legacy"]["whole"].count == 3
    assert found["all.legacy.legacy"]["first"].count == 3
    assert found["order-write.modern.modern"]["whole"].count == 1


def test_a_long_answer_begins_before_it_ends(upstream: Upstream) -> None:
    release = threading.Event()

    def slowly(wire: Wire, _: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        release.wait(10)
        wire.send(b"cd")

    upstream.at[b"/long"] = slowly
    with Gateway(ports(upstream)) as gateway, gateway.connect() as client:
        client.send(GET % b"/long")
        head = client.sock.recv(1_000)
        assert head.endswith(b"ab")
        threading.Timer(0.3, release.set).start()
        assert client.sock.recv(10) == b"cd"
        times = told(gateway)["all.legacy.legacy"]
    assert times["first"].count == times["whole"].count == 1
    assert times["first"].total_s < 0.2 < 0.3 <= times["whole"].total_s


def test_an_upstream_that_does_not_answer_counts_its_timeout(upstream: Upstream) -> None:
    over = threading.Event()
    upstream.at[b"/quick"] = hangs(over)
    with Gateway(ports(upstream)) as gateway:
        assert get(gateway, b"/quick").status == 504
        times = told(gateway)["quick.legacy.legacy"]
        over.set()
    assert "first" not in times
    assert times["whole"].count == 1
    assert times["whole"].total_s >= 0.3


def test_a_wait_for_a_connection_is_told_apart(upstream: Upstream) -> None:
    began, over = threading.Event(), threading.Event()

    def held(wire: Wire, _: Message) -> None:
        began.set()
        over.wait(10)
        wire.send(OK)

    upstream.at[b"/held"] = held
    limits = PoolLimits(connections_max=1, wait_ms=5_000)
    with Gateway(ports(upstream), limits=limits) as gateway, gateway.connect() as first:
        first.send(GET % b"/held")
        assert began.wait(10)
        with gateway.connect() as second:
            second.send(GET % b"/only-get")
            threading.Timer(0.2, over.set).start()
            assert second.message().status == 200
        times = told(gateway)["only-get.legacy.legacy"]
    assert times["connection"].count == 1
    assert times["connection"].total_s >= 0.15


def test_a_read_that_is_dealt_counts_under_its_cohort(upstream: Upstream) -> None:
    other = Upstream()
    with CanaryGateway(upstream, other) as gateway:
        for inside in (True, True, False):
            assert get(gateway, b"/orders/" + a_key(50, inside=inside).encode()).status == 200
        found = told(gateway)
    other.close()
    counts = {label: times["whole"].count for label, times in found.items()}
    dealt = {label: count for label, count in counts.items() if label.count(".") == 3}
    assert len(dealt) == 2
    for label, count in dealt.items():
        _, stage, side, cohort = label.split(".")
        assert (stage, side, cohort, count) in (
            ("canary", "modern", "in", 2), ("canary", "legacy", "out", 1),
        )  # fmt: skip


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, Peer("legacy", "{}"), Peer("modern", "m-{}"))
    yield made
    made.close()


def test_a_journalled_write_tells_its_phases(rig: Rig) -> None:
    async def check() -> RouteTimes:
        rig.legacy.orders["1"] = ["new"]
        rig.desk.import_ids(GROUP, "order", [("1", "m-1")], by())
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        rig.legacy.faults += [Slow(0.2), Slow(0.2)]
        times = Timings().of("order-status.dual.legacy")
        sent = [a_request("PUT", "/orders/1/status", {"status": each}) for each in ("a", "b")]
        decided = [worker.decide(request)._replace(times=times) for request in sent]
        pairs = zip(decided, sent, strict=True)
        answers = await asyncio.gather(*(worker.writer.write(*pair) for pair in pairs))
        assert [answer.status for answer in answers] == [200, 200]
        return times

    phases = asyncio.run(check()).phases
    assert {name: phase.count for name, phase in phases.items()} == dict.fromkeys(
        ("lane", "intent", "authority", "outcome", "own"), 2
    )
    assert phases["authority"].total_s >= 0.4
    # The second waited for the first; that is the gateway's doing, and the commits are.
    assert phases["lane"].total_s >= 0.2
    commits_s = phases["intent"].total_s + phases["outcome"].total_s
    assert phases["own"].total_s >= phases["lane"].total_s + commits_s
    assert commits_s > 0


def test_a_read_from_the_side_that_has_the_last_write_counts_there(rig: Rig) -> None:
    """The key's last write is on legacy and not yet on modern, which is the authority."""

    async def check() -> Timings:
        rig.legacy.orders["1"], rig.modern.orders["1"] = ["new"], ["new"]
        rig.desk.import_ids(GROUP, "order", [("1", "1")], by())
        rig.switch(Stage.DUAL)
        answer = await rig.worker().send("PUT", "/orders/1/status", {"status": "paid"})
        assert answer.status == 200
        rig.switch(Stage.MODERN)
        worker, timings, request = rig.worker(), Timings(), a_request("GET", "/orders/1")
        times = timings.of("order-read.modern.modern")
        decision = worker.decide(request)._replace(times=times)
        assert decision.authority is Side.MODERN
        assert value_of(await worker.writer.read(decision, request))["side"] == "legacy"
        return timings

    timings = asyncio.run(check())
    assert timings.of("order-read.modern.legacy").phases["authority"].count == 1
    assert not timings.of("order-read.modern.modern").phases
