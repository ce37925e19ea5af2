"""One client: chooses what to do next from a seed, does it, remembers what it was told."""

import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.demo.legacy.codes import METHOD_CODES, STATUS_CODES
from bridge.demo.legacy.population import (
    CATEGORIES,
    FIRST_CUSTOMER_NO,
    FIRST_ORDER_NO,
    WAREHOUSES,
    Sizes,
)
from bridge.demo.traffic.connection import Answer, ClientConnection
from bridge.demo.traffic.journal import Outcome, TrafficJournal

# What clients do, and how often out of a hundred times.
MIX: Final = {
    "read_order": 22,
    "read_orders": 6,
    "read_payments": 5,
    "read_customer": 8,
    "read_product": 10,
    "read_products": 3,
    "read_stock": 8,
    "create": 11,
    "status": 12,
    "line": 6,
    "payment": 7,
    "customer": 2,
}
NEED_ORDER: Final = frozenset({"read_order", "read_payments", "status", "line", "payment"})
# Enough to follow up on; older orders are left alone, as shoppers do.
ORDERS_REMEMBERED_MAX: Final = 200
# How often a follow-up goes to an order that was there before the traffic.
SEEDED_SHARE: Final = 0.15

# The server says that it did nothing. Any other failure of a server leaves the outcome open.
_NOTHING_DONE: Final = frozenset({429, 503})


@dataclass(slots=True)
class KnownOrder:
    """An order that this client writes to; nobody else does."""

    key: str
    order_id: str
    line_count: int
    status: str | None = None
    """As last acknowledged; None when this client never set it."""


