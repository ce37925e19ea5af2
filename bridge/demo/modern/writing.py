"""What the service's write calls do; each runs in the caller's transaction.

Every one of them may be repeated: the same again finds its own work done and answers as before.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from bridge.demo.modern.database import new_order_id
from bridge.demo.modern.reading import Refused, locked, payment, shown
from bridge.demo.modern.shapes import NewLine, NewOrder, NewPayment, NewStatus, NewTerms, places

# Place an order, unless its reference was used already.
PLACE: Final = text(
    """
INSERT INTO orders (id, client_ref, customer_id, status, gift, note, ordered_at, by_api,
                    status_by_api)
VALUES (:id, :client_ref, :customer_id, 'open', :gift, :note, clock_timestamp(), true, true)
    ON CONFLICT (client_ref) DO NOTHING RETURNING id"""
)

# The order that a client's reference names.
BY_REFERENCE: Final = text("SELECT id FROM orders WHERE client_ref = :client_ref")

# Add a line, unless the order has it already.
ADD_LINE: Final = text(
    """
INSERT INTO order_lines (order_id, line_no, sku, warehouse, qty, unit_price, by_api)
VALUES (:order_id, :line_no, :sku, :warehouse, :qty, :unit_price, true)
    ON CONFLICT (order_id, line_no) DO NOTHING"""
)

# Set a status. Being shipped has a time; every other status has none.
SET_STATUS: Final = text(
    """
UPDATE orders
   SET status = :status, status_by_api = true,
       shipped_at = CASE WHEN :shipped THEN coalesce(shipped_at, clock_timestamp()) END
 WHERE id = :order_id"""
)

# Remember that the API set a status.
NOTE_STATUS: Final = text(
    "INSERT INTO status_history (order_id, status) VALUES (:order_id, :status)"
)

# Change a line.
SET_TERMS: Final = text(
    """
UPDATE order_lines SET qty = :qty, unit_price = :unit_price, by_api = true
 WHERE order_id = :order_id AND line_no = :line_no"""
)

# Book a payment, unless its reference was used for this order.
BOOK: Final = text(
    """
INSERT INTO payments (order_id, payment_ref, method, amount, paid_at)
VALUES (:order_id, :payment_ref, :method, :amount, clock_timestamp())
    ON CONFLICT (order_id, payment_ref) DO NOTHING RETURNING *"""
)

# The payment that a reference names within an order.
PAYMENT: Final = text(
    "SELECT * FROM payments WHERE order_id = :order_id AND payment_ref = :payment_ref"
)

_SHIPPED: Final = frozenset({"shipped", "closed"})


class Answer(NamedTuple):
    """Status and JSON body."""

    status: int
    body: Mapping[str, Any]


def place_order(connection: Connection, order: NewOrder) -> Answer:
    """Place an order; a reference that was used before returns that order."""
    wanted = order.model_dump(exclude={"lines"})
    placed = connection.execute(PLACE, {**wanted, "id": new_order_id()}).scalar()
    if placed is None:
        known: str = connection.execute(BY_REFERENCE, wanted).scalar_one()
        # It may have been imported a moment ago, with some of its lines still on their way.
        _add_lines(connection, known, order.lines)
        return Answer(200, shown(connection, known))
    _add_lines(connection, placed, order.lines)
    connection.execute(NOTE_STATUS, {"order_id": placed, "status": "open"})
    return Answer(201, shown(connection, placed))


def set_status(connection: Connection, order_id: str, wanted: NewStatus) -> Answer:
    """Move an order to a status; any may follow any other."""
    order = locked(connection, order_id)
    parameters = {
        "order_id": order_id,
        "status": wanted.status,
        "shipped": wanted.status in _SHIPPED,
    }
    if order["status"] != wanted.status:
        connection.execute(NOTE_STATUS, parameters)
    if order["status"] != wanted.status or not order["status_by_api"]:
        connection.execute(SET_STATUS, parameters)
    return Answer(200, shown(connection, order_id))


def set_terms(connection: Connection, order_id: str, line_no: int, wanted: NewTerms) -> Answer:
    """Change quantity and price of a line that exists."""
    locked(connection, order_id)
    parameters = {
        "order_id": order_id,
        "line_no": line_no,
        "qty": wanted.qty,
        "unit_price": places(wanted.unit_price),
    }
    if connection.execute(SET_TERMS, parameters).rowcount == 0:
        raise Refused(404, "no such line")
    return Answer(200, shown(connection, order_id))


def book_payment(connection: Connection, order_id: str, wanted: NewPayment) -> Answer:
    """Book a payment once; the same again is answered the same."""
    locked(connection, order_id)
    amount = places(wanted.amount)
    parameters = {**wanted.model_dump(), "order_id": order_id, "amount": amount}
    booked = connection.execute(BOOK, parameters).mappings().first()
    row = booked or connection.execute(PAYMENT, parameters).mappings().one()
    if (row["method"], row["amount"]) != (wanted.method, amount):
        raise Refused(409, "this payment reference was used for another payment")
    return Answer(201 if booked else 200, {"order_id": order_id, **payment(dict(row))})


def _add_lines(connection: Connection, order_id: str, lines: Iterable[NewLine]) -> None:
    for number, line in enumerate(lines, start=1):
        parameters = {
            **line.model_dump(),
            "order_id": order_id,
            "line_no": number,
            "unit_price": places(line.unit_price),
        }
        connection.execute(ADD_LINE, parameters)
