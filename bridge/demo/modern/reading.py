"""Orders as clients see them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, text

ORDERS_SHOWN_MAX = 50

# One order. Without a status it is only a place for lines that were imported before it.
ORDER: Final = text("SELECT * FROM orders WHERE id = :order_id AND status IS NOT NULL")

# The same, kept from others until the transaction ends.
ORDER_LOCKED: Final = text(f"{ORDER.text} FOR UPDATE")

# The lines of one order.
LINES: Final = text("SELECT * FROM order_lines WHERE order_id = :order_id ORDER BY line_no")

# The payments of one order.
PAYMENTS: Final = text(
    "SELECT * FROM payments WHERE order_id = :order_id ORDER BY paid_at, payment_ref"
)

# The newest orders of a customer, with their totals.
OF_CUSTOMER: Final = text(
    """
SELECT id, client_ref, status, ordered_at,
       (SELECT coalesce(sum(qty * unit_price), 0.00) FROM order_lines WHERE order_id = id) AS total
  FROM orders WHERE customer_id = :customer_id AND status IS NOT NULL
 ORDER BY ordered_at DESC, id LIMIT :count_max"""
)


class Refused(Exception):
    """The request cannot be done; nothing was written."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def locked(connection: Connection, order_id: str) -> dict[str, Any]:
    """Read an order and keep it from others, or refuse with 404."""
    row = connection.execute(ORDER_LOCKED, {"order_id": order_id}).mappings().first()
    if row is None:
        raise Refused(404, "no such order")
    return dict(row)


def shown(connection: Connection, order_id: str) -> dict[str, Any]:
    """Return an order with its lines, or refuse with 404."""
    row = connection.execute(ORDER, {"order_id": order_id}).mappings().first()
    if row is None:
        raise Refused(404, "no such order")
    lines = [
        {
            "line_no": line["line_no"],
            "sku": line["sku"],
            "warehouse": line["warehouse"],
            "qty": line["qty"],
            "unit_price": str(line["unit_price"]),
            "amount": str(line["qty"] * line["unit_price"]),
            "cancelled": line["qty"] == 0,
        }
        for line in connection.execute(LINES, {"order_id": order_id}).mappings()
    ]
    return {
        "order_id": row["id"],
        "client_ref": row["client_ref"],
        "customer_id": row["customer_id"],
        "status": row["status"],
        "gift": row["gift"],
        "note": row["note"],
        "ordered_at": moment(row["ordered_at"]),
        "shipped_at": moment(row["shipped_at"]),
        "total": str(sum((Decimal(line["amount"]) for line in lines), Decimal("0.00"))),
        "lines": lines,
    }


def shown_payments(connection: Connection, order_id: str) -> dict[str, Any]:
    """Return the payments of an order, or refuse with 404."""
    if connection.execute(ORDER, {"order_id": order_id}).first() is None:
        raise Refused(404, "no such order")
    rows = connection.execute(PAYMENTS, {"order_id": order_id}).mappings()
    return {"order_id": order_id, "payments": [payment(dict(row)) for row in rows]}


def shown_orders(connection: Connection, customer_id: int) -> dict[str, Any]:
    """Return a customer's newest orders, without their lines."""
    parameters = {"customer_id": customer_id, "count_max": ORDERS_SHOWN_MAX}
    rows = connection.execute(OF_CUSTOMER, parameters).mappings()
    orders = [
        {
            "order_id": row["id"],
            "client_ref": row["client_ref"],
            "status": row["status"],
            "ordered_at": moment(row["ordered_at"]),
            "total": str(row["total"]),
        }
        for row in rows
    ]
    return {"orders": orders}


def payment(row: dict[str, Any]) -> dict[str, Any]:
    """Return one payment as clients see it."""
    return {
        "payment_ref": row["payment_ref"],
        "method": row["method"],
        "amount": str(row["amount"]),
        "paid_at": moment(row["paid_at"]),
    }


def moment(value: datetime | None) -> str | None:
    """Write a time in UTC, with its Z."""
    if value is None:
        return None
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
