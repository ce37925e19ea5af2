"""Answers that conform to the documents beside this file, by a seed; written by hand."""

import random
import uuid
from pathlib import Path
from typing import Any

import orjson

from bridge.gateway.openapi.document import ApiDocument
from bridge.model.http import Headers

FOLDER = Path(__file__).parent / "documents"
JSON = (b"Content-Type", b"application/json")


def content(name: str) -> bytes:
    """Return the text of a document."""
    return (FOLDER / name).read_bytes()


def document(name: str) -> ApiDocument:
    """Return a document."""
    return ApiDocument.parse(name, content(name))


SHOP = document("shop-3.0.yaml")
LEDGER = document("ledger-3.1.yaml")


class Shop:
    """The shop's data."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def maybe(self, value: Any) -> Any:
        """Return a value or null."""
        return value if self.chance.random() < 0.6 else None

    def some(self, value: dict[str, Any], *optional: str) -> dict[str, Any]:
        """Return an object without some of its optional members."""
        return {k: v for k, v in value.items() if k not in optional or self.chance.random() < 0.7}

    def money(self) -> dict[str, Any]:
        """Return an amount."""
        return {"amount": self.chance.randrange(100_000) / 100, "currency": "EUR"}

    def customer(self, depth: int = 0) -> dict[str, Any]:
        """Return a customer, perhaps with who sent them."""
        found = {
            "customer_id": f"C{self.chance.randrange(1_000)}",
            "name": "Müller \U0001f600",
            "joined_on": "2024-02-29",
            "email": self.maybe("a.b@example.org"),
            "level": self.maybe(self.chance.choice(["gold", "silver"])),
            "notes": {f"n{self.chance.random()}": "x"},
            "referrer": None if depth > 1 else self.maybe(self.customer(depth + 1)),
            "undeclared": 1,
        }
        return self.some(found, "email", "level", "notes", "referrer", "undeclared")

    def payment(self) -> dict[str, Any]:
        """Return one of the alternatives, under any of its names."""
        return self.chance.choice(
            [
                {"kind": "card", "last_digits": "0042"},
                {"kind": "debit", "last_digits": "1111"},
                {"kind": "CardPayment", "last_digits": "9999"},
                {"kind": "transfer", "iban": "DE02120300000000202051", "bic": None},
                {"kind": "Cash"},
            ]
        )

    def line(self) -> dict[str, Any]:
        """Return a line of an order."""
        found = {
            "sku": f"AB-{self.chance.randrange(10_000):04}",
            "quantity": self.chance.randint(1, 2**31 - 1),
            "price": self.money(),
            "discount": self.maybe(self.money()),
            "tags": [str(n) for n in range(self.chance.randrange(4))],
        }
        return self.some(found, "discount", "tags")

    def order(self, depth: int = 0) -> dict[str, Any]:
        """Return an order."""
        found = {
            "order_id": self.chance.randrange(2**31),
            "status": self.chance.choice(["new", "paid", "sent", "cancelled"]),
            "placed_at": self.chance.choice(
                ["2024-05-01T10:00:00Z", "2024-05-01T10:00:00.5+02:00"]
            ),
            "customer": self.customer(),
            "total": self.money(),
            "payment": self.payment(),
            "shipment": self.maybe(
                {"parcel": "1"} if depth else {"pickup_at": "2024-05-01T10:00:00Z"}
            ),
            "lines": [self.line() for _ in range(self.chance.randint(1, 4))],
            "comment": self.maybe("x" * 200),
            "weight_kg": self.chance.choice([0, 1, 999.5]),
            "replaces": None if depth else self.order(1),
        }
        if depth:
            del found["replaces"]
        return self.some(found, "payment", "shipment", "comment", "weight_kg", "replaces")

    def problem(self) -> dict[str, Any]:
        """Return what went wrong."""
        return self.some({"title": "none", "status": 404, "detail": self.maybe("x")}, "detail")


class Ledger:
    """The ledger's data."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def account(self, depth: int = 0) -> dict[str, Any]:
        """Return an account."""
        kind = self.chance.choice(["asset", "debt"])
        found: dict[str, Any] = {"number": "4711", "kind": kind}
        if kind == "debt":
            found["creditor"] = "bank"
        if self.chance.random() < 0.5:
            found["closed_on"] = self.chance.choice([None, "2024-12-31"])
        if depth < 3 and self.chance.random() < 0.7:
            found["parent"] = self.chance.choice([None, self.account(depth + 1)])
        return found

    def entry(self) -> dict[str, Any]:
        """Return an entry."""
        lines = [
            {"side": "debit", "amount": 0.01 + self.chance.random(), "account": "1000"}
            for _ in range(self.chance.randrange(4))
        ]
        lines.append({"side": "credit", "amount": 5, "account": "1", "tax_code": 1, "tax_rate": 2})
        found: dict[str, Any] = {
            "id": str(uuid.UUID(int=self.chance.getrandbits(128))),
            "version": 7,
            "lines": lines,
            "booked": self.chance.choice([True, False, None]),
            "span": [1, 2],
            "source": self.chance.choice(
                [{"type": "Import", "file": "f", "login": 1}, {"type": "Person", "login": "ana"}]
            ),
        }
        for name in ("booked", "span", "source"):
            if self.chance.random() < 0.3:
                del found[name]
        return found


