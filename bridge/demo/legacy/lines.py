"""Order lines: quantities and prices as agreed."""

from typing import Final

from bridge.demo.legacy.audit import record
from bridge.demo.legacy.codes import STOCK_EFFECT
from bridge.demo.legacy.database import Cursor
from bridge.demo.legacy.orders import QUANTITY_MAX, locked, shown
from bridge.demo.legacy.requests import Refused, Reply, Request, money_field, whole_field
from bridge.demo.legacy.stock import Move, move_all

# One line; its order's header is locked.
LINE: Final = """
SELECT prd_cd, wh_cd, qty, unt_prc FROM t_ord_ln WHERE ord_no = %(order_no)s AND ln_no = %(line_no)s
"""

# Change a line; a quantity of zero cancels it.
CHANGE: Final = """
UPDATE t_ord_ln
   SET qty = %(qty)s, unt_prc = %(unit_price)s, ln_amt = %(qty)s * %(unit_price)s,
       cncl_flg = CASE WHEN %(qty)s = 0 THEN 'Y' ELSE 'N' END
 WHERE ord_no = %(order_no)s AND ln_no = %(line_no)s"""

# Bring the header's total in line with the lines.
TOTAL: Final = """
UPDATE t_ord_hdr
   SET tot_amt = (SELECT sum(ln_amt) FROM t_ord_ln WHERE ord_no = %(order_no)s),
       upd_ts = clock_timestamp()::timestamp, upd_usr = 'web'
 WHERE ord_no = %(order_no)s"""


def change(cursor: Cursor, request: Request) -> Reply:
    """PUT /orders/{order_id}/lines/{line_no}: quantity and price of a line that exists."""
    order_no = request.number("order_id")
    wanted = {
        "order_no": order_no,
        "line_no": request.number("line_no"),
        "qty": whole_field(request.body, "qty", least=0, most=QUANTITY_MAX),
        "unit_price": money_field(request.body, "unit_price"),
    }
    header = locked(cursor, order_no)
    line = cursor.execute(LINE, wanted).fetchone()
    if line is None:
        raise Refused(404, "no such line")
    if (line["qty"], line["unt_prc"]) != (wanted["qty"], wanted["unit_price"]):
        cursor.execute(CHANGE, wanted)
        cursor.execute(TOTAL, wanted)
        on_hand, reserved = STOCK_EFFECT[header["stat_cd"]]
        more = wanted["qty"] - line["qty"]
        move = Move(line["wh_cd"], line["prd_cd"], on_hand * more, reserved * more)
        move_all(cursor, [move], reason="L", order_no=order_no)
        record(cursor, "t_ord_hdr", order_no, f"LN {wanted['line_no']} QTY {wanted['qty']}")
    return Reply(status=200, body=shown(cursor, order_no))
