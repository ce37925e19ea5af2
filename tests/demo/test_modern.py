"""The modern service: its paths, and that every write may be repeated."""

import signal
import threading
from typing import Any

import psycopg
import pytest

from bridge.demo.servers import PrivatePostgres
from tests.demo.client import Client, Got, new_order
from tests.demo.conftest import Service, StartServer


def without_times(order: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in order.items() if not name.endswith(("_at", "_id"))}


def test_both_systems_answer_in_the_same_shapes(shop: Service, modern: Service) -> None:
    answers: list[list[Any]] = []
    for service in (shop, modern):
        client = service.client
        order_id = client.call("POST", "/orders", new_order("r-1")).body["order_id"]
        path = f"/orders/{order_id}"
        terms = {"qty": 4, "unit_price": "9.99"}
        payment = {"payment_ref": "p-1", "method": "konbini", "amount": "100"}
        got = [
            client.call("PUT", f"{path}/lines/2", terms),
            client.call("PUT", f"{path}/status", {"status": "shipped"}),
            client.call("GET", path),
            client.call("POST", f"{path}/payments", payment),
            client.call("POST", f"{path}/payments", payment),
            client.call("POST", f"{path}/payments", {**payment, "method": "cash"}),
            client.call("GET", f"{path}/nothing"),
            client.call("PUT", f"{path}/lines/9", terms),
            client.call("PUT", f"{path}/lines/2", {**terms, "qty": "4"}),
            client.call("PUT", f"{path}/status", {"status": "lost"}),
            client.call("PUT", "/orders/999/status", {"status": "paid"}),
            client.call("GET", "/orders/999/payments"),
        ]
        assert client.call("GET", path).body["shipped_at"] is not None
        newest = client.call("GET", "/orders?customer=10001").body["orders"][0]
        paid = client.call("GET", f"{path}/payments").body["payments"][0]
        refused = [one.status for one in got if one.status > 299]
        done = [(one.status, without_times(one.body)) for one in got if one.status < 300]
        answers.append([refused, done, without_times(newest), without_times(paid)])
    assert answers[0] == answers[1]


def test_ids_are_its_own(modern: Service) -> None:
    order = modern.client.call("POST", "/orders", new_order("r-1")).body
    assert order["order_id"].startswith("ord_")
    assert order["ordered_at"].endswith("Z")


def test_a_reference_names_one_order(modern: Service) -> None:
    first = modern.client.call("POST", "/orders", new_order("r-1"))
    again = modern.client.call("POST", "/orders", new_order("r-1"))
    assert (first.status, again.status) == (201, 200)
    assert first.body == again.body


def test_an_idempotency_key_gets_its_first_answer(modern: Service) -> None:
    client = modern.client
    first = client.call("POST", "/orders", new_order("r-1"), Idempotency_Key="k-1")
    path = f"/orders/{first.body['order_id']}/status"
    assert client.call("PUT", path, {"status": "paid"}, Idempotency_Key="k-2").status == 200
    assert client.call("POST", "/orders", new_order("r-1"), Idempotency_Key="k-1") == first
    assert client.call("POST", "/orders", new_order("r-2"), Idempotency_Key="k-1").status == 422
    # A refusal is not kept: what was not there yet may be there at the next try.
    assert client.call("PUT", "/orders/x/status", {"status": "paid"}, Idempotency_Key="k-3") == (
        404,
        {"error": "no such order"},
    )
    assert client.call("PUT", path, {"status": "open"}, Idempotency_Key="k-3").status == 200


def test_the_same_write_at_once_is_done_once(modern: Service) -> None:
    results: list[Got] = []

    def place() -> None:
        client = Client(modern.url)
        results.append(client.call("POST", "/orders", new_order("r-1"), Idempotency_Key="k-1"))
        client.close()

    threads = [threading.Thread(target=place) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert all(result == results[0] for result in results)
    with psycopg.connect(modern.dsn) as connection:
        count = connection.execute("SELECT count(*) FROM order_lines").fetchone()
    assert count == (2,)


def test_status_history_tells_the_order_of_writes(modern: Service) -> None:
    order_id = modern.client.call("POST", "/orders", new_order("r-1")).body["order_id"]
    for status in ("paid", "paid", "shipped", "open"):
        modern.client.call("PUT", f"/orders/{order_id}/status", {"status": status})
    with psycopg.connect(modern.dsn) as connection:
        told = connection.execute("SELECT status FROM status_history ORDER BY entry_no").fetchall()
    assert [status for (status,) in told] == ["open", "paid", "shipped", "open"]


def test_what_the_database_cannot_hold_is_refused(modern: Service) -> None:
    client = modern.client
    assert client.call("GET", "/orders/%00").status == 422
    assert client.call("POST", "/orders", {**new_order("r-1"), "note": "\0"}).status == 422
    assert client.call("POST", "/orders", {**new_order("r-1"), "note": "\ud800"}).status == 422


@pytest.mark.parametrize("body", [b"{", b"[]", b""])
def test_bodies_that_are_no_order_are_refused(modern: Service, body: bytes) -> None:
    assert modern.client.call("POST", "/orders", body).status == 422


def test_a_restarted_database_is_found_again(postgres: PrivatePostgres, modern: Service) -> None:
    assert modern.client.call("GET", "/health").status == 200
    postgres.kill()
    assert modern.client.call("GET", "/health").status == 500
    postgres.restart()
    assert modern.client.call("POST", "/orders", new_order("r-1")).status == 201


def test_the_process_ends_cleanly(modern_dsn: str, server_process: StartServer) -> None:
    process, url = server_process("bridge.demo.modern", modern_dsn)
    client = Client(url)
    assert client.call("GET", "/health").status == 200
    client.close()
    process.send_signal(signal.SIGTERM)
    # uvicorn lets the signal's default action end the process after its own shutdown.
    assert process.wait(timeout=60) in (0, -signal.SIGTERM)
