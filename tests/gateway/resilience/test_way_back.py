"""Reads of a modern side that is killed, stopped, or answers with errors, on real processes."""

import signal
import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from tests.gateway.resilience.rig import WHY, House, house
from tests.waiting import wait_until

READ = "protection: {fallback: reads, fallback_after_ms: 400}"
LIST = "protection: {fallback: reads, fallback_after_ms: 400, fallback_statuses: [500]}"
STALE = "protection: {fallback: stale, fallback_after_ms: 400}"
BREAKER = {"breaker": {"requests_min": 4, "window_ms": 2_000, "rest_ms": 300}}
FIELD = "legacy-bridge-fallback"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One worker and the replayer; every read may fall back, each by another rule."""
    folder = tmp_path_factory.mktemp("way-back")
    rules = {"read": READ, "list": LIST, "late": STALE}
    with house(folder, workers=1, protection=BREAKER, **rules) as made:
        made.run.await_roles("replay")
        yield made


@pytest.fixture
def gateway(shared: House) -> Iterator[House]:
    """With modern alive and nothing on its way."""
    yield shared
    shared.modern.kill()
    shared.modern.start()
    shared.call("lanes", "resume", "orders", *WHY)
    wait_until(shared.drained, what="empty lanes")
    wait_until(lambda: shared.get("/orders/1").side == "modern", what="modern to be asked again")


def test_reads_of_a_dead_modern_side_are_answered_by_legacy(gateway: House) -> None:
    assert gateway.put("a", "new").status == 200
    wait_until(gateway.drained, what="the replay")
    healthy = gateway.get("/orders/a")
    assert (healthy.side, FIELD in healthy.headers) == ("modern", False)
    gateway.modern.kill()
    for _ in range(20):
        found = gateway.get("/orders/a")
        assert (found.status, found.side, found.headers[FIELD]) == (200, "legacy", "legacy")
        assert found.json["status"] == "new"
    assert gateway.ask("HEAD", "/orders/a").headers[FIELD] == "legacy"
    # Writes have no way back.
    assert gateway.put("a", "newer").status in (502, 503)
    gateway.modern.start()
    # The probe finds it.
    wait_until(lambda: gateway.get("/orders/a").side == "modern", 5, "modern to be asked again")


def test_a_stopped_modern_side_costs_the_declared_time_and_then_nothing(gateway: House) -> None:
    assert gateway.get("/orders/a").side == "modern"
    gateway.modern.send(signal.SIGSTOP)
    took = []
    for _ in range(12):
        began = time.monotonic()
        found = gateway.get("/orders/a")
        took.append(time.monotonic() - began)
        assert (found.status, found.side) == (200, "legacy")
    assert took[0] >= 0.3
    # Far below the time of the route (30 s), and at once when the breaker is open.
    assert max(took) < 2
    assert min(took) < 0.1
    gateway.modern.send(signal.SIGCONT)
    wait_until(lambda: gateway.get("/orders/a").side == "modern", 5, "modern to be asked again")


def test_what_is_on_its_way_is_not_read_on_legacy(gateway: House) -> None:
    gateway.call("lanes", "hold", "orders", *WHY)
    assert gateway.put("pending", "newest").status == 200
    gateway.modern.kill()
    # Legacy does not have it: no answer is better than an old one.
    for _ in range(3):
        found = gateway.get("/orders/pending")
        assert found.status in (502, 503)
        assert FIELD not in found.headers
    # Another key of the same group has nothing on its way.
    assert gateway.get("/orders/elsewhere").headers[FIELD] == "legacy"
    # A list might lack it; where that is declared it says so.
    assert gateway.get("/orders").status in (502, 503)
    late = gateway.get("/late-orders")
    assert (late.status, late.headers[FIELD]) == (200, "legacy;may-lag")
    assert late.headers["cache-control"] == "no-store"
    gateway.call("lanes", "resume", "orders", *WHY)
    wait_until(gateway.drained, what="the replay")
    assert gateway.get("/orders/pending").json["status"] == "newest"
    assert gateway.get("/orders").headers[FIELD] == "legacy"
    assert gateway.get("/late-orders").headers[FIELD] == "legacy"


def test_500_is_an_answer_unless_it_is_declared_to_be_none(gateway: House) -> None:
    gateway.of(gateway.modern, "/_status", "PUT", b"500")
    found = gateway.get("/orders/a")
    assert (found.status, found.side, FIELD in found.headers) == (500, "modern", False)
    found = gateway.get("/orders")
    assert (found.status, found.side, found.headers[FIELD]) == (200, "legacy", "legacy")
    gateway.call("lanes", "hold", "orders", *WHY)
    gateway.put("pending", "x")
    # Nobody else has a better answer: modern's own is relayed.
    found = gateway.get("/orders")
    assert (found.status, found.side) == (500, "modern")


def test_it_has_a_label_of_its_own(gateway: House) -> None:
    gateway.modern.kill()
    assert gateway.get("/orders/a").side == "legacy"

    def counted() -> float:
        counts = gateway.run.roles()["gateway:0"].counts
        return counts.get("requests.order-read.modern.fallback.upstream.2xx.requests", 0)

    assert wait_until(counted, what="the count") >= 1
    assert gateway.run.roles()["gateway:0"].counts["fell_back.requests"] >= 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_no_read_fails_under_load(gateway: House, how: signal.Signals) -> None:
    stop = threading.Event()
    heard: list[tuple[int, str | None, float]] = []

    def client(number: int) -> None:
        while not stop.is_set():
            began = time.monotonic()
            found = gateway.get(f"/orders/load-{number}")
            heard.append((found.status, found.side, time.monotonic() - began))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(heard) > 200, what="load")
    before = len(heard)
    gateway.modern.send(how)
    wait_until(lambda: sum(side == "legacy" for _, side, _ in heard[before:]) > 200, what="load")
    stop.set()
    for thread in threads:
        thread.join(20)
    failed = [status for status, _, _ in heard if status != 200]
    assert not failed
    took = sorted(took_s for _, side, took_s in heard[before:] if side == "legacy")
    # Eight may have been under way when it stopped, and one probe at a time after that.
    assert statistics.median(took) < 0.2
    assert took[-1] < 3


def test_a_drill_rehearses_it(gateway: House) -> None:
    """The cohort's reads fall back as they would, and the report counts them as answered."""
    words = ("--fault", "refuse", "--keys", "chosen", "--for", "30s", "--json")
    drill = gateway.call("drill", "start", "orders", *words, *WHY)["drill"]
    gateway.await_processes(drill, 2)
    for _ in range(8):
        assert gateway.get("/orders/chosen").headers[FIELD] == "legacy"
    assert gateway.get("/orders/other").side == "modern"
    gateway.end()
    report = gateway.call("drill", "report", drill, "--json")
    assert report["cohort"]["fell_back"] == {"2xx": 8}
    assert report["cohort"]["errors"] == 0
    assert report["breaker"]["opened"] >= 1
    assert report["cohort"]["latency_ms"]["p50"] is not None
