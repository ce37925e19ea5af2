"""Backfill: build the modern service's orders from the shop's events.

The service keeps taking writes meanwhile, so an event may be older than what is there. Two rules
keep it harmless: a row takes an event only if its sequence is above the newest one it took, and
what a call of the API has written is never written over. An order that was placed through the API
already is recognised by the client's reference and only learns its legacy number.

Lines and payments may come before their order (a snapshot goes table by table): they wait at an
order without a status, which the API does not show.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import psycopg

from bridge.consumer.event import ReceivedEvent
from bridge.demo.modern.database import new_order_id
from bridge.model.change import ChangeKind

GROUP: Final = "orders-import"
"""The name under which the inbox remembers."""
QUEUE: Final = f"c.{GROUP}"
# All of the shop, not only what is taken: the position then moves with every entry of the log.
BINDINGS: Final = ("shop.#",)

# The legacy system writes local time without zone; Japan has no summer time.
_LEGACY_ZONE: Final = timezone(timedelta(hours=9))

# Make a place for a legacy order; an order that has its number or its reference stays as it is.
_MAKE_PLACE: Final = """
INSERT INTO orders (id, legacy_ref, client_ref) VALUES (%(new_id)s, %(legacy_ref)s, %(client_ref)s)
    ON CONFLICT DO NOTHING"""

# Give up the place of an order that turns out to have come through the API.
_GIVE_UP_PLACE: Final = """
DELETE FROM orders AS place USING orders AS known
 WHERE place.legacy_ref = %(legacy_ref)s AND place.status IS NULL
   AND known.client_ref = %(client_ref)s AND known.legacy_ref IS NULL"""

# Tell such an order its legacy number.
_LINK: Final = """
UPDATE orders SET legacy_ref = %(legacy_ref)s
 WHERE client_ref = %(client_ref)s AND legacy_ref IS NULL"""

# Take an order's header, but for what the API wrote.
_TAKE_HEADER: Final = """
UPDATE orders
   SET imported_seq = %(sequence)s,
       client_ref  = CASE WHEN by_api THEN client_ref ELSE %(client_ref)s END,
       customer_id = CASE WHEN by_api THEN customer_id ELSE %(customer_id)s END,
       gift        = CASE WHEN by_api THEN gift ELSE %(gift)s END,
       note        = CASE WHEN by_api OR NOT %(note_sent)s THEN note ELSE %(note)s END,
       ordered_at  = CASE WHEN by_api THEN ordered_at ELSE %(ordered_at)s END,
       status      = CASE WHEN status_by_api THEN status ELSE %(status)s END,
       shipped_at  = CASE WHEN status_by_api THEN shipped_at ELSE %(shipped_at)s END
 WHERE legacy_ref = %(legacy_ref)s AND coalesce(imported_seq < %(sequence)s, true)"""

# Take a line, but not one that the API wrote.
_TAKE_LINE: Final = """
INSERT INTO order_lines (order_id, line_no, sku, warehouse, qty, unit_price, imported_seq)
SELECT id, %(line_no)s, %(sku)s, %(warehouse)s, %(qty)s, %(unit_price)s::numeric, %(sequence)s
  FROM orders WHERE legacy_ref = %(legacy_ref)s
    ON CONFLICT (order_id, line_no) DO UPDATE
   SET qty = EXCLUDED.qty, unit_price = EXCLUDED.unit_price, sku = EXCLUDED.sku,
       warehouse = EXCLUDED.warehouse, imported_seq = EXCLUDED.imported_seq
 WHERE NOT order_lines.by_api
   AND coalesce(order_lines.imported_seq < EXCLUDED.imported_seq, true)"""

# Take a payment; payments never change once they are booked.
_TAKE_PAYMENT: Final = """
INSERT INTO payments (order_id, payment_ref, method, amount, paid_at)
SELECT id, %(payment_ref)s, %(method)s, %(amount)s::numeric, %(paid_at)s
  FROM orders WHERE legacy_ref = %(legacy_ref)s
    ON CONFLICT (order_id, payment_ref) DO NOTHING"""

# Every order that has both ids.
_PAIRS: Final = """
SELECT legacy_ref, id FROM orders WHERE legacy_ref IS NOT NULL AND status IS NOT NULL
 ORDER BY legacy_ref"""

# The newest entry of the log that was taken.
_POSITION: Final = "SELECT max(leaf_index) FROM lb_inbox WHERE group_name = %s"


def apply(event: ReceivedEvent, connection: psycopg.Connection[Any]) -> None:
    """Take one event of the shop, within the caller's transaction; others are passed over.

    A handler for `bridge.consumer`: it fetches no results, so a batch goes as one pipeline.
    """
    if event.kind in (ChangeKind.DELETED, ChangeKind.TRUNCATED):
        return  # The shop deletes no orders; a struck-off row would still be history here.
    take = _TAKERS.get(event.subject)
    if take is not None:
        take(connection, event.data["after"], event)


def id_pairs(dsn: str) -> Iterator[tuple[str, str]]:
    """Yield (legacy id, modern id) of every imported order, for the gateway's id map."""
    with psycopg.connect(dsn) as connection, connection.cursor(name="pairs") as cursor:
        cursor.execute(_PAIRS)
        yield from cursor


