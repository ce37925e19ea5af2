"""Compare the read model with the legacy database, row by row.

The queries say for themselves what each field should be, and share nothing with the mapping that
made the events.
"""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeAlias

import psycopg

from bridge.demo.readmodel.tables import TABLES

Row: TypeAlias = tuple[Any, ...]

# Columns in the order of the read model's tables; times as PostgreSQL writes them, with a T.
_LEGACY: Final = {
    "shop.customer": """
SELECT cust_no, cust_nm, cust_kn, eml, tel, (vip_flg = 'Y')::int, (del_flg = '1')::int,
       crd_lim::text, rmks, replace(reg_ts::text, ' ', 'T'), replace(upd_ts::text, ' ', 'T')
  FROM m_cust""",
    "shop.customer-address": """
SELECT cust_no, adr_seq, CASE adr_typ WHEN 'B' THEN 'billing' WHEN 'S' THEN 'shipping' END,
       zip, adr1, adr2
  FROM m_cust_adr""",
    "shop.product": """
SELECT prd_cd, prd_nm, cat_cd, unt_prc::text,
       CASE tax_kbn WHEN '0' THEN 'exempt' WHEN '1' THEN 'standard' WHEN '2' THEN 'reduced' END,
       wgt_kg, dsc_txt, disc_dt::text, replace(upd_ts::text, ' ', 'T')
  FROM m_prd""",
    "shop.stock": """
SELECT wh_cd, prd_cd, qty, rsv_qty, replace(upd_ts::text, ' ', 'T') FROM t_stk""",
    "shop.stock-movement": """
SELECT wh_cd, prd_cd, replace(mv_ts::text, ' ', 'T'), qty_dlt, rsv_dlt,
       CASE rsn_cd WHEN 'I' THEN 'intake' WHEN 'O' THEN 'order' WHEN 'S' THEN 'status'
                   WHEN 'L' THEN 'line' END, ord_no
  FROM t_stk_mv""",
    "shop.order": """
SELECT ord_no, cust_no, cli_ref, s.stat_nm, replace(ord_ts::text, ' ', 'T'),
       replace(ship_ts::text, ' ', 'T'), tot_amt::text, (gft_flg = 'Y')::int, nte,
       replace(upd_ts::text, ' ', 'T')
  FROM t_ord_hdr LEFT JOIN c_ord_stat AS s USING (stat_cd)""",
    "shop.order-line": """
SELECT ord_no, ln_no, prd_cd, wh_cd, qty, unt_prc::text, ln_amt::text, (cncl_flg = 'Y')::int
  FROM t_ord_ln""",
    "shop.payment": """
SELECT pay_no, ord_no, pay_ref, m.mth_nm, amt::text, replace(pay_ts::text, ' ', 'T')
  FROM t_pay LEFT JOIN c_pay_mth AS m USING (mth_cd)""",
}

# The overview's rows as the legacy database would give them.
_LEGACY_OVERVIEW: Final = """
SELECT ord_no, cust_nm, (SELECT count(*) FROM t_ord_ln AS l WHERE l.ord_no = o.ord_no)
  FROM t_ord_hdr AS o JOIN m_cust USING (cust_no)"""
_OVERVIEW: Final = "SELECT order_id, customer_name, line_count FROM order_overview"

# (what, sum in the legacy database, amounts in the read model)
_SUMS: Final = (
    ("order totals", "SELECT sum(tot_amt) FROM t_ord_hdr", "SELECT total FROM orders"),
    ("line amounts", "SELECT sum(ln_amt) FROM t_ord_ln", "SELECT amount FROM order_lines"),
    ("payments", "SELECT sum(amt) FROM t_pay", "SELECT amount FROM payments"),
)

# Keys told per difference: enough to look one up.
_KEYS_TOLD_MAX: Final = 3


def compare(legacy_dsn: str, read_model: Path) -> list[str]:
    """Return every difference between the two; empty when they are equal.

    Neither may change meanwhile. Names tables, counts and keys.
    """
    with (
        psycopg.connect(legacy_dsn) as legacy,
        contextlib.closing(sqlite3.connect(read_model)) as model,
    ):
        legacy.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return list(_differences(legacy, model))


def row_counts(read_model: Path) -> dict[str, int]:
    """Return the number of rows per table of the read model."""
    counts = {}
    with contextlib.closing(sqlite3.connect(read_model)) as model:
        for table in TABLES.values():
            (counts[table.name],) = model.execute(
                f"SELECT count(*) FROM {table.name}"  # noqa: S608 - a constant's name
            ).fetchone()
    return counts


def _differences(legacy: psycopg.Connection[Any], model: sqlite3.Connection) -> Iterator[str]:
    for subject, table in TABLES.items():
        wanted = Counter(legacy.execute(_LEGACY[subject]).fetchall())
        held = Counter(model.execute(table.read()).fetchall())
        yield from _rows(table.name, len(table.key), wanted, held)
    wanted = Counter(legacy.execute(_LEGACY_OVERVIEW).fetchall())
    yield from _rows("order_overview", 1, wanted, Counter(model.execute(_OVERVIEW).fetchall()))
    for what, legacy_sum, amounts in _SUMS:
        row = legacy.execute(legacy_sum).fetchone()
        expected = row[0] if row is not None and row[0] is not None else Decimal(0)
        total = sum((Decimal(amount) for (amount,) in model.execute(amounts)), Decimal(0))
        if total != expected:
            yield f"{what}: sum is {total}, the legacy database has {expected}"


def _rows(name: str, key_length: int, wanted: Counter[Row], held: Counter[Row]) -> Iterator[str]:
    """Compare two multisets of rows; rows that differ show up in both directions."""
    for what, rows in (("missing or different", wanted - held), ("unexpected", held - wanted)):
        if rows:
            keys = sorted({row[: key_length or None] for row in rows}, key=repr)[:_KEYS_TOLD_MAX]
            yield f"{name}: {rows.total()} rows {what}, the first with key {keys}"
