"""Stock levels and their movements, as orders change them."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from bridge.demo.legacy.database import Cursor

# Move stock. There is no check against zero: the shop takes orders for what it will get.
MOVE: Final = """
UPDATE t_stk SET qty = qty + %(on_hand)s, rsv_qty = rsv_qty + %(reserved)s,
       upd_ts = clock_timestamp()::timestamp
 WHERE wh_cd = %(warehouse)s AND prd_cd = %(sku)s"""

# Write the movement down.
NOTE: Final = """
INSERT INTO t_stk_mv (wh_cd, prd_cd, mv_ts, qty_dlt, rsv_dlt, rsn_cd, ord_no)
VALUES (%(warehouse)s, %(sku)s, clock_timestamp()::timestamp, %(on_hand)s, %(reserved)s,
        %(reason)s, %(order_no)s)"""


class Move(NamedTuple):
    """A change of one stock level."""

    warehouse: str
    sku: str
    on_hand: int
    reserved: int


def move_all(cursor: Cursor, moves: Iterable[Move], *, reason: str, order_no: int) -> None:
    """Apply moves and note each; always in the order of the key, so that orders never deadlock."""
    for move in sorted(moves):
        if move.on_hand == 0 and move.reserved == 0:
            continue
        parameters = {**move._asdict(), "reason": reason, "order_no": order_no}
        cursor.execute(MOVE, parameters)
        cursor.execute(NOTE, parameters)
