"""The tables of the read model: one per subject, columns as the contract names its fields.

Amounts stay decimal texts and times stay local texts, exactly as the events carry them.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Where one subject's events go."""

    name: str
    key: tuple[str, ...]
    """Fields of the key; empty for a table whose rows have none and are named by their event."""
    fields: tuple[str, ...]
    """All other fields."""
    long_text: str | None = None
    """The field that an event leaves out when its long text did not change."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Key first, then the other fields."""
        return self.key + self.fields

    def create(self) -> str:
        """Return the statement that makes the table if it is not there."""
        names = ", ".join(self.columns)
        if not self.key:
            return f"CREATE TABLE IF NOT EXISTS {self.name} (event_id PRIMARY KEY, {names})"
        key = ", ".join(self.key)
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name}"
            f" ({names}, sequence TEXT NOT NULL, PRIMARY KEY ({key})) WITHOUT ROWID"
        )

    # Below, every name is a constant of this module; values are parameters.

    def put(self) -> str:
        """Return the statement that takes a row, unless a later one is there.

        Its parameters are the columns, `sequence`, and for a long text `sent` (0 or 1).
        """
        names = ", ".join(self.columns)
        values = ", ".join(f":{name}" for name in self.columns)
        if not self.key:
            return f"INSERT OR IGNORE INTO {self.name} (event_id, {names}) VALUES (:event_id, {values})"  # noqa: S608, E501 - as above
        changes = ", ".join(f"{name} = {self._taken(name)}" for name in self.fields)
        return (
            f"INSERT INTO {self.name} ({names}, sequence) VALUES ({values}, :sequence)"  # noqa: S608 - as above
            f" ON CONFLICT ({', '.join(self.key)}) DO UPDATE"
            f" SET {changes}, sequence = excluded.sequence"
            f" WHERE excluded.sequence > {self.name}.sequence"
        )

    def remove(self) -> str:
        """Return the statement that removes a row, unless a later one is there."""
        named = " AND ".join(f"{name} = :{name}" for name in self.key)
        return f"DELETE FROM {self.name} WHERE {named} AND sequence < :sequence"  # noqa: S608 - as above

    def empty(self) -> str:
        """Return the statement that removes all rows."""
        return f"DELETE FROM {self.name}"  # noqa: S608 - as above

    def read(self) -> str:
        """Return the statement that reads all rows, columns in their order."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}"  # noqa: S608 - as above

    def _taken(self, name: str) -> str:
        if name == self.long_text:
            return f"CASE WHEN :sent THEN excluded.{name} ELSE {name} END"
        return f"excluded.{name}"


TABLES: Final = {
    "shop.customer": Table(
        name="customers",
        key=("customer_id",),
        fields=(
            *("name", "kana", "email", "phone", "vip", "deleted", "credit_limit", "remarks"),
            *("registered_at", "changed_at"),
        ),
        long_text="remarks",
    ),
    "shop.customer-address": Table(
        name="addresses",
        key=("customer_id", "address_no"),
        fields=("purpose", "postal_code", "line1", "line2"),
    ),
    "shop.product": Table(
        name="products",
        key=("sku",),
        fields=(
            *("name", "category", "unit_price", "tax", "weight_kg", "description"),
            *("discontinued_on", "changed_at"),
        ),
        long_text="description",
    ),
    "shop.stock": Table(
        name="stock", key=("warehouse", "sku"), fields=("on_hand", "reserved", "changed_at")
    ),
    "shop.stock-movement": Table(
        name="stock_movements",
        key=(),
        fields=(
            *("warehouse", "sku", "moved_at", "on_hand_change", "reserved_change", "reason"),
            "order_id",
        ),
    ),
    "shop.order": Table(
        name="orders",
        key=("order_id",),
        fields=(
            *("customer_id", "client_ref", "status", "ordered_at", "shipped_at", "total", "gift"),
            *("note", "changed_at"),
        ),
        long_text="note",
    ),
    "shop.order-line": Table(
        name="order_lines",
        key=("order_id", "line_no"),
        fields=("sku", "warehouse", "qty", "unit_price", "amount", "cancelled"),
    ),
    "shop.payment": Table(
        name="payments",
        key=("payment_id",),
        fields=("order_id", "payment_ref", "method", "amount", "paid_at"),
    ),
}
"""Subject → table."""

# What the model is for: orders as a person asks for them, with the customer's name beside.
OVERVIEW: Final = """
CREATE VIEW IF NOT EXISTS order_overview AS
SELECT o.order_id, o.status, o.total, o.shipped_at, c.name AS customer_name,
       (SELECT count(*) FROM order_lines AS l WHERE l.order_id = o.order_id) AS line_count
  FROM orders AS o LEFT JOIN customers AS c ON c.customer_id = o.customer_id"""
