"""The audit trail: lines of text that nothing reads but people."""

from typing import Final

from bridge.demo.legacy.database import Cursor

# Add a line. The clock's time, not the transaction's: lines of one row then stand in the order in
# which its lock was held.
ADD: Final = """
INSERT INTO t_adt (adt_ts, usr_cd, tbl_nm, key_txt, act_txt)
VALUES (clock_timestamp()::timestamp, 'web', %s, %s, %s)"""


def record(cursor: Cursor, table: str, key: int, action: str) -> None:
    """Add a line about one row to the trail."""
    cursor.execute(ADD, (table, str(key), action))
