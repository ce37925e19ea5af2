"""Orders: taken, shown, moved through their statuses."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from bridge.demo.legacy.audit import record
from bridge.demo.legacy.codes import SHIPPED, STATUS_CODES, STATUS_NAMES, STOCK_EFFECT
from bridge.demo.legacy.database import Cursor
from bridge.demo.legacy.requests import (
    TEXT_LENGTH_MAX,
    Refused,
    Reply,
    Request,
    choice_field,
    flag_field,
    money_field,
    optional_text,
    text_field,
    whole_field,
)
from bridge.demo.legacy.stock import Move, move_all

LINES_MAX = 50
ORDERS_SHOWN_MAX = 50
QUANTITY_MAX = 9_999

# The header of one order.
HEADER: Final = """
SELECT ord_no, cli_ref, cust_no, stat_cd, gft_flg, nte, ord_ts, ship_ts, tot_amt
  FROM t_ord_hdr WHERE ord_no = %s"""

# The same, kept from others until the transaction ends.
HEADER_LOCKED: Final = HEADER + " FOR UPDATE"

# The number of the order that a client's reference names.
BY_REFERENCE: Final = "SELECT ord_no FROM t_ord_hdr WHERE cli_ref = %s"

# The lines of one order.
LINES: Final = """
SELECT ln_no AS line_no, prd_cd AS sku, wh_cd AS warehouse, qty, unt_prc AS unit_price,
       ln_amt AS amount, cncl_flg = 'Y' AS cancelled
  FROM t_ord_ln WHERE ord_no = %s ORDER BY ln_no"""

# The newest orders of a customer.
OF_CUSTOMER: Final = """
SELECT ord_no AS order_id, cli_ref AS client_ref, stat_cd AS status, ord_ts AS ordered_at,
       tot_amt AS total
  FROM t_ord_hdr WHERE cust_no = %s ORDER BY ord_no DESC LIMIT %s"""

# Take an order, unless its reference was taken already.
TAKE: Final = """
INSERT INTO t_ord_hdr (cust_no, cli_ref, stat_cd, ord_ts, tot_amt, gft_flg, nte, upd_ts, upd_usr)
VALUES (%(customer_id)s, %(client_ref)s, '1', clock_timestamp()::timestamp, %(total)s, %(gift)s,
        %(note)s, clock_timestamp()::timestamp, 'web')
    ON CONFLICT (cli_ref) DO NOTHING
RETURNING ord_no"""

# Add a line to an order.
ADD_LINE: Final = """
INSERT INTO t_ord_ln (ord_no, ln_no, prd_cd, wh_cd, qty, unt_prc, ln_amt)
VALUES (%(order_no)s, %(line_no)s, %(sku)s, %(warehouse)s, %(qty)s, %(unit_price)s, %(amount)s)"""

# Move an order to another status; NULL as shipping time means that it is not shipped.
SET_STATUS: Final = """
UPDATE t_ord_hdr
   SET stat_cd = %(status)s, upd_ts = clock_timestamp()::timestamp, upd_usr = 'web',
       ship_ts = CASE WHEN %(shipped)s THEN coalesce(ship_ts, clock_timestamp()::timestamp) END
 WHERE ord_no = %(order_no)s"""

# How many of the named warehouse and product pairs have stock kept.
STOCKED: Final = """
SELECT count(*) AS known FROM unnest(%s::text[], %s::text[]) AS wanted (wh, prd)
  JOIN t_stk ON wh_cd = wh AND prd_cd = prd"""


def show(cursor: Cursor, request: Request) -> Reply:
    """GET /orders/{order_id}."""
    return Reply(status=200, body=shown(cursor, request.number("order_id")))


def of_customer(cursor: Cursor, request: Request) -> Reply:
    """GET /orders?customer=: the customer's newest orders, without their lines."""
    customer = request.query.get("customer", "")
    if not (customer.isascii() and customer.isdigit() and len(customer) < 10):
        raise Refused(400, "customer must be given, as a number")
    rows = cursor.execute(OF_CUSTOMER, (int(customer), ORDERS_SHOWN_MAX)).fetchall()
    return Reply(
        status=200,
        body={"orders": [{**row, "status": STATUS_NAMES[row["status"]]} for row in rows]},
    )


