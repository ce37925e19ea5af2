"""The legacy application: every endpoint, over real HTTP and a real database."""

import signal
import socket
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from bridge.demo.legacy.population import FIRST_ORDER_NO
from bridge.demo.servers import PrivatePostgres
from tests.demo.client import Client, new_order
from tests.demo.conftest import Named, Service, StartServer


def rows(dsn: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query, parameters).fetchall()


def test_reads_answer_from_the_seeded_rows(shop: Service) -> None:
    client = shop.client
    assert client.call("GET", "/health") == (200, {"status": "ok"})
    customer = client.call("GET", "/customers/10001").body
    assert customer["customer_id"] == 10001
    assert customer["addresses"][0]["purpose"] == "billing"
    listed = client.call("GET", "/products?limit=3").body["products"]
    assert len(listed) == 3
    following = client.call("GET", f"/products?limit=3&after={listed[2]['sku']}&category=KN").body
    assert all(product["sku"].startswith("KN-") for product in following["products"])
    product = client.call("GET", f"/products/{listed[0]['sku']}").body
    assert product["unit_price"] == listed[0]["unit_price"]
    stock = client.call("GET", f"/stock/TYO/{listed[0]['sku']}").body
    assert stock["warehouse"] == "TYO"
    order = client.call("GET", f"/orders/{FIRST_ORDER_NO}").body
    assert sum(float(line["amount"]) for line in order["lines"]) == float(order["total"])
    of_customer = client.call("GET", f"/orders?customer={order['customer_id']}").body["orders"]
    assert order["order_id"] in [one["order_id"] for one in of_customer]
    payments = client.call("GET", f"/orders/{FIRST_ORDER_NO}/payments")
    assert payments.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("DELETE", "/orders/100001", 405),
        ("GET", "/customers/1", 404),
        ("GET", "/customers/abc", 404),
        ("PUT", "/customers/1", 422),
        ("GET", "/products/XX-99999", 404),
        ("GET", "/products?limit=0", 400),
        ("GET", "/products/%00", 400),
        ("GET", "/products?after=%00", 400),
        ("GET", "/products/%FF%E5%8C%85", 404),
        ("GET", "/stock/XXX/KN-00001", 404),
        ("GET", "/orders", 400),
        ("GET", "/orders/1", 404),
        ("GET", "/orders/1/payments", 404),
        ("PUT", "/orders/100001/status", 422),
        ("PUT", "/orders/100001/lines/1", 422),
        ("POST", "/orders/100001/payments", 422),
        ("POST", "/orders", 422),
    ],
)
def test_what_cannot_be_done_is_refused(shop: Service, method: str, path: str, status: int) -> None:
    assert shop.client.call(method, path, {} if method != "GET" else None).status == status


def test_bad_bodies_are_refused_and_write_nothing(shop: Service) -> None:
    client = shop.client
    assert client.call("POST", "/orders", b"{").status == 400
    assert client.call("POST", "/orders", b"[]").status == 400
    before = rows(shop.dsn, "SELECT count(*) FROM t_ord_hdr")
    changes: tuple[dict[str, Any], ...] = (
        {"customer_id": 1},
        {"customer_id": True},
        {"client_ref": ""},
        {"gift": 1},
        {"lines": []},
        {"lines": [{"sku": "KN-00001", "warehouse": "TYO", "qty": 0, "unit_price": "1"}]},
        {"lines": [{"sku": "KN-00001", "warehouse": "TYO", "qty": 1, "unit_price": 1}]},
        {"lines": [{"sku": "KN-00001", "warehouse": "TYO", "qty": 1, "unit_price": "1.234"}]},
        {"lines": [{"sku": "XX-00001", "warehouse": "TYO", "qty": 1, "unit_price": "1"}]},
        {"note": "\0"},
        {"note": "\ud800"},
    )
    for change in changes:
        assert client.call("POST", "/orders", {**new_order("bad"), **change}).status == 422
    assert rows(shop.dsn, "SELECT count(*) FROM t_ord_hdr") == before


def test_an_order_is_taken_once_per_reference(shop: Service) -> None:
    taken = shop.client.call("POST", "/orders", new_order("r-1"))
    again = shop.client.call("POST", "/orders", new_order("r-1"))
    assert (taken.status, again.status) == (201, 200)
    assert taken.body == again.body
    assert taken.body["status"] == "open"
    assert taken.body["shipped_at"] is None
    assert taken.body["total"] == "37.50"
    assert taken.body["order_id"] >= FIRST_ORDER_NO + 200
    moved = rows(
        shop.dsn,
        "SELECT prd_cd, qty_dlt, rsv_dlt, rsn_cd FROM t_stk_mv WHERE ord_no = %s ORDER BY prd_cd",
        taken.body["order_id"],
    )
    assert moved == [("KN-00001", 0, 1, "O"), ("TB-00002", 0, 2, "O")]
    assert len(rows(shop.dsn, "SELECT 1 FROM t_adt WHERE act_txt LIKE 'NEW%%'")) == 1


