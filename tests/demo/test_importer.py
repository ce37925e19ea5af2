"""The backfill: complete, repeatable, and never against what the API wrote."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bridge.consumer import ReceivedEvent
from bridge.consumer.postgres_inbox import PostgresInbox
from bridge.demo.legacy.population import FIRST_ORDER_NO
from bridge.demo.modern.backfill import stop_at
from bridge.demo.modern.importer import GROUP, apply, id_pairs, position
from tests.demo.client import Client, new_order
from tests.demo.conftest import Service
from tests.demo.events import change, snapshot

ORDER = {
    "customer_id": 10_001,
    "client_ref": "r-1",
    "status": "open",
    "ordered_at": "2024-12-01T10:11:12.5",
    "shipped_at": None,
    "total": "25.00",
    "gift": True,
    "note": "至急",
    "changed_at": "2024-12-01T10:11:12.5",
}
LINE = {
    "sku": "KN-00001",
    "warehouse": "TYO",
    "qty": 2,
    "unit_price": "12.50",
    "amount": "25.00",
    "cancelled": False,
}
PAYMENT = {
    "payment_ref": "p-1",
    "method": "card",
    "amount": "25.00",
    "paid_at": "2024-12-01T10:12:00",
}


@pytest.fixture
def inbox(modern_dsn: str) -> Iterator[PostgresInbox]:
    inbox = PostgresInbox(modern_dsn)
    yield inbox
    inbox.close()


def order_event(number: int, order_id: int = 1, **fields: Any) -> ReceivedEvent:
    key = {"order_id": order_id}
    return change("shop.order", number, key=key, after={**key, **ORDER, **fields})


def line_event(number: int, order_id: int = 1, **fields: Any) -> ReceivedEvent:
    key = {"order_id": order_id, "line_no": 1}
    return change("shop.order-line", number, key=key, after={**key, **LINE, **fields})


def payment_event(number: int, order_id: int = 1, **fields: Any) -> ReceivedEvent:
    key = {"payment_id": order_id}
    after = {**key, "order_id": order_id, **PAYMENT, **fields}
    return change("shop.payment", number, key=key, after=after)


def shown(service: Service, legacy_id: str = "1") -> dict[str, Any]:
    modern_id = dict(id_pairs(service.dsn))[legacy_id]
    body: dict[str, Any] = service.client.call("GET", f"/orders/{modern_id}").body
    return body


def comparable(client: Client, order_id: str) -> dict[str, Any]:
    order = client.call("GET", f"/orders/{order_id}").body
    payments = client.call("GET", f"/orders/{order_id}/payments").body["payments"]
    kept = {name: value for name, value in order.items() if not name.endswith(("_at", "_id"))}
    paid = [(one["payment_ref"], one["method"], one["amount"]) for one in payments]
    return {**kept, "payments": paid, "shipped": order["shipped_at"] is not None}


def test_a_snapshot_becomes_equal_orders(
    shop: Service, modern: Service, inbox: PostgresInbox
) -> None:
    assert position(modern.dsn) == -1
    events = snapshot(shop.dsn)
    inbox.apply(GROUP, events, apply)
    pairs = dict(id_pairs(modern.dsn))
    assert len(pairs) == 200
    assert position(modern.dsn) == len(events) - 1
    for legacy_id, modern_id in pairs.items():
        assert modern_id.startswith("ord_")
        assert comparable(modern.client, modern_id) == comparable(shop.client, legacy_id)
    inbox.apply("once-more", events, apply)
    assert dict(id_pairs(modern.dsn)) == pairs


def test_local_times_become_utc(modern: Service, inbox: PostgresInbox) -> None:
    inbox.apply(GROUP, [order_event(1, shipped_at="2024-12-02T08:00:00")], apply)
    assert shown(modern)["ordered_at"] == "2024-12-01T01:11:12.500000Z"
    assert shown(modern)["shipped_at"] == "2024-12-01T23:00:00Z"


def test_lines_and_payments_wait_for_their_order(modern: Service, inbox: PostgresInbox) -> None:
    inbox.apply(GROUP, [line_event(1), payment_event(2)], apply)
    assert list(id_pairs(modern.dsn)) == []
    assert modern.client.call("GET", "/orders?customer=10001").body == {"orders": []}
    inbox.apply(GROUP, [order_event(3)], apply)
    assert shown(modern)["total"] == "25.00"


def test_older_events_change_nothing(modern: Service, inbox: PostgresInbox) -> None:
    events = [
        order_event(5, status="shipped", shipped_at="2024-12-02T08:00:00"),
        order_event(4, status="paid"),
        line_event(7, qty=5),
        line_event(6, qty=3),
    ]
    inbox.apply(GROUP, events, apply)
    assert shown(modern)["status"] == "shipped"
    assert shown(modern)["lines"][0]["qty"] == 5


def test_an_unsent_long_note_is_kept(modern: Service, inbox: PostgresInbox) -> None:
    key = {"order_id": 1}
    rest = {name: value for name, value in ORDER.items() if name != "note"}
    update = change("shop.order", 2, key=key, after={**key, **rest, "status": "paid"})
    inbox.apply(GROUP, [order_event(1), update], apply)
    assert (shown(modern)["status"], shown(modern)["note"]) == ("paid", "至急")


def test_what_the_api_wrote_stands_against_any_event(modern: Service, inbox: PostgresInbox) -> None:
    inbox.apply(GROUP, [order_event(1), line_event(2)], apply)
    path = f"/orders/{dict(id_pairs(modern.dsn))['1']}"
    client = modern.client
    client.call("PUT", f"{path}/status", {"status": "shipped"})
    client.call("PUT", f"{path}/lines/1", {"qty": 9, "unit_price": "1.00"})
    # The same writes and older ones, as the legacy database tells them afterwards.
    inbox.apply(
        GROUP,
        [order_event(3, status="paid", gift=False), line_event(4, qty=3), line_event(5, qty=9)],
        apply,
    )
    order = client.call("GET", path).body
    assert (order["status"], order["lines"][0]["qty"], order["total"]) == ("shipped", 9, "9.00")
    assert order["shipped_at"] is not None
    assert order["gift"] is False  # No call has written this one: the event does.


def test_a_status_that_is_already_there_belongs_to_the_api_too(
    modern: Service, inbox: PostgresInbox
) -> None:
    inbox.apply(GROUP, [order_event(1, status="paid")], apply)
    path = f"/orders/{dict(id_pairs(modern.dsn))['1']}"
    modern.client.call("PUT", f"{path}/status", {"status": "paid"})
    inbox.apply(GROUP, [order_event(2, status="open")], apply)
    assert modern.client.call("GET", path).body["status"] == "paid"


def test_an_order_placed_through_the_api_is_linked(modern: Service, inbox: PostgresInbox) -> None:
    client = modern.client
    placed = client.call("POST", "/orders", new_order("r-1")).body
    events = [line_event(1, qty=7), order_event(2, status="cancelled"), payment_event(3)]
    inbox.apply(GROUP, events, apply)
    assert dict(id_pairs(modern.dsn)) == {"1": placed["order_id"]}
    assert client.call("GET", f"/orders/{placed['order_id']}").body == placed
    paid = client.call("GET", f"/orders/{placed['order_id']}/payments").body["payments"]
    assert [one["payment_ref"] for one in paid] == ["p-1"]


def test_a_replay_of_what_was_imported_finds_it_there(
    modern: Service, inbox: PostgresInbox
) -> None:
    # Only the header has arrived yet: the replayed order brings its lines itself.
    inbox.apply(GROUP, [order_event(1), payment_event(2)], apply)
    again = modern.client.call("POST", "/orders", new_order("r-1"))
    modern_id = dict(id_pairs(modern.dsn))["1"]
    assert (again.status, again.body["order_id"]) == (200, modern_id)
    assert len(again.body["lines"]) == 2
    paid = {name: PAYMENT[name] for name in ("payment_ref", "method", "amount")}
    assert modern.client.call("POST", f"/orders/{modern_id}/payments", paid).status == 200
    inbox.apply(GROUP, [line_event(3, qty=7)], apply)
    assert modern.client.call("GET", f"/orders/{modern_id}").body["lines"][0]["qty"] == 1


def test_orders_of_the_real_shop_are_not_mistaken(
    modern: Service, inbox: PostgresInbox, tmp_path: Path
) -> None:
    # Telephone orders have no reference: two of them are two.
    events = [order_event(n, FIRST_ORDER_NO + n, client_ref=None) for n in range(3)]
    inbox.apply(GROUP, events, apply)
    with psycopg.connect(modern.dsn) as connection:
        count = connection.execute("SELECT count(*), count(client_ref) FROM orders").fetchone()
    assert count == (3, 0)


def test_it_stops_at_a_position_of_the_log(modern_dsn: str, inbox: PostgresInbox) -> None:
    stop = threading.Event()
    last = order_event(3)
    watching = threading.Thread(target=stop_at, args=(modern_dsn, last.leaf_index, stop))
    watching.start()
    inbox.apply(GROUP, [order_event(1), line_event(2)], apply)
    assert not stop.is_set()
    inbox.apply(GROUP, [last], apply)
    assert stop.wait(60)
    watching.join()
    # Whoever stops it first is heard as well.
    stop_at(modern_dsn, last.leaf_index + 1, stop)