@dataclass(slots=True)
class Tally:
    """What one client counted."""

    reads: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Writes by outcome."""
    statuses: Counter[str] = field(default_factory=Counter)
    """Answers by status; `lost` for none."""
    reads_failed: int = 0
    stale_reads: int = 0
    """Own orders that were shown with another status than was acknowledged before."""
    read_ms: list[float] = field(default_factory=list)
    write_ms: list[float] = field(default_factory=list)


class Shopper:
    """A client with its own orders, one request at a time."""

    def __init__(
        self,
        connection: ClientConnection,
        journal: TrafficJournal,
        *,
        name: str,
        seed: str,
        share: tuple[int, int],
        sizes: Sizes,
    ) -> None:
        """`share` is (index, count): of the shop's first rows, this client writes each count-th."""
        self.tally = Tally()
        self._connection = connection
        self._journal = journal
        self._name = name
        self._random = random.Random(seed)
        self._sizes = sizes
        index, count = share
        self._free = list(range(FIRST_ORDER_NO + index, FIRST_ORDER_NO + sizes.orders, count))
        """Numbers of seeded orders that this client may write to; customers likewise."""
        self._customers = list(
            range(FIRST_CUSTOMER_NO + index, FIRST_CUSTOMER_NO + sizes.customers, count)
        )
        self._orders: list[KnownOrder] = []
        self._seeded: dict[int, KnownOrder] = {}
        self._created = 0
        self._paid = 0

    def step(self) -> None:
        """Do one thing."""
        (action,) = self._random.choices(tuple(MIX), tuple(MIX.values()))
        if action in NEED_ORDER and not self._orders and not self._free:
            action = "create"  # All that it knew are retired.
        getattr(self, f"_{action}")()

    # Reads.

    def _read_order(self) -> None:
        order = self._choose_order()
        answer = self._read(f"/orders/{order.order_id}")
        if answer.status == 200 and order.status not in (None, answer.body["status"]):
            self.tally.stale_reads += 1

    def _read_orders(self) -> None:
        self._read(f"/orders?customer={self._any_customer()}")

    def _read_payments(self) -> None:
        self._read(f"/orders/{self._choose_order().order_id}/payments")

    def _read_customer(self) -> None:
        self._read(f"/customers/{self._any_customer()}")

    def _read_product(self) -> None:
        self._read(f"/products/{self._any_sku()}")

    def _read_products(self) -> None:
        category = self._random.choice(CATEGORIES)[0]
        self._read(f"/products?category={category}&limit=20")

    def _read_stock(self) -> None:
        self._read(f"/stock/{self._random.choice(WAREHOUSES)[0]}/{self._any_sku()}")

    # Writes.

    def _create(self) -> None:
        rng = self._random
        self._created += 1
        reference = f"{self._name}-{self._created}"
        lines = [
            {
                "sku": self._any_sku(),
                "warehouse": rng.choice(WAREHOUSES)[0],
                "qty": rng.randint(1, 9),
                "unit_price": self._price(),
            }
            for _ in range(rng.choice((1, 1, 2, 3)))
        ]
        body = {
            "client_ref": reference,
            "customer_id": self._any_customer(),
            "gift": rng.random() < 0.1,
            "note": "至急" if rng.random() < 0.2 else None,
            "lines": lines,
        }
        key = f"ref {reference}"
        answer = self._write("create", key, "POST", "/orders", body)
        if answer is not None:
            order = KnownOrder(key, str(answer["order_id"]), len(lines), answer["status"])
            self._orders.append(order)
            del self._orders[:-ORDERS_REMEMBERED_MAX]

    def _status(self) -> None:
        order = self._choose_order()
        status = self._random.choice(tuple(STATUS_CODES))
        path = f"/orders/{order.order_id}/status"
        if self._write("status", order.key, "PUT", path, {"status": status}) is not None:
            order.status = status

    def _line(self) -> None:
        order = self._choose_order()
        line_no = self._random.randint(1, order.line_count)
        body = {"qty": self._random.randint(0, 12), "unit_price": self._price()}
        path = f"/orders/{order.order_id}/lines/{line_no}"
        self._write("line", order.key, "PUT", path, body, line_no)

    def _payment(self) -> None:
        order = self._choose_order()
        self._paid += 1
        body = {
            "payment_ref": f"{self._name}-p{self._paid}",
            "method": self._random.choice(tuple(METHOD_CODES)),
            "amount": self._price(),
        }
        self._write("payment", order.key, "POST", f"/orders/{order.order_id}/payments", body)

    def _customer(self) -> None:
        if not self._customers:
            return
        number = self._random.choice(self._customers)
        body = {
            "name": f"顧客 {self._random.randint(1, 999_999)}",
            "email": None if self._random.random() < 0.2 else f"n{number}@example.jp",
            "phone": f"03-{self._random.randint(1000, 9999)}",
            "vip": self._random.random() < 0.1,
            "credit_limit": None if self._random.random() < 0.5 else self._price(),
        }
        self._write("customer", f"customer {number}", "PUT", f"/customers/{number}", body)

    # What both need.

    def _read(self, path: str) -> Answer:
        started = time.perf_counter()
        answer = self._connection.call("GET", path)
        self.tally.read_ms.append((time.perf_counter() - started) * 1000)
        self.tally.reads += 1
        self.tally.statuses[str(answer.status or "lost")] += 1
        if answer.status != 200:
            self.tally.reads_failed += 1
        return answer

    def _write(
        self,
        operation: str,
        key: str,
        method: str,
        path: str,
        body: Mapping[str, Any],
        line_no: int | None = None,
    ) -> Mapping[str, Any] | None:
        """Send a write and return the answer's body when it was acknowledged."""
        number = self._journal.intend(operation, key, body, line_no)
        started = time.perf_counter()
        answer = self._connection.call(method, path, body)
        self.tally.write_ms.append((time.perf_counter() - started) * 1000)
        outcome = outcome_of(answer)
        told = answer.body if isinstance(answer.body, dict) else {}
        order_id = told.get("order_id") if outcome is Outcome.ACKNOWLEDGED else None
        self._journal.settle(
            number,
            outcome,
            status=answer.status,
            order_id=None if order_id is None else str(order_id),
        )
        self.tally.statuses[str(answer.status or "lost")] += 1
        self.tally.outcomes[outcome.value] += 1
        if outcome is Outcome.UNKNOWN:
            self._retire(key)  # It may still be under way: a second one could overtake it.
        return told if outcome is Outcome.ACKNOWLEDGED else None

    def _choose_order(self) -> KnownOrder:
        if self._orders and (not self._free or self._random.random() >= SEEDED_SHARE):
            # Mostly recent ones, which is where follow-ups meet replays still on their way.
            return self._orders[-1 - int(self._random.betavariate(1, 3) * len(self._orders))]
        number = self._random.choice(self._free)
        return self._seeded.setdefault(number, KnownOrder(f"order {number}", str(number), 1))

    def _retire(self, key: str) -> None:
        self._orders = [order for order in self._orders if order.key != key]
        kind, _, number = key.partition(" ")
        if kind == "order":
            self._free.remove(int(number))
        elif kind == "customer":
            self._customers.remove(int(number))

    def _any_customer(self) -> int:
        return FIRST_CUSTOMER_NO + self._random.randrange(self._sizes.customers)

    def _any_sku(self) -> str:
        number = self._random.randint(1, self._sizes.products)
        return f"{CATEGORIES[number % len(CATEGORIES)][0]}-{number:05d}"

    def _price(self) -> str:
        return f"{self._random.randint(1, 999_999) / 100:.2f}"


def outcome_of(answer: Answer) -> Outcome:
    """Return what an answer says about a write."""
    if answer.status is None:
        return Outcome.UNKNOWN
    if 200 <= answer.status < 300:
        return Outcome.ACKNOWLEDGED
    if answer.status < 500 or answer.status in _NOTHING_DONE:
        return Outcome.REFUSED
    return Outcome.UNKNOWN
