"""The demo's modern order service: FastAPI, its own database, ids of its own.

It answers the shop's order paths with the same JSON shapes. Its orders are named `ord_…`; which
legacy order one came from is known for orders that were imported.
"""
