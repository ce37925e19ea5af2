"""The rows that the shop starts with, made from a seed alone.

The same seed gives the same rows on every machine: no clock, no database, no hash order. Amounts
agree with each other: an order's total is the sum of its lines, reserved stock is what open
orders hold.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from bridge.demo.legacy import words
from bridge.demo.legacy.codes import METHOD_CODES, SHIPPED, STATUS_CODES, STOCK_EFFECT

Row: TypeAlias = tuple[Any, ...]

WAREHOUSES: Final = (("TYO", "東京第一倉庫"), ("OSA", "大阪倉庫"), ("FUK", "福岡倉庫"))
CATEGORIES: Final = (
    ("KT", "台所用品", None),
    ("KN", "包丁", "KT"),
    ("TB", "食器", "KT"),
    ("ST", "文房具", None),
    ("PP", "紙製品", "ST"),
    ("GF", "贈答品", None),
)

FIRST_CUSTOMER_NO: Final = 10_001
FIRST_ORDER_NO: Final = 100_001
FIRST_PAYMENT_NO: Final = 500_001
OPENED: Final = datetime(2022, 4, 1, 9, 0, 0)  # noqa: DTZ001 - the schema's times have no zone
"""When the shop's records begin; every time of the population is counted from here."""


class Sizes(NamedTuple):
    """How many of what; lines, payments and movements follow from the orders."""

    customers: int = 3_000
    products: int = 600
    orders: int = 15_000


