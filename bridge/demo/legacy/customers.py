"""Customers and their addresses."""

from typing import Any, Final

from bridge.demo.legacy.audit import record
from bridge.demo.legacy.database import Cursor
from bridge.demo.legacy.requests import (
    Refused,
    Reply,
    Request,
    flag_field,
    money_field,
    optional_text,
    text_field,
)

# One customer who was not deleted; the flag is '1' for deleted ones.
CUSTOMER: Final = """
SELECT cust_no AS customer_id, cust_nm AS name, cust_kn AS kana, eml AS email, tel AS phone,
       vip_flg = 'Y' AS vip, crd_lim AS credit_limit, rmks AS remarks, reg_ts AS registered_at
  FROM m_cust WHERE cust_no = %(customer_id)s AND del_flg = '0'"""

# The addresses of one customer.
ADDRESSES: Final = """
SELECT adr_seq AS address_no, CASE adr_typ WHEN 'B' THEN 'billing' ELSE 'shipping' END AS purpose,
       zip, adr1 AS line1, adr2 AS line2
  FROM m_cust_adr WHERE cust_no = %(customer_id)s ORDER BY adr_seq"""

# Change what a clerk may change; remarks stay as they are.
CHANGE: Final = """
UPDATE m_cust
   SET cust_nm = %(name)s, eml = %(email)s, tel = %(phone)s, vip_flg = %(vip)s,
       crd_lim = %(credit_limit)s, upd_ts = clock_timestamp()::timestamp, upd_usr = 'web'
 WHERE cust_no = %(customer_id)s AND del_flg = '0'"""


def show(cursor: Cursor, request: Request) -> Reply:
    """GET /customers/{customer_id}."""
    return Reply(status=200, body=loaded(cursor, request.number("customer_id")))


def change(cursor: Cursor, request: Request) -> Reply:
    """PUT /customers/{customer_id}: name, email, phone, vip and credit limit as a whole."""
    customer_id = request.number("customer_id")
    body = request.body
    limited = body.get("credit_limit") is not None
    wanted = {
        "customer_id": customer_id,
        "name": text_field(body, "name", length_max=80),
        "email": optional_text(body, "email", length_max=120),
        "phone": optional_text(body, "phone", length_max=20),
        "vip": flag_field(body, "vip"),
        "credit_limit": money_field(body, "credit_limit") if limited else None,
    }
    cursor.execute(CHANGE, wanted)
    if cursor.rowcount == 0:
        raise Refused(404, "no such customer")
    record(cursor, "m_cust", customer_id, "CHG")
    return Reply(status=200, body=loaded(cursor, customer_id))


def loaded(cursor: Cursor, customer_id: int) -> dict[str, Any]:
    """Read one customer with the addresses, or refuse with 404."""
    parameters = {"customer_id": customer_id}
    row = cursor.execute(CUSTOMER, parameters).fetchone()
    if row is None:
        raise Refused(404, "no such customer")
    return {**row, "addresses": cursor.execute(ADDRESSES, parameters).fetchall()}