def position(dsn: str, group: str = GROUP) -> int:
    """Return the newest leaf index of the log that the import has applied, or -1."""
    with psycopg.connect(dsn) as connection:
        if connection.execute("SELECT to_regclass('lb_inbox')").fetchone() == (None,):
            return -1
        row = connection.execute(_POSITION, (group,)).fetchone()
    return row[0] if row is not None and row[0] is not None else -1


def _take_order(
    connection: psycopg.Connection[Any], row: Mapping[str, Any], event: ReceivedEvent
) -> None:
    parameters = {
        "new_id": new_order_id(),
        "legacy_ref": str(row["order_id"]),
        "client_ref": row["client_ref"],
        "customer_id": row["customer_id"],
        "status": row["status"],
        "gift": row["gift"],
        "note": row.get("note"),
        "note_sent": "note" in row,
        "ordered_at": _in_utc(row["ordered_at"]),
        "shipped_at": _in_utc(row["shipped_at"]),
        "sequence": event.sequence,
    }
    connection.execute(_MAKE_PLACE, parameters)
    if row["client_ref"] is not None:
        connection.execute(_GIVE_UP_PLACE, parameters)
        connection.execute(_LINK, parameters)
    connection.execute(_TAKE_HEADER, parameters)


def _take_line(
    connection: psycopg.Connection[Any], row: Mapping[str, Any], event: ReceivedEvent
) -> None:
    _make_place(connection, row)
    parameters = {**row, "legacy_ref": str(row["order_id"]), "sequence": event.sequence}
    connection.execute(_TAKE_LINE, parameters)


def _take_payment(
    connection: psycopg.Connection[Any], row: Mapping[str, Any], event: ReceivedEvent
) -> None:
    _make_place(connection, row)
    parameters = {
        **row,
        "legacy_ref": str(row["order_id"]),
        "paid_at": _in_utc(row["paid_at"]),
    }
    connection.execute(_TAKE_PAYMENT, parameters)


def _make_place(connection: psycopg.Connection[Any], row: Mapping[str, Any]) -> None:
    parameters = {"new_id": new_order_id(), "legacy_ref": str(row["order_id"]), "client_ref": None}
    connection.execute(_MAKE_PLACE, parameters)


def _in_utc(local: str | None) -> datetime | None:
    """Read the shop's local time."""
    if local is None:
        return None
    return datetime.fromisoformat(local).replace(tzinfo=_LEGACY_ZONE).astimezone(UTC)


_TAKERS: Final = {
    "shop.order": _take_order,
    "shop.order-line": _take_line,
    "shop.payment": _take_payment,
}
