"""Drills on real sides with a real gateway: who meets the fault, who does not, and how it ends."""

import http.client
import json
import os
import signal
import time

import pytest

from tests.gateway.resilience.rig import WHY, Heard, House
from tests.waiting import wait_until


def same(one: Heard, other: Heard) -> bool:
    """Whether two answers are the same to the byte, but for the second that they were made in."""
    first, second = dict(one.headers), dict(other.headers)
    first.pop("date", None)
    second.pop("date", None)
    return (one.status, first, one.body) == (other.status, second, other.body)


@pytest.mark.parametrize(
    ("fault", "status"), [("delay:300ms", 200), ("status:503", 503), ("cut", 502), ("refuse", 502)]
)
def test_a_fault_meets_the_cohort_and_nobody_else(gateway: House, fault: str, status: int) -> None:
    before = gateway.get("/orders/other")
    healthy = gateway.get("/orders/chosen")
    assert (before.status, healthy.status) == (200, 200)
    drill = gateway.drill("--fault", fault, "--keys", "chosen,another", "--for", "60s")
    began = time.monotonic()
    broken = gateway.get("/orders/chosen")
    took_s = time.monotonic() - began
    assert broken.status == status
    assert (took_s >= 0.3) is (fault == "delay:300ms")
    assert broken.headers.get("legacy-bridge-drill") == (drill if "status" in fault else None)
    for _ in range(10):
        assert same(gateway.get("/orders/other"), before)
    assert same(gateway.get("/orders/other", X_Drill="yes"), before)
    gateway.end()
    assert same(gateway.get("/orders/chosen"), healthy)
    report = gateway.call("drill", "report", drill, "--json")
    assert report["cohort"]["touched"] == {"reads": 1}
    assert report["cohort"]["errors"] == (0 if status == 200 else 1)
    assert {each["why"] for each in report["processes"]} == {"stopped"}
    if status == 200:
        assert report["cohort"]["latency_ms"]["max"] >= 300


def test_a_marker_or_a_share_of_the_keys_makes_a_cohort(gateway: House) -> None:
    words = ("--fault", "status:500", "--header", "X-Drill: yes", "--share", "20", "--for", "60s")
    gateway.drill(*words)
    assert gateway.get("/orders", X_Drill="yes").status == 500
    assert gateway.get("/orders", X_Drill="no").status == 200
    assert gateway.get("/orders").status == 200
    found = [gateway.get(f"/orders/{number}").status for number in range(60)]
    assert 3 <= found.count(500) <= 25
    # Who belongs to it belongs to it each time.
    assert found == [gateway.get(f"/orders/{number}").status for number in range(60)]


def test_it_ends_by_itself(gateway: House) -> None:
    words = ("--fault", "refuse", "--keys", "chosen", "--for", "2s")
    drill = gateway.drill(*words)
    assert gateway.get("/orders/chosen").status == 502
    wait_until(lambda: gateway.get("/orders/chosen").status == 200, 5, "the end")
    wait_until(lambda: gateway.is_off(drill), what="every process to tell the end")
    report = gateway.call("drill", "report", "--json")
    assert (report["drill"], report["on"]) == (drill, False)
    assert {each["why"] for each in report["processes"]} == {"time"}


def test_replays_meet_it_and_no_write_is_lost(gateway: House) -> None:
    words = ("--side", "legacy", "--fault", "refuse", "--keys", "held", "--no-reads")
    drill = gateway.drill(*words, "--for", "60s")
    assert gateway.put("held", "back").status == 200
    assert gateway.put("other", "quick").status == 200
    wait_until(
        lambda: gateway.of(gateway.legacy, "/orders/other")["status"] == "quick",
        what="the replay of another key",
    )
    waiting = wait_until(
        lambda: gateway.call("drill", "report", "--json")["cohort"]["touched"].get("replays"),
        what="a replay that meets it",
    )
    assert waiting >= 1
    report = gateway.call("drill", "report", drill, "--json")
    assert report["writes"]["waiting"] == 1
    assert not report["writes"]["drained"]
    assert gateway.of(gateway.legacy, "/orders/held")["status"] is None
    gateway.end()
    wait_until(
        lambda: gateway.of(gateway.legacy, "/orders/held")["status"] == "back",
        what="the write that was held back",
    )
    wait_until(
        lambda: gateway.call("drill", "report", drill, "--json")["writes"]["drained"],
        what="drained lanes",
    )


@pytest.mark.parametrize("fault", ["refuse", "status:503"])
def test_writes_are_touched_when_asked_for_and_are_not_executed(gateway: House, fault: str) -> None:
    words = ("--fault", fault, "--keys", "chosen", "--for", "60s")
    gateway.drill(*words)
    assert gateway.put("chosen", "untouched").status == 200
    gateway.end()
    gateway.drill(*words, "--writes")
    refused = gateway.put("chosen", "never")
    assert refused.status == 503
    assert gateway.put("other", "fine").status == 200
    assert gateway.of(gateway.modern, "/orders/chosen")["status"] == "untouched"
    assert gateway.call("writes", "list", "--json") == []  # Nothing is in doubt.
    gateway.end()
    assert gateway.put("chosen", "after").status == 200


