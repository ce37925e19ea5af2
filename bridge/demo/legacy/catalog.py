"""Products and stock, read only here: the buyers' own program changes them."""

from typing import Final

from bridge.demo.legacy.codes import TAX_NAMES
from bridge.demo.legacy.database import Cursor
from bridge.demo.legacy.requests import Refused, Reply, Request

PAGE_SIZE_MAX = 100

# One product.
PRODUCT: Final = """
SELECT p.prd_cd, p.prd_nm, p.cat_cd, c.cat_nm, p.unt_prc, p.tax_kbn, p.wgt_kg, p.dsc_txt, p.disc_dt
  FROM m_prd p LEFT JOIN m_prd_cat c ON c.cat_cd = p.cat_cd
 WHERE p.prd_cd = %(sku)s"""

# A page of the products still sold, after a given one.
PRODUCTS: Final = """
SELECT prd_cd AS sku, prd_nm AS name, unt_prc AS unit_price
  FROM m_prd
 WHERE prd_cd > %(after)s AND disc_dt IS NULL
   AND (%(category)s::text IS NULL OR cat_cd = %(category)s)
 ORDER BY prd_cd LIMIT %(limit)s"""

# Stock of one product in one warehouse.
STOCK: Final = """
SELECT wh_cd AS warehouse, prd_cd AS sku, qty AS on_hand, rsv_qty AS reserved, upd_ts AS changed_at
  FROM t_stk WHERE wh_cd = %(warehouse)s AND prd_cd = %(sku)s"""


def health(cursor: Cursor, request: Request) -> Reply:
    """GET /health: whether the database answers."""
    cursor.execute("SELECT 1")
    return Reply(status=200, body={"status": "ok"})


def product(cursor: Cursor, request: Request) -> Reply:
    """GET /products/{sku}."""
    row = cursor.execute(PRODUCT, request.params).fetchone()
    if row is None:
        raise Refused(404, "no such product")
    body = {
        "sku": row["prd_cd"],
        "name": row["prd_nm"],
        "category": row["cat_cd"],
        "category_name": row["cat_nm"],
        "unit_price": row["unt_prc"],
        "tax": TAX_NAMES[row["tax_kbn"]],
        "weight_kg": row["wgt_kg"],
        "description": row["dsc_txt"],
        "discontinued_on": row["disc_dt"],
    }
    return Reply(status=200, body=body)


def products(cursor: Cursor, request: Request) -> Reply:
    """GET /products?category=&after=&limit=: products still sold, by SKU."""
    limit = request.query.get("limit", "20")
    if not (
        limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= PAGE_SIZE_MAX
    ):
        raise Refused(400, f"limit must be from 1 to {PAGE_SIZE_MAX}")
    parameters = {
        "after": request.query.get("after", ""),
        "category": request.query.get("category"),
        "limit": int(limit),
    }
    return Reply(status=200, body={"products": cursor.execute(PRODUCTS, parameters).fetchall()})


def stock(cursor: Cursor, request: Request) -> Reply:
    """GET /stock/{warehouse}/{sku}."""
    row = cursor.execute(STOCK, request.params).fetchone()
    if row is None:
        raise Refused(404, "no such product in this warehouse")
    return Reply(status=200, body=row)
