"""Many transactions that are open at the same time and commit late, out of order, or not at all.

Each writes three tables: `orders` is inserted into and updated, `items` is also deleted from, and
`outbox` gets one row. Stamps are the database's own, of the statement that writes.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine

from bridge.capture.polling.plan import Deletes, Strategy, TablePlan
from tests.polling.rig import Legacy, joined

_ROWS = 1_000
"""Keys in use: each is written several times."""


def create(legacy: Legacy) -> None:
    """Make the tables."""
    stamp = f"changed {legacy.stamp} {'null' if legacy.system == 'mariadb' else ''}"
    counter = {
        "mariadb": "bigint auto_increment primary key",
        "postgresql": "bigserial primary key",
        "sqlite": "integer primary key autoincrement",
    }[legacy.system]
    legacy.run(
        f"create table orders (id int primary key, note varchar(40), {stamp})",
        f"create table items (id int primary key, note varchar(40), {stamp})",
        f"create table outbox (id {counter}, note varchar(40))",
        "create index orders_changed on orders (changed, id)",
        "create index items_changed on items (changed, id)",
    )


def plans(legacy: Legacy, interval_s: float = 0.1, **options: Any) -> list[TablePlan]:
    """Return how the tables are polled."""
    return [
        TablePlan(
            table=legacy.table("orders"),
            strategy=Strategy.KEYSET,
            column="changed",
            interval_s=interval_s,
            **options,
        ),
        TablePlan(
            table=legacy.table("items"),
            strategy=Strategy.KEYSET,
            column="changed",
            interval_s=interval_s,
            deletes=Deletes.COMPARE,
            compare_interval_s=interval_s * 5,
            **options,
        ),
        TablePlan(
            table=legacy.table("outbox"),
            strategy=Strategy.OUTBOX,
            column="id",
            interval_s=interval_s,
            **options,
        ),
    ]


@dataclass
class _Writer:
    """One thread with several transactions open at once, each on rows of its own."""

    legacy: Legacy
    engine: Engine
    number: int
    seed: int
    transactions: int
    open_max: int
    rows: int
    failure: list[BaseException] = field(default_factory=list)

    def run(self) -> None:
        """Write; what goes wrong is kept."""
        try:
            self._run()
        except BaseException as exc:
            self.failure.append(exc)

    def _run(self) -> None:
        chance = random.Random(self.seed * 1_000 + self.number)
        connections = [self.engine.connect() for _ in range(self.open_max)]
        try:
            # What is in each slot's rows, as committed.
            there: list[dict[str, set[int]]] = [
                {"orders": set(), "items": set()} for _ in connections
            ]
            ends: list[Callable[[], None] | None] = [None] * self.open_max
            for _ in range(self.transactions):
                slot = chance.randrange(self.open_max)
                if (end := ends[slot]) is not None:
                    end()
                ends[slot] = self._begin(chance, connections[slot], slot, there)
            for slot in chance.sample(range(self.open_max), self.open_max):
                if (end := ends[slot]) is not None:
                    end()
        finally:
            for connection in connections:
                connection.close()

    def _begin(
        self,
        chance: random.Random,
        connection: Connection,
        slot: int,
        there: list[dict[str, set[int]]],
    ) -> Callable[[], None]:
        """Write in a new transaction; return what ends it."""
        after = {name: set(ids) for name, ids in there[slot].items()}
        base = (self.number * self.open_max + slot) * 10_000
        for _ in range(chance.randint(1, 3)):
            name = chance.choice(("orders", "items"))
            self._write(chance, connection, name, base + chance.randrange(self.rows), after[name])
        connection.exec_driver_sql(f"insert into outbox (note) values ('{chance.random()}')")
        rolls_back = chance.random() < 0.1

        def end() -> None:
            if rolls_back:
                connection.rollback()
            else:
                connection.commit()
                there[slot] = after

        return end

    def _write(
        self, chance: random.Random, connection: Connection, name: str, row: int, ids: set[int]
    ) -> None:
        now = self.legacy.now
        note = f"{chance.randrange(10**9)}"
        if row not in ids:
            connection.exec_driver_sql(f"insert into {name} values ({row}, '{note}', {now})")
            ids.add(row)
        elif name == "items" and chance.random() < 0.4:
            connection.exec_driver_sql(f"delete from items where id = {row}")
            ids.remove(row)
        else:
            connection.exec_driver_sql(
                f"update {name} set note = '{note}', changed = {now} where id = {row}"
            )


@dataclass
class Load:
    """Writers at work."""

    writers: list[_Writer]
    threads: list[threading.Thread]
    engine: Engine

    def end(self) -> None:
        """Wait until all is written."""
        joined(self.threads)
        self.engine.dispose()
        for writer in self.writers:
            for failure in writer.failure:
                raise failure


def start(
    legacy: Legacy,
    *,
    seed: int,
    transactions: int,
    writers: int = 4,
    open_max: int = 6,
    first: int = 0,
) -> Load:
    """Start writers that together make `transactions` transactions.

    Their rows are numbered from that of writer `first` on.
    """
    engine = legacy.engine()
    if legacy.system == "sqlite":
        writers, open_max = 1, 1  # One writer at a time is all that it has.
    made = [
        _Writer(
            legacy,
            engine,
            number,
            seed,
            transactions // writers,
            open_max,
            _ROWS // (writers * open_max),
        )
        for number in range(first, first + writers)
    ]
    threads = [threading.Thread(target=writer.run, daemon=True) for writer in made]
    for thread in threads:
        thread.start()
    return Load(made, threads, engine)
