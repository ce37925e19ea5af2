"""Traffic against the systems themselves, and a checker that finds what is planted."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest

from bridge.demo.traffic.checker import check
from bridge.demo.traffic.connection import LOST, Answer, ClientConnection
from bridge.demo.traffic.generator import TrafficPlan, TrafficReport, run_traffic
from bridge.demo.traffic.journal import Outcome, TrafficJournal, read_journals
from bridge.demo.traffic.shopper import outcome_of
from tests.demo.client import new_order
from tests.demo.conftest import SMALL, Service, StartServer
from tests.waiting import wait_until


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "writes.jsonl"


def traffic_until(url: str, journal: Path, enough: Callable[[bytes], bool]) -> TrafficReport:
    """Make traffic until the journal holds `enough`."""
    plan = TrafficPlan(
        url=url, journal=journal, seed=7, rate=150, seconds=120, clients=4, sizes=SMALL
    )
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        report = pool.submit(run_traffic, plan, stop)
        try:
            wait_until(lambda: journal.exists() and enough(journal.read_bytes()), 60, "traffic")
        finally:
            stop.set()
        return report.result()


def statement(dsn: str, text: str, *parameters: object) -> int:
    with psycopg.connect(dsn) as connection:
        return connection.execute(text, parameters).rowcount


def test_undisturbed_traffic_checks_out(shop: Service, journal: Path) -> None:
    report = traffic_until(shop.url, journal, lambda told: told.count(b"acknowledged") > 50)
    assert report.reads_failed == report.refused == report.unknown == report.stale_reads == 0
    assert report.acknowledged == report.writes > 50
    assert report.reads > report.writes
    found = check([journal], legacy_dsn=shop.dsn)
    assert found.problems == ()
    assert found.ok
    assert found.writes == found.acknowledged == report.writes
    assert found.checked["legacy"] > found.keys
    assert found.excused == 0


def test_planted_losses_are_found(shop: Service, journal: Path) -> None:
    wanted = (b'"create"', b'"payment"', b'"customer"')
    traffic_until(shop.url, journal, lambda told: all(told.count(op) > 1 for op in wanted))
    writes = read_journals([journal])
    last = {(write.operation, write.key): write for write in writes}
    created = [key for operation, key in last if operation == "create"]
    paid = next(write for (operation, _), write in last.items() if operation == "payment")
    customer = next(write for (operation, _), write in last.items() if operation == "customer")
    plants = (
        (
            """UPDATE t_ord_hdr SET stat_cd = translate(stat_cd, '123459', '212222')
                WHERE cli_ref = %s""",
            created[0].removeprefix("ref "),
            f"legacy: {created[0]!r}: status is",
        ),
        (
            """UPDATE t_ord_ln AS l SET qty = qty + 1 FROM t_ord_hdr AS o
                WHERE l.ord_no = o.ord_no AND ln_no = 1 AND cli_ref = %s""",
            created[1].removeprefix("ref "),
            f"legacy: {created[1]!r}: line 1 is",
        ),
        (
            "DELETE FROM t_pay WHERE pay_ref = %s",
            paid.body["payment_ref"],
            f"legacy: {paid.key!r}: payment {paid.body['payment_ref']} is None",
        ),
        (
            "UPDATE m_cust SET tel = 'lost' WHERE cust_no = %s",
            customer.key.removeprefix("customer "),
            f"legacy: {customer.key!r}: customer is",
        ),
    )
    for sql, parameter, _ in plants:
        assert statement(shop.dsn, sql, parameter) == 1
    found = check([journal], legacy_dsn=shop.dsn)
    assert not found.ok
    assert found.problem_count == len(plants)
    for _, _, told in plants:
        assert any(problem.startswith(told) for problem in found.problems), told


def test_a_missing_order_is_found(shop: Service, journal: Path) -> None:
    book = TrafficJournal(journal)
    number = book.intend("create", "ref gone", new_order("gone"))
    book.settle(number, Outcome.ACKNOWLEDGED, status=201, order_id="100999")
    number = book.intend("create", "ref refused", new_order("refused"))
    book.settle(number, Outcome.REFUSED, status=422)
    book.close()
    found = check([journal], legacy_dsn=shop.dsn)
    assert found.problems == ("legacy: 'ref gone': is missing; 1 writes were acknowledged",)


def test_writes_out_of_order_are_found(shop: Service, journal: Path) -> None:
    client = shop.client
    book = TrafficJournal(journal)
    number = book.intend("create", "ref r-1", new_order("r-1"))
    order_id = client.call("POST", "/orders", new_order("r-1")).body["order_id"]
    book.settle(number, Outcome.ACKNOWLEDGED, status=201, order_id=str(order_id))
    for status in ("paid", "picked", "paid"):
        number = book.intend("status", "ref r-1", {"status": status})
        book.settle(number, Outcome.ACKNOWLEDGED, status=200, order_id=str(order_id))
    book.close()
    # The last status is right, but the shop heard them in another order.
    for status in ("picked", "paid", "picked", "paid"):
        client.call("PUT", f"/orders/{order_id}/status", {"status": status})
    found = check([journal], legacy_dsn=shop.dsn)
    assert found.problems == (
        "legacy: 'ref r-1': statuses were set out of order: picked > paid > picked > paid",
    )


@pytest.mark.parametrize("done", [True, False])
def test_an_unknown_write_excuses_both_outcomes(shop: Service, journal: Path, done: bool) -> None:
    client = shop.client
    book = TrafficJournal(journal)
    number = book.intend("create", "ref r-1", new_order("r-1"))
    order_id = client.call("POST", "/orders", new_order("r-1")).body["order_id"]
    book.settle(number, Outcome.ACKNOWLEDGED, status=201, order_id=str(order_id))
    book.intend("status", "ref r-1", {"status": "shipped"})  # Then the client died.
    book.close()
    if done:
        client.call("PUT", f"/orders/{order_id}/status", {"status": "shipped"})
    found = check([journal], legacy_dsn=shop.dsn)
    assert found.ok
    assert found.unknown == 1
    assert found.excused == int(done)
    assert found.unknown_writes == ("status of 'ref r-1' (journal number 2, status none)",)


def test_both_sides_are_checked_by_what_was_mirrored(
    shop: Service, modern: Service, journal: Path
) -> None:
    book = TrafficJournal(journal)
    ids = []
    for service, reference in ((shop, "both"), (modern, "both"), (shop, "alone")):
        body = new_order(reference)
        order_id = str(service.client.call("POST", "/orders", body).body["order_id"])
        ids.append(order_id)
        if service is shop:
            number = book.intend("create", f"ref {reference}", body)
            book.settle(number, Outcome.ACKNOWLEDGED, status=201, order_id=order_id)
    book.close()
    pair = (ids[0], ids[1])
    first, second = read_journals([journal])
    both = partial(check, [journal], legacy_dsn=shop.dsn, modern_dsn=modern.dsn)
    assert first.answered_at is not None
    before = [(0.0, first.answered_at)]
    assert both(pairs=[pair], mirrored=before).ok
    found = both(pairs=[pair])
    assert found.problems == ("modern: 'ref alone': is missing; 1 writes were acknowledged",)
    wrong = both(pairs=[(pair[0], "ord_other")], mirrored=before)
    assert "the id map pairs" in wrong.problems[0]
    assert second.sent_at >= first.answered_at


def test_outcomes_are_read_from_answers() -> None:
    told = {status: outcome_of(Answer(status, None)) for status in (200, 201, 409, 422, 429, 503)}
    assert [one.value for one in told.values()] == [
        *("acknowledged", "acknowledged", "refused", "refused", "refused", "refused")
    ]
    for answer in (LOST, Answer(500, None), Answer(502, None), Answer(504, None)):
        assert outcome_of(answer) is Outcome.UNKNOWN


def test_a_killed_service_leaves_unknown_writes_not_problems(
    shop: Service, journal: Path, server_process: StartServer
) -> None:
    process, url = server_process("bridge.demo.legacy", shop.dsn)

    def enough(told: bytes) -> bool:
        if told.count(b"acknowledged") > 40 and process.poll() is None:
            process.kill()
        return b'"unknown"' in told

    traffic_until(url, journal, enough)
    found = check([journal], legacy_dsn=shop.dsn)
    assert found.problems == ()
    assert found.unknown > 0
    assert len(found.unknown_writes) == found.unknown


def test_a_torn_last_line_is_passed_over_and_a_broken_one_named(journal: Path) -> None:
    book = TrafficJournal(journal)
    book.intend("status", "order 1", {"status": "paid"})
    book.close()
    with journal.open("ab") as file:
        file.write(b'{"settled": 1, "outc')
    (write,) = read_journals([journal])
    assert write.outcome is Outcome.UNKNOWN
    with journal.open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ValueError, match="line 2 is broken"):
        read_journals([journal])


def test_the_process_reports_when_it_is_stopped(shop: Service, journal: Path) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "bridge.demo.traffic", "--url", shop.url),
            *("--journal", str(journal), "--seconds", "60", "--customers", "120"),
            *("--products", "60", "--orders", "200", "--clients", "2"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: journal.exists() and b"acknowledged" in journal.read_bytes(), 60)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    report = json.loads(output)
    assert report["acknowledged"] == report["writes"] > 0
    assert report["write_latency"]["p99_ms"] > 0


def test_only_plain_http_is_called() -> None:
    with pytest.raises(ValueError, match="expected http://"):
        ClientConnection("https://example.com")