def test_the_breaker_of_the_cohort_opens_and_nobody_else_s(gateway: House) -> None:
    drill = gateway.drill("--fault", "refuse", "--keys", "chosen", "--for", "60s")
    statuses = [gateway.get("/orders/chosen").status for _ in range(24)]
    assert set(statuses) == {502, 503}
    assert gateway.get("/orders/other").status == 200
    gateway.end()
    assert gateway.get("/orders/chosen").status == 200
    report = gateway.call("drill", "report", drill, "--json")
    assert report["breaker"]["opened"] >= 1
    assert report["breaker"]["first_opened_after_s"] > 0
    assert report["cohort"]["side_heard"]["reads.open"] >= 1
    assert report["cohort"]["errors"] == 24


def test_a_roll_back_ends_it_and_is_timed(gateway: House) -> None:
    drill = gateway.drill("--fault", "refuse", "--keys", "chosen", "--for", "60s")
    assert gateway.get("/orders/chosen").status == 502
    assert "DRILL IS ON: refuse at modern of group orders" in gateway.deployment.call("status").out
    try:
        gateway.call("rollback", "orders", "--to", "dual", *WHY)
        assert gateway.get("/orders/chosen").side == "legacy"
        wait_until(lambda: gateway.is_off(drill), what="every process to tell the end")
    finally:
        gateway.call("switch", "orders", "modern", *WHY)
    assert gateway.get("/orders/chosen").side == "modern"
    report = gateway.call("drill", "report", drill, "--json")
    assert not report["on"]
    assert {each["why"] for each in report["processes"]} == {"switched"}
    back = report["rollback"]
    assert (back["to"], back["workers"]) == ("dual", 2)
    assert 0 <= back["in_force_ms"] < 1_000
    assert "in force on 2 workers" in gateway.call("drill", "report", drill)


def test_processes_that_are_killed_leave_no_drill_behind(gateway: House) -> None:
    gateway.drill("--fault", "refuse", "--keys", "chosen", "--for", "3s")
    began = time.monotonic()
    assert gateway.get("/orders/chosen").status == 502
    first = gateway.run.pid("gateway:0")
    os.kill(first, signal.SIGKILL)
    os.kill(gateway.run.pid("control"), signal.SIGKILL)
    gateway.run.await_roles("gateway:0", "gateway:1", "control")
    left_s = 3 - (time.monotonic() - began)
    wait_until(lambda: time.monotonic() - began > 3.3, left_s + 5, "the drill's end")
    assert {gateway.get("/orders/chosen").status for _ in range(10)} == {200}
    assert not any(each["on"] for each in gateway.call("drill", "status", "--json"))


def test_the_api_begins_reports_and_stops(gateway: House) -> None:
    gateway.run.await_answers()
    connection = http.client.HTTPConnection(
        "127.0.0.1", gateway.deployment.control_port, timeout=10
    )
    why = {"actor": "ana", "reason": "a rehearsal", "ticket": "T-1"}

    def post(path: str, **body: object) -> dict[str, object]:
        data = json.dumps({**why, **body})
        connection.request("POST", path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        value = json.loads(answer.read())
        assert answer.status == 200, value
        assert isinstance(value, dict)
        return value

    try:
        body = {"group": "orders", "fault": "cut", "lasts": "1m", "header": "X-Drill: yes"}
        drill = str(post("/api/drills", **body)["drill"])
        gateway.await_processes(drill, 3)
        assert gateway.get("/orders/1", X_Drill="yes").status == 502
        connection.request("GET", f"/api/drills/{drill}")
        told = json.loads(connection.getresponse().read())
        assert (told["on"], told["header"], "yes" in json.dumps(told)) == (True, "X-Drill", False)

        def scraped() -> bool:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            return 'legacy_bridge_drill_level{role="gateway:0"} 1.0' in text

        wait_until(scraped, 10, "the metric")
        post(f"/api/drills/{drill}/stop")
        wait_until(lambda: gateway.get("/orders/1", X_Drill="yes").status == 200, 2, "its end")
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--fault", "cut", "--keys", "1", "--for", "5s", "--writes"), "leave writes in doubt"),
        (("--fault", "status:500", "--keys", "1", "--for", "5s", "--writes"), "in doubt"),
        (("--fault", "refuse", "--keys", "1", "--for", "2h"), "60 minutes"),
        (("--fault", "refuse", "--share", "51", "--for", "5s"), "more than 50 %"),
        (("--fault", "refuse", "--for", "5s"), "no cohort"),
        (("--fault", "explode", "--keys", "1", "--for", "5s"), "no fault is called"),
        (("--fault", "refuse", "--keys", "1", "--for", "5s", "--route", "no"), "has no route"),
        (("--fault", "refuse", "--keys", "1", "--for", "5s", "--side", "no"), "no side"),
        (("--fault", "refuse", "--header", "X:", "--for", "5s"), "a header reads"),
        (
            ("--fault", "refuse", "--keys", "1", "--for", "5s", "--no-reads", "--no-replays"),
            "touch nothing",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(shared: House, words: tuple[str, ...], why: str) -> None:
    assert why in shared.deployment.refused("drill", "start", "orders", *words, *WHY)


def test_there_are_few_at_once(gateway: House) -> None:
    words = ("--fault", "refuse", "--keys", "1", "--for", "30s")
    gateway.call("drill", "start", "orders", *words, *WHY)
    refused = gateway.deployment.refused("drill", "start", "orders", *words, *WHY)
    assert "same group and side" in refused
    gateway.call("drill", "start", "orders", *words, "--side", "legacy", *WHY)
    refused = gateway.deployment.refused("drill", "start", "catalog", *words, *WHY)
    assert "no side" in refused
    refused = gateway.deployment.refused(
        "drill", "start", "catalog", *words, "--side", "legacy", *WHY
    )
    assert "at most 2 at once" in refused