class Population:
    """All rows of one shop, table by table; each table may be read once, in the given order."""

    def __init__(self, *, seed: int, sizes: Sizes) -> None:
        self._random = random.Random(seed)
        self._sizes = sizes
        self._prices: dict[str, Decimal] = {}
        self._reserved: dict[tuple[str, str], int] = {}
        self._lines: list[Row] = []
        self._payments: list[Row] = []
        self._movements: list[Row] = []
        self._audit: list[Row] = []

    def tables(self) -> Iterator[tuple[str, list[Row]]]:
        """Yield (table, rows); headers before lines, so that references hold."""
        yield "c_ord_stat", [(code, name) for name, code in STATUS_CODES.items()]
        yield "c_pay_mth", [(code, name) for name, code in METHOD_CODES.items()]
        yield "m_wh", [(code, name, "N") for code, name in WAREHOUSES]
        yield "m_prd_cat", list(CATEGORIES)
        yield "m_prd", self._products()
        yield "m_cust", self._customers()
        yield "m_cust_adr", self._addresses()
        yield "t_ord_hdr", self._orders()
        yield "t_ord_ln", self._lines
        yield "t_pay", self._payments
        yield "t_stk", self._stock()
        yield "t_stk_mv", self._movements
        yield "t_adt", self._audit

    def _products(self) -> list[Row]:
        rng = self._random
        rows: list[Row] = []
        for number in range(1, self._sizes.products + 1):
            category = CATEGORIES[number % len(CATEGORIES)][0]
            sku = f"{category}-{number:05d}"
            price = Decimal(rng.randint(100, 2_000_000)).scaleb(-2)
            self._prices[sku] = price
            gone = OPENED.date() + timedelta(days=rng.randint(30, 900))
            rows.append(
                (
                    sku,
                    f"{rng.choice(words.ADJECTIVES)}{rng.choice(words.GOODS)} {number}",
                    category,
                    price,
                    rng.choice("1112220"),
                    None if rng.random() < 0.3 else round(rng.uniform(0.01, 20.0), 3),
                    self._long_text(rng.randint(9_000, 20_000))
                    if number % 20 == 0
                    else words.sentence(rng, 12),
                    gone if rng.random() < 0.05 else None,
                    self._moment(rng, 0, 700),
                )
            )
        return rows

    def _customers(self) -> list[Row]:
        rng = self._random
        rows: list[Row] = []
        for number in range(FIRST_CUSTOMER_NO, FIRST_CUSTOMER_NO + self._sizes.customers):
            family, family_kana = rng.choice(words.FAMILY_NAMES)
            given, given_kana = rng.choice(words.GIVEN_NAMES)
            registered = self._moment(rng, 0, 600)
            email = (None, "", f"c{number}@example.jp")[rng.choices((0, 1, 2), (1, 1, 8))[0]]
            rows.append(
                (
                    number,
                    f"{family} {given}",
                    f"{family_kana} {given_kana}" if rng.random() < 0.9 else None,
                    email,
                    f"0{rng.randint(3, 9)}-{rng.randint(1000, 9999)}-{rng.randint(0, 9999):04d}",
                    "Y" if rng.random() < 0.04 else "N",
                    "0",
                    Decimal(rng.randint(1, 100) * 10_000) if rng.random() < 0.5 else None,
                    self._remarks(number),
                    registered,
                    registered,
                    "batch",
                )
            )
        return rows

    def _remarks(self, number: int) -> str | None:
        if number % 100 == 0:
            return self._long_text(self._random.randint(8_500, 16_000))
        # Everything that a line-based text format has to escape, as real remarks have it.
        return words.AWKWARD[number % len(words.AWKWARD)] if number % 9 == 0 else None

    def _addresses(self) -> list[Row]:
        rng = self._random
        return [
            (
                FIRST_CUSTOMER_NO + index,
                sequence,
                "B" if sequence == 1 else "S",
                f"{rng.randint(100, 999)}-{rng.randint(0, 9999):04d}",
                f"{rng.choice(words.CITIES)}{rng.randint(1, 9)}-{rng.randint(1, 30)}",
                f"{rng.randint(1, 15)}F" if rng.random() < 0.3 else None,
            )
            for index in range(self._sizes.customers)
            for sequence in range(1, rng.choice((1, 1, 2)) + 1)
        ]

    def _orders(self) -> list[Row]:
        rng = self._random
        skus = list(self._prices)
        rows: list[Row] = []
        for number in range(FIRST_ORDER_NO, FIRST_ORDER_NO + self._sizes.orders):
            ordered = self._moment(rng, 650, 1_000)
            status = rng.choices("123459", (10, 15, 5, 20, 45, 5))[0]
            total = self._order_lines(number, status, ordered, skus)
            shipped = ordered + timedelta(hours=rng.randint(5, 90)) if status in SHIPPED else None
            if status in "2345":
                self._payments.append(self._payment(number, total, ordered))
            rows.append(
                (
                    number,
                    FIRST_CUSTOMER_NO + rng.randrange(self._sizes.customers),
                    None if rng.random() < 0.2 else f"seed-{number}",
                    status,
                    ordered,
                    shipped,
                    total,
                    "Y" if rng.random() < 0.1 else "N",
                    self._note(number),
                    shipped or ordered,
                    "batch",
                )
            )
            self._audit.append((ordered, "batch", "t_ord_hdr", str(number), f"LOAD STAT {status}"))
        return rows

    def _order_lines(self, number: int, status: str, ordered: datetime, skus: list[str]) -> Decimal:
        rng = self._random
        total = Decimal("0.00")
        for line in range(1, rng.choice((1, 2, 2, 3, 4)) + 1):
            sku = rng.choice(skus)
            warehouse = rng.choice(WAREHOUSES)[0]
            qty = 0 if rng.random() < 0.02 else rng.randint(1, 12)
            price = self._prices[sku]
            total += qty * price
            flag = "N" if qty else "Y"
            self._lines.append((number, line, sku, warehouse, qty, price, qty * price, flag))
            on_hand, reserved = STOCK_EFFECT[status]
            key = (warehouse, sku)
            self._reserved[key] = self._reserved.get(key, 0) + reserved * qty
            if qty:
                movement = (*key, ordered, on_hand * qty, reserved * qty, "O", number)
                self._movements.append(movement)
        return total

    def _payment(self, number: int, total: Decimal, ordered: datetime) -> Row:
        rng = self._random
        return (
            FIRST_PAYMENT_NO + len(self._payments),
            number,
            f"seed-pay-{number}",
            rng.choice(list(METHOD_CODES.values())),
            total,
            ordered + timedelta(minutes=rng.randint(1, 4_000)),
        )

    def _note(self, number: int) -> str | None:
        if number % 100 == 0:
            return self._long_text(self._random.randint(8_500, 24_000))
        return words.sentence(self._random, 8) if number % 11 == 0 else None

    def _stock(self) -> list[Row]:
        rng = self._random
        rows: list[Row] = []
        for warehouse, _ in WAREHOUSES:
            for sku in self._prices:
                qty = rng.randint(0, 900)
                counted = self._moment(rng, 1_000, 1_001)
                reserved = self._reserved.get((warehouse, sku), 0)
                rows.append((warehouse, sku, qty, reserved, counted))
                # The same delivery booked twice is two equal rows: the table has no key.
                booked = 2 if rng.random() < 0.05 else 1
                self._movements += [(warehouse, sku, counted, qty, 0, "I", None)] * booked
        return rows

    def _long_text(self, length: int) -> str:
        """Text that stays above PostgreSQL's threshold for out-of-line storage when compressed."""
        return words.paragraph(self._random, length)

    @staticmethod
    def _moment(rng: random.Random, first_day: int, last_day: int) -> datetime:
        seconds = rng.randint(first_day * 86_400, last_day * 86_400)
        # Half of the times were written by a program that kept no fractions.
        micros = rng.randint(0, 999_999) if rng.random() < 0.5 else 0
        return OPENED + timedelta(seconds=seconds, microseconds=micros)
