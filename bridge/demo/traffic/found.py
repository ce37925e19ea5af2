"""What the two databases hold of the orders and customers that traffic wrote to."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.rows import dict_row

from bridge.demo.legacy.codes import METHOD_NAMES, STATUS_NAMES

Amount: TypeAlias = Decimal


@dataclass(slots=True)
class FoundOrder:
    """An order in one database."""

    order_id: str
    customer_id: int
    status: str
    gift: bool
    note: str | None
    lines: dict[int, tuple[str, str, int, Amount]] = field(default_factory=dict)
    """Line number → SKU, warehouse, quantity, unit price."""
    payments: dict[str, tuple[str, Amount]] = field(default_factory=dict)
    """Reference → method, amount."""
    history: list[str] = field(default_factory=list)
    """Statuses that calls have set, in the order in which they did."""


# Orders by the client's reference or by number.
_LEGACY_ORDERS: Final = """
SELECT ord_no, cli_ref, cust_no, stat_cd, gft_flg, nte FROM t_ord_hdr
 WHERE cli_ref = ANY(%(references)s) OR ord_no = ANY(%(numbers)s)"""
_LEGACY_LINES: Final = """
SELECT ord_no, ln_no, prd_cd, wh_cd, qty, unt_prc FROM t_ord_ln WHERE ord_no = ANY(%s)"""
_LEGACY_PAYMENTS: Final = """
SELECT ord_no, pay_ref, mth_cd, amt FROM t_pay WHERE ord_no = ANY(%s)"""
# Changes of status as the audit trail tells them: `STAT 1>4`.
_LEGACY_HISTORY: Final = """
SELECT key_txt::integer AS ord_no, right(act_txt, 1) AS stat_cd FROM t_adt
 WHERE tbl_nm = 't_ord_hdr' AND key_txt = ANY(%s) AND act_txt LIKE 'STAT _>_'
 ORDER BY adt_ts"""
_LEGACY_CUSTOMERS: Final = """
SELECT cust_no, cust_nm, eml, tel, vip_flg = 'Y' AS vip, crd_lim FROM m_cust
 WHERE cust_no = ANY(%s)"""

_MODERN_ORDERS: Final = """
SELECT id, legacy_ref, client_ref, customer_id, status, gift, note FROM orders
 WHERE status IS NOT NULL
   AND (client_ref = ANY(%(references)s) OR legacy_ref = ANY(%(numbers)s)
        OR id = ANY(%(ids)s))"""
_MODERN_LINES: Final = """
SELECT order_id, line_no, sku, warehouse, qty, unit_price FROM order_lines
 WHERE order_id = ANY(%s)"""
_MODERN_PAYMENTS: Final = """
SELECT order_id, payment_ref, method, amount FROM payments WHERE order_id = ANY(%s)"""
_MODERN_HISTORY: Final = """
SELECT order_id, status FROM status_history WHERE order_id = ANY(%s) ORDER BY entry_no"""


def find_legacy(dsn: str, keys: Collection[str]) -> dict[str, FoundOrder]:
    """Return what the legacy database holds under the order keys of a journal."""
    references, numbers = _split(keys)
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        parameters = {"references": references, "numbers": [int(number) for number in numbers]}
        rows = connection.execute(_LEGACY_ORDERS, parameters).fetchall()
        orders = {
            row["ord_no"]: FoundOrder(
                order_id=str(row["ord_no"]),
                customer_id=row["cust_no"],
                status=STATUS_NAMES[row["stat_cd"]],
                gift=row["gft_flg"] == "Y",
                note=row["nte"],
            )
            for row in rows
        }
        ids = list(orders)
        for row in connection.execute(_LEGACY_LINES, (ids,)):
            terms = (row["prd_cd"], row["wh_cd"], row["qty"], row["unt_prc"])
            orders[row["ord_no"]].lines[row["ln_no"]] = terms
        for row in connection.execute(_LEGACY_PAYMENTS, (ids,)):
            paid = (METHOD_NAMES[row["mth_cd"]], row["amt"])
            orders[row["ord_no"]].payments[row["pay_ref"]] = paid
        for row in connection.execute(_LEGACY_HISTORY, ([str(number) for number in ids],)):
            orders[row["ord_no"]].history.append(STATUS_NAMES[row["stat_cd"]])
    found = {f"order {number}": order for number, order in orders.items()}
    found |= {f"ref {row['cli_ref']}": orders[row["ord_no"]] for row in rows if row["cli_ref"]}
    return {key: order for key, order in found.items() if key in keys}


def find_modern(
    dsn: str, keys: Collection[str], modern_ids: Mapping[str, str]
) -> dict[str, FoundOrder]:
    """Return what the modern database holds; `modern_ids` are the known (legacy → modern) ids."""
    references, numbers = _split(keys)
    legacy_ids = {modern_ids[number]: number for number in numbers if number in modern_ids}
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        parameters = {"references": references, "numbers": numbers, "ids": list(legacy_ids)}
        rows = connection.execute(_MODERN_ORDERS, parameters).fetchall()
        orders = {
            row["id"]: FoundOrder(
                order_id=row["id"],
                customer_id=row["customer_id"],
                status=row["status"],
                gift=row["gift"],
                note=row["note"],
            )
            for row in rows
        }
        ids = list(orders)
        for row in connection.execute(_MODERN_LINES, (ids,)):
            terms = (row["sku"], row["warehouse"], row["qty"], row["unit_price"])
            orders[row["order_id"]].lines[row["line_no"]] = terms
        for row in connection.execute(_MODERN_PAYMENTS, (ids,)):
            orders[row["order_id"]].payments[row["payment_ref"]] = (row["method"], row["amount"])
        for row in connection.execute(_MODERN_HISTORY, (ids,)):
            orders[row["order_id"]].history.append(row["status"])
    found: dict[str, FoundOrder] = {}
    for row in rows:
        number = row["legacy_ref"] or legacy_ids.get(row["id"])
        found[f"order {number}"] = found[f"ref {row['client_ref']}"] = orders[row["id"]]
    return {key: order for key, order in found.items() if key in keys}


def find_customers(dsn: str, keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the named customers of the legacy database, as a PUT names their fields."""
    numbers = [int(number) for number in _grouped(keys)["customer"]]
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        rows = connection.execute(_LEGACY_CUSTOMERS, (numbers,)).fetchall()
    return {
        f"customer {row['cust_no']}": {
            "name": row["cust_nm"],
            "email": row["eml"],
            "phone": row["tel"],
            "vip": row["vip"],
            "credit_limit": None if row["crd_lim"] is None else str(row["crd_lim"]),
        }
        for row in rows
    }


def _split(keys: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the references and the numbers among order keys."""
    grouped = _grouped(keys)
    return grouped["ref"], grouped["order"]


def _grouped(keys: Collection[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        kind, _, name = key.partition(" ")
        grouped[kind].append(name)
    return grouped