def test_a_status_moves_stock_and_is_idempotent(shop: Service) -> None:
    order_id = shop.client.call("POST", "/orders", new_order("r-1", lines=1)).body["order_id"]
    level = "SELECT qty, rsv_qty FROM t_stk WHERE wh_cd = 'TYO' AND prd_cd = 'KN-00001'"
    (reserved,) = rows(shop.dsn, level)
    path = f"/orders/{order_id}/status"
    shipped = shop.client.call("PUT", path, {"status": "shipped"}).body
    assert shipped["shipped_at"] is not None
    assert rows(shop.dsn, level) == [(reserved[0] - 1, reserved[1] - 1)]
    assert shop.client.call("PUT", path, {"status": "shipped"}).body == shipped
    assert rows(shop.dsn, level) == [(reserved[0] - 1, reserved[1] - 1)]
    opened = shop.client.call("PUT", path, {"status": "open"}).body
    assert opened["shipped_at"] is None
    assert rows(shop.dsn, level) == [reserved]
    trail = rows(
        shop.dsn,
        "SELECT act_txt FROM t_adt WHERE key_txt = %s AND act_txt LIKE 'STAT%%' ORDER BY adt_ts",
        str(order_id),
    )
    assert trail == [("STAT 1>4",), ("STAT 4>1",)]


def test_a_line_changes_amounts_and_stock(shop: Service) -> None:
    order_id = shop.client.call("POST", "/orders", new_order("r-1")).body["order_id"]
    wanted = {"qty": 5, "unit_price": "10.01"}
    changed = shop.client.call("PUT", f"/orders/{order_id}/lines/1", wanted).body
    assert changed["lines"][0]["amount"] == "50.05"
    assert changed["total"] == "75.05"
    assert shop.client.call("PUT", f"/orders/{order_id}/lines/1", wanted).body == changed
    cancelled = shop.client.call("PUT", f"/orders/{order_id}/lines/2", {**wanted, "qty": 0}).body
    assert cancelled["lines"][1]["cancelled"] is True
    assert shop.client.call("PUT", f"/orders/{order_id}/lines/9", wanted).status == 404
    moved = rows(shop.dsn, "SELECT sum(rsv_dlt) FROM t_stk_mv WHERE ord_no = %s", order_id)
    assert moved == [(5,)]


def test_a_payment_is_booked_once_per_reference(shop: Service) -> None:
    order_id = shop.client.call("POST", "/orders", new_order("r-1")).body["order_id"]
    path = f"/orders/{order_id}/payments"
    wanted = {"payment_ref": "p-1", "method": "card", "amount": "37.5"}
    booked = shop.client.call("POST", path, wanted)
    again = shop.client.call("POST", path, {**wanted, "amount": "37.50"})
    other = shop.client.call("POST", path, {**wanted, "amount": "37.51"})
    assert (booked.status, again.status, other.status) == (201, 200, 409)
    assert booked.body == again.body
    assert shop.client.call("GET", path).body["payments"] == [
        {name: booked.body[name] for name in ("payment_ref", "method", "amount", "paid_at")}
    ]


def test_a_customer_changes_as_a_whole(shop: Service) -> None:
    wanted = {"name": "山本 葵", "email": None, "phone": "03-0000", "vip": True}
    before = shop.client.call("GET", "/customers/10100").body
    changed = shop.client.call("PUT", "/customers/10100", {**wanted, "credit_limit": "500.5"}).body
    assert changed["name"] == "山本 葵"
    assert changed["credit_limit"] == "500.50"
    assert changed["remarks"] == before["remarks"] != ""
    unlimited = shop.client.call("PUT", "/customers/10100", wanted).body
    assert unlimited["credit_limit"] is None


def test_a_restarted_database_is_found_again(postgres: PrivatePostgres, shop: Service) -> None:
    assert shop.client.call("GET", "/health").status == 200
    postgres.kill()
    assert shop.client.call("POST", "/orders", new_order("r-1")).status == 503
    postgres.restart()
    assert shop.client.call("POST", "/orders", new_order("r-1")).status == 201


def test_the_process_keeps_connections_and_ends_cleanly(
    database: Named, server_process: StartServer, shop: Service
) -> None:
    process, url = server_process("bridge.demo.legacy", database.dsn)
    client = Client(url)
    assert client.call("GET", "/health").status == 200
    kept = client.connection.sock
    assert client.call("HEAD", "/health") == (200, None)
    assert client.connection.sock is kept
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    client.close()


def test_bodies_that_cannot_be_framed_are_refused(shop: Service) -> None:
    port = urlsplit(shop.url).port
    assert port is not None
    for fields, status in (
        (b"Transfer-Encoding: chunked\r\n", b"411"),
        (b"Content-Length: +1\r\n", b"400"),
        (b"Content-Length: 99999999\r\n", b"413"),
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"POST /orders HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 " + status)
