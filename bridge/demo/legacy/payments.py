"""Payments of orders, each named by the client's own reference."""

from typing import Any, Final

from bridge.demo.legacy.audit import record
from bridge.demo.legacy.codes import METHOD_CODES, METHOD_NAMES
from bridge.demo.legacy.database import Cursor
from bridge.demo.legacy.orders import locked
from bridge.demo.legacy.requests import (
    Refused,
    Reply,
    Request,
    choice_field,
    money_field,
    text_field,
)

# The payments of one order.
OF_ORDER: Final = """
SELECT pay_ref, mth_cd, amt, pay_ts FROM t_pay WHERE ord_no = %s ORDER BY pay_no"""

# The payment that a reference names within an order.
BY_REFERENCE: Final = """
SELECT pay_ref, mth_cd, amt, pay_ts FROM t_pay
 WHERE ord_no = %(order_no)s AND pay_ref = %(payment_ref)s"""

# Book a payment.
BOOK: Final = """
INSERT INTO t_pay (ord_no, pay_ref, mth_cd, amt, pay_ts)
VALUES (%(order_no)s, %(payment_ref)s, %(method)s, %(amount)s, clock_timestamp()::timestamp)
RETURNING pay_ref, mth_cd, amt, pay_ts"""


def of_order(cursor: Cursor, request: Request) -> Reply:
    """GET /orders/{order_id}/payments."""
    order_no = request.number("order_id")
    if cursor.execute("SELECT 1 FROM t_ord_hdr WHERE ord_no = %s", (order_no,)).fetchone() is None:
        raise Refused(404, "no such order")
    rows = cursor.execute(OF_ORDER, (order_no,)).fetchall()
    return Reply(
        status=200, body={"order_id": order_no, "payments": [shown_payment(row) for row in rows]}
    )


def create(cursor: Cursor, request: Request) -> Reply:
    """POST /orders/{order_id}/payments: book it once; the same again is answered the same."""
    order_no = request.number("order_id")
    wanted = {
        "order_no": order_no,
        "payment_ref": text_field(request.body, "payment_ref"),
        "method": choice_field(request.body, "method", METHOD_CODES),
        "amount": money_field(request.body, "amount"),
    }
    locked(cursor, order_no)  # Two payments with one reference wait for each other here.
    known = cursor.execute(BY_REFERENCE, wanted).fetchone()
    if known is not None:
        if (known["mth_cd"], known["amt"]) != (wanted["method"], wanted["amount"]):
            raise Refused(409, "this payment reference was used for another payment")
        return Reply(status=200, body={"order_id": order_no, **shown_payment(known)})
    booked = cursor.execute(BOOK, wanted).fetchone()
    assert booked is not None, "an insert returns its row"
    record(cursor, "t_ord_hdr", order_no, f"PAY {wanted['amount']}")
    return Reply(status=201, body={"order_id": order_no, **shown_payment(booked)})


def shown_payment(row: dict[str, Any]) -> dict[str, Any]:
    """Return a payment as clients see it."""
    return {
        "payment_ref": row["pay_ref"],
        "method": METHOD_NAMES[row["mth_cd"]],
        "amount": row["amt"],
        "paid_at": row["pay_ts"],
    }