def create(cursor: Cursor, request: Request) -> Reply:
    """POST /orders: take an order; a reference that was taken before returns that order."""
    body = request.body
    lines = checked_lines(body)
    customer_id = whole_field(body, "customer_id", least=1, most=999_999_999)
    wanted = {
        "client_ref": text_field(body, "client_ref"),
        "customer_id": customer_id,
        "gift": flag_field(body, "gift"),
        "note": optional_text(body, "note", length_max=TEXT_LENGTH_MAX),
        "total": sum((line["amount"] for line in lines), Decimal("0.00")),
    }
    check_references(cursor, customer_id, lines)
    taken = cursor.execute(TAKE, wanted).fetchone()
    if taken is None:
        known = cursor.execute(BY_REFERENCE, (wanted["client_ref"],)).fetchone()
        assert known is not None, "a reference that conflicts has an order"
        return Reply(status=200, body=shown(cursor, known["ord_no"]))
    order_no: int = taken["ord_no"]
    for line in lines:
        cursor.execute(ADD_LINE, {**line, "order_no": order_no})
    move_all(
        cursor,
        [Move(line["warehouse"], line["sku"], 0, line["qty"]) for line in lines],
        reason="O",
        order_no=order_no,
    )
    record(cursor, "t_ord_hdr", order_no, f"NEW {len(lines)} LN {wanted['total']}")
    return Reply(status=201, body=shown(cursor, order_no))


def change_status(cursor: Cursor, request: Request) -> Reply:
    """PUT /orders/{order_id}/status: any status may follow any other; stock follows along."""
    order_no = request.number("order_id")
    status = choice_field(request.body, "status", STATUS_CODES)
    header = locked(cursor, order_no)
    current = header["stat_cd"]
    if status != current:
        cursor.execute(
            SET_STATUS, {"order_no": order_no, "status": status, "shipped": status in SHIPPED}
        )
        on_hand = STOCK_EFFECT[status][0] - STOCK_EFFECT[current][0]
        reserved = STOCK_EFFECT[status][1] - STOCK_EFFECT[current][1]
        rows = cursor.execute(LINES, (order_no,)).fetchall()
        move_all(
            cursor,
            [
                Move(row["warehouse"], row["sku"], on_hand * row["qty"], reserved * row["qty"])
                for row in rows
            ],
            reason="S",
            order_no=order_no,
        )
        record(cursor, "t_ord_hdr", order_no, f"STAT {current}>{status}")
    return Reply(status=200, body=shown(cursor, order_no))


def locked(cursor: Cursor, order_no: int) -> dict[str, Any]:
    """Read an order's header and keep it from others, or refuse with 404."""
    header = cursor.execute(HEADER_LOCKED, (order_no,)).fetchone()
    if header is None:
        raise Refused(404, "no such order")
    return header


def shown(cursor: Cursor, order_no: int) -> dict[str, Any]:
    """Read an order with its lines, as clients see it, or refuse with 404."""
    header = cursor.execute(HEADER, (order_no,)).fetchone()
    if header is None:
        raise Refused(404, "no such order")
    return {
        "order_id": header["ord_no"],
        "client_ref": header["cli_ref"],
        "customer_id": header["cust_no"],
        "status": STATUS_NAMES[header["stat_cd"]],
        "gift": header["gft_flg"] == "Y",
        "note": header["nte"],
        "ordered_at": header["ord_ts"],
        "shipped_at": header["ship_ts"],
        "total": header["tot_amt"],
        "lines": cursor.execute(LINES, (order_no,)).fetchall(),
    }


def checked_lines(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Check the lines of a new order and number them from 1."""
    given = body.get("lines")
    if not isinstance(given, list) or not 1 <= len(given) <= LINES_MAX:
        raise Refused(422, f"lines must be a list of 1 to {LINES_MAX}")
    lines = []
    for number, line in enumerate(given, start=1):
        if not isinstance(line, dict):
            raise Refused(422, "each line must be an object")
        qty = whole_field(line, "qty", least=1, most=QUANTITY_MAX)
        price = money_field(line, "unit_price")
        lines.append(
            {
                "line_no": number,
                "sku": text_field(line, "sku", length_max=8),
                "warehouse": text_field(line, "warehouse", length_max=3),
                "qty": qty,
                "unit_price": price,
                "amount": qty * price,
            }
        )
    return lines


def check_references(cursor: Cursor, customer_id: int, lines: list[dict[str, Any]]) -> None:
    """Refuse an order of an unknown customer, or of products that a warehouse does not keep."""
    cursor.execute("SELECT 1 FROM m_cust WHERE cust_no = %s AND del_flg = '0'", (customer_id,))
    if cursor.fetchone() is None:
        raise Refused(422, "no such customer")
    pairs = sorted({(line["warehouse"], line["sku"]) for line in lines})
    cursor.execute(STOCKED, ([pair[0] for pair in pairs], [pair[1] for pair in pairs]))
    known = cursor.fetchone()
    if known is None or known["known"] != len(pairs):
        raise Refused(422, "a line names a product that its warehouse does not keep")
