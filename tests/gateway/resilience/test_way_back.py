"""Reads of a modern side that is killed, stopped, or answers with errors, on real processes."""

import signal
import statistics
import threading
import time

import pytest

from tests.gateway.resilience.rig import WHY, House
from tests.waiting import wait_until

FIELD = "legacy-bridge-fallback"


def test_reads_of_a_dead_modern_side_are_answered_by_legacy(gateway: House) -> None:
    gateway.broken = True
    assert gateway.put("a", "new").status == 200
    wait_until(gateway.drained, what="the replay")
    healthy = gateway.get("/kept/a")
    assert (healthy.side, FIELD in healthy.headers) == ("modern", False)
    gateway.modern.kill()
    for _ in range(20):
        found = gateway.get("/kept/a")
        assert (found.status, found.side, found.headers[FIELD]) == (200, "legacy", "legacy")
        assert found.json["status"] == "new"
    assert gateway.ask("HEAD", "/kept/a").headers[FIELD] == "legacy"
    # Writes have no way back.
    assert gateway.put("a", "newer").status in (502, 503)
    gateway.modern.start()
    # The probe finds it.
    wait_until(lambda: gateway.get("/kept/a").side == "modern", 5, "modern to be asked again")


def test_a_stopped_modern_side_costs_the_declared_time_and_then_nothing(gateway: House) -> None:
    gateway.broken = True
    assert gateway.get("/kept/a").side == "modern"
    gateway.modern.send(signal.SIGSTOP)
    took = []
    for _ in range(20):
        began = time.monotonic()
        found = gateway.get("/kept/a")
        took.append(time.monotonic() - began)
        assert (found.status, found.side) == (200, "legacy")
    assert took[0] >= 0.3
    # Far below the time of the route (30 s), and at once when the breaker is open.
    assert max(took) < 2
    assert min(took) < 0.1
    gateway.modern.send(signal.SIGCONT)
    wait_until(lambda: gateway.get("/kept/a").side == "modern", 5, "modern to be asked again")


def test_what_is_on_its_way_is_not_read_on_legacy(gateway: House) -> None:
    gateway.broken = True
    gateway.call("lanes", "hold", "orders", *WHY)
    assert gateway.put("pending", "newest").status == 200
    gateway.modern.kill()
    # Legacy does not have it: no answer is better than an old one.
    for _ in range(3):
        found = gateway.get("/kept/pending")
        assert found.status in (502, 503)
        assert FIELD not in found.headers
    # Another key of the same group has nothing on its way.
    assert gateway.get("/kept/elsewhere").headers[FIELD] == "legacy"
    # A list might lack it; where that is declared it says so.
    assert gateway.get("/kept").status in (502, 503)
    late = gateway.get("/late")
    assert (late.status, late.headers[FIELD]) == (200, "legacy;may-lag")
    assert late.headers["cache-control"] == "no-store"
    gateway.call("lanes", "resume", "orders", *WHY)
    wait_until(gateway.drained, what="the replay")
    assert gateway.get("/kept/pending").json["status"] == "newest"
    assert gateway.get("/kept").headers[FIELD] == "legacy"
    assert gateway.get("/late").headers[FIELD] == "legacy"


def test_500_is_an_answer_unless_it_is_declared_to_be_none(gateway: House) -> None:
    gateway.broken = True
    gateway.of(gateway.modern, "/_status", "PUT", b"500")
    found = gateway.get("/kept/a")
    assert (found.status, found.side, FIELD in found.headers) == (500, "modern", False)
    found = gateway.get("/kept")
    assert (found.status, found.side, found.headers[FIELD]) == (200, "legacy", "legacy")
    gateway.call("lanes", "hold", "orders", *WHY)
    gateway.put("pending", "x")
    # Nobody else has a better answer: modern's own is relayed.
    found = gateway.get("/kept")
    assert (found.status, found.side) == (500, "modern")


def test_it_has_a_label_of_its_own(gateway: House) -> None:
    def counted(name: str) -> float:
        roles = gateway.run.roles()
        return sum(roles[role].counts.get(name, 0) for role in ("gateway:0", "gateway:1"))

    label = "requests.kept-read.modern.fallback.upstream.2xx.requests"
    before = counted(label)
    gateway.broken = True
    gateway.modern.kill()
    assert gateway.get("/kept/a").side == "legacy"
    wait_until(lambda: counted(label) > before, what="the count")
    assert counted("fell_back.requests") >= 1


@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGKILL, marks=pytest.mark.soak), signal.SIGSTOP]
)
def test_no_read_fails_under_load(gateway: House, how: signal.Signals) -> None:
    gateway.broken = True
    stop = threading.Event()
    heard: list[tuple[int, str | None, float]] = []

    def client(number: int) -> None:
        while not stop.is_set():
            began = time.monotonic()
            found = gateway.get(f"/kept/load-{number}")
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
    gateway.await_processes(drill, 3)
    for _ in range(16):
        assert gateway.get("/kept/chosen").headers[FIELD] == "legacy"
    assert gateway.get("/kept/other").side == "modern"
    gateway.end()
    report = gateway.call("drill", "report", drill, "--json")
    assert report["cohort"]["fell_back"] == {"2xx": 16}
    assert report["cohort"]["errors"] == 0
    assert report["breaker"]["opened"] >= 1
    assert report["cohort"]["latency_ms"]["p50"] is not None


def test_at_canary_reads_of_the_cohort_go_back(gateway: House) -> None:
    gateway.broken = True
    gateway.call("rollback", "orders", "--to", "canary", "--share", "100", *WHY)
    try:
        assert gateway.get("/kept/a").side == "modern"
        gateway.modern.kill()
        found = gateway.get("/kept/a")
        assert (found.side, found.headers[FIELD]) == ("legacy", "legacy")
        # The authority is legacy: what is on its way to modern keeps nobody from reading it.
        assert gateway.put("a", "by-legacy").status == 200
        assert gateway.get("/kept/a").json["status"] == "by-legacy"
        assert gateway.get("/kept").json["orders"]["a"] == "by-legacy"
        gateway.modern.start()
        wait_until(gateway.drained, what="the replay")
    finally:
        gateway.call("switch", "orders", "modern", *WHY)


def test_ids_are_translated_both_ways(gateway: House) -> None:
    gateway.broken = True
    pairs = gateway.deployment.folder / "pairs"
    pairs.write_text('["L1", "M1"]\n')
    gateway.call("ids", "import", "orders", "order", str(pairs), *WHY)
    assert gateway.get("/parcels/M1").side == "modern"
    gateway.modern.kill()
    for known in ("M1", "L1"):
        found = gateway.get(f"/parcels/{known}")
        assert (found.side, found.headers[FIELD], found.json["order_id"]) == (
            "legacy",
            "legacy",
            known,
        )
    assert gateway.of(gateway.legacy, "/_seen")[-2:] == ["GET /parcels/L1"] * 2
    # By the number that modern gave, legacy may know something else.
    assert gateway.get("/parcels/M2").status in (502, 503)