def exchanges(seed: int) -> list[tuple[ApiDocument, str, str, Headers, int, Headers, bytes]]:
    """Return conforming exchanges: document, method, target, fields, status, fields, body."""
    shop, ledger = Shop(seed), Ledger(seed)
    dump = orjson.dumps
    tagged = (JSON, (b"ETag", b'"1"'))
    problem = ((b"Content-Type", b"application/problem+json"),)
    orders = [shop.order() for _ in range(seed % 3 * 20)]
    label = ((b"content-type", b"image/png"),)
    entry_type = ((b"Content-Type", b"application/vnd.ledger+json;charset=utf-8"),)
    session = ((b"Cookie", b"a=b; session=s"),)
    entry = "/ledger/entries/123e4567-e89b-12d3-a456-426614174000"
    created = (JSON, (b"location", b"/api/v2/orders/1"))
    listed = (JSON, (b"x-total-count", b"%d" % len(orders)))
    accounts = {f"{number}": ledger.account() for number in range(1_000, 1_002 + seed)}
    query = "/api/v2/orders?customer=C1&page=2&status=new,paid&utm=1"
    return [
        (SHOP, "GET", query, ((b"X-Trace", b"t"),), 200, listed, dump(orders)),
        (SHOP, "GET", query, (), 422, problem, dump(shop.problem())),
        (SHOP, "POST", "/api/v2/orders", (JSON,), 201, created, dump(shop.order())),
        (SHOP, "POST", "/api/v2/orders", (JSON,), 503, problem, dump(shop.problem())),
        (SHOP, "GET", "/api/v2/orders/latest", (), 200, (JSON,), dump(shop.order())),
        (SHOP, "GET", "/api/v2/orders/17", (), 200, tagged, dump(shop.order())),
        (SHOP, "HEAD", "/api/v2/orders/17", (), 200, tagged, b""),
        (SHOP, "GET", "/api/v2/orders/17", (), 404, problem, dump(shop.problem())),
        (SHOP, "DELETE", "/api/v2/orders/17", (), 204, (), b""),
        (SHOP, "GET", "/api/v2/orders/17/label.png", (), 200, label, b"\x89PNG"),
        (SHOP, "GET", "/api/v2/customers/C%20?x", (), 200, (JSON,), dump(shop.customer())),
        (LEDGER, "GET", entry + "?expand=lines&expand=account", session, 200, entry_type,
         dump(ledger.entry())),
        (LEDGER, "GET", entry.removeprefix("/ledger"), session, 404, (), b""),
        (LEDGER, "PUT", entry, (JSON,), 204, (), b""),
        (LEDGER, "GET", "/accounts", (), 207, (JSON,), dump(accounts)),
    ]  # fmt: skip
