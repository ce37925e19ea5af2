"""Everything that the show needs, as private servers and processes in one temporary folder."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from bridge.capture.cursor import parse_cursor
from bridge.contracts import ContractSet
from bridge.demo.counting import COUNTER_GROUP, Counted, count_queue
from bridge.demo.gateway_process import BridgeProcess, CommandFailed
from bridge.demo.legacy.population import Sizes
from bridge.demo.legacy.seed import seed as seed_shop
from bridge.demo.modern.importer import id_pairs
from bridge.demo.places import data_root
from bridge.demo.process import DemoProcess
from bridge.demo.servers import PrivatePostgres, PrivateRabbitMQ
from bridge.demo.servers.ports import free_port
from bridge.model.entry import EntryKind
from bridge.storage.event_log.sqlite import SqliteEventLog

TABLE_COUNT = 8
"""Captured tables of the shop: one contract each."""

READ_COUNT = 5_000

GROUPS = ("readmodel", "orders-import", COUNTER_GROUP)

KNOWN_PAIRS = (
    "SELECT legacy_id, modern_id FROM ids WHERE group_name = 'orders' AND entity = 'order' "
    "AND legacy_id IS NOT NULL AND modern_id IS NOT NULL"
)


class DemoHouse:
    """The legacy system, the modern service, Legacy Bridge beside them, and two consumers."""

    def __init__(self, folder: Path, *, seed: int, sizes: Sizes | None = None) -> None:
        self.folder = folder
        self.seed = seed
        self.sizes = sizes or Sizes()
        self._stack = ExitStack()
        self.root = data_root()
        self.readmodel_file = folder / "readmodel.db"
        self.bundle = folder / "bundle"

    def start_servers(self) -> None:
        """Start PostgreSQL and RabbitMQ, and create the databases."""
        with ThreadPoolExecutor(2) as pool:
            postgres = pool.submit(PrivatePostgres.start, self.folder / "postgres")
            rabbitmq = pool.submit(PrivateRabbitMQ.start, self.folder / "rabbitmq")
            self.postgres = self._stack.enter_context(postgres.result())
            self.rabbitmq = self._stack.enter_context(rabbitmq.result())
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as admin:
            for name in ("shop", "orders"):
                admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        self.legacy_dsn = self.postgres.dsn("shop")
        self.modern_dsn = self.postgres.dsn("orders")

    def seed_legacy(self) -> tuple[int, int]:
        """Load the legacy database; return its rows, and those of them in captured tables."""
        rows = seed_shop(self.legacy_dsn, seed=self.seed, sizes=self.sizes)
        contracts = ContractSet.load(self.root / "contracts", type_prefix="com.example")
        captured = {table.partition(".")[2] for table in contracts.tables("shop")}
        return sum(rows.values()), sum(rows[table] for table in captured)

    def start_applications(self) -> None:
        """Start the legacy application and the modern service."""
        legacy_port, modern_port = free_port(), free_port()
        self.gateway_port, control_port = free_port(), free_port()
        self.legacy = self._process(
            "legacy", "bridge.demo.legacy", "--dsn", self.legacy_dsn, "--port", str(legacy_port)
        )
        self.modern = self._process(
            "modern", "bridge.demo.modern", "--dsn", self.modern_dsn, "--port", str(modern_port)
        )
        self.legacy.start_listening()
        self.modern.start_listening()
        self.bridge = BridgeProcess(
            config=self.root / "config" / "legacy-bridge.yaml",
            data_dir=self.folder / "data",
            folder=self.folder,
            control_port=control_port,
            env={
                "BRIDGE_SOURCES__SHOP__DSN": self.legacy_dsn,
                "BRIDGE_DELIVERY__URL": self.rabbitmq.url,
                "BRIDGE_DELIVERY__GROUPS": json.dumps(
                    [{"name": name, "bind": ["shop.#"]} for name in GROUPS]
                ),
                "BRIDGE_GATEWAY__PORT": str(self.gateway_port),
                "BRIDGE_GATEWAY__UPSTREAMS__LEGACY-APP__URL": f"http://127.0.0.1:{legacy_port}",
                "BRIDGE_GATEWAY__UPSTREAMS__MODERN-ORDERS__URL": f"http://127.0.0.1:{modern_port}",
            },
        )
        self._stack.callback(self.bridge.stop)

    def start_consumers(self) -> None:
        """Start the read model's consumer and the modern service's backfill."""
        self.readmodel = self._process(
            "readmodel",
            "bridge.demo.readmodel",
            "--broker", self.rabbitmq.url,
            "--database", str(self.readmodel_file),
            "--contracts", str(self.root / "contracts"),
        )  # fmt: skip
        self.backfill = self._process(
            "backfill",
            "bridge.demo.modern.backfill",
            "--broker", self.rabbitmq.url,
            "--dsn", self.modern_dsn,
            "--contracts", str(self.root / "contracts"),
        )  # fmt: skip
        self.readmodel.start()
        self.backfill.start()

    def start_traffic(self, *, seconds: float, rate: float, run: str = "demo") -> DemoProcess:
        """Start the traffic generator against the gateway; its journal is `journal(run)`."""
        traffic = self._process(
            f"traffic-{run}",
            "bridge.demo.traffic",
            "--url", f"http://127.0.0.1:{self.gateway_port}",
            "--journal", str(self.journal(run)),
            "--seed", str(self.seed),
            "--rate", str(rate),
            "--seconds", str(seconds),
            "--run", run,
            "--customers", str(self.sizes.customers),
            "--products", str(self.sizes.products),
            "--orders", str(self.sizes.orders),
        )  # fmt: skip
        traffic.start()
        return traffic

    def journal(self, run: str = "demo") -> Path:
        """Return where the traffic of `run` writes what its clients know."""
        return self.folder / f"traffic-{run}.jsonl"

    def import_ids(self) -> int:
        """Give the gateway the ids of the orders that the backfill made."""
        pairs = list(id_pairs(self.modern_dsn))
        file = self.folder / "ids.jsonl"
        file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
        why = ("--reason", "the backfill made them", "--ticket", "DEMO-1")
        self.bridge.command("ids", "import", "orders", "order", str(file), *why)
        return len(pairs)

    def finish_backfill(self, within_s: float) -> int:
        """Import what was written up to now, end the import, and tell the gateway the ids.

        With the lanes held since the switch to `dual`, everything later is in the journal. Returns
        how many orders the modern service got.
        """
        position = self.source_position()
        self.bridge.wait_for(
            "capture has all writes from before dual",
            lambda: self.captured_position() >= position,
            within_s,
        )
        self.backfill.stop()
        finishing = self._process(
            "backfill-end",
            "bridge.demo.modern.backfill",
            "--broker", self.rabbitmq.url,
            "--dsn", self.modern_dsn,
            "--contracts", str(self.root / "contracts"),
            "--until", str(self.last_event()),
        )  # fmt: skip
        finishing.start()
        code = finishing.wait(within_s)
        if code != 0:
            raise CommandFailed(f"cannot finish the backfill: it ended with {code}")
        return self.import_ids()

    def known_pairs(self) -> list[tuple[str, str]]:
        """Return the (legacy id, modern id) pairs that the gateway knows of orders."""
        with closing(sqlite3.connect(self.bridge.data_dir / "journal.db")) as journal:
            return journal.execute(KNOWN_PAIRS).fetchall()

    def consumed(self) -> int:
        """Return how many events the read model has applied."""
        with closing(sqlite3.connect(self.readmodel_file)) as model:
            return int(model.execute("SELECT count(*) FROM lb_inbox").fetchone()[0])

    def published(self) -> Counted:
        """Return how many messages and events the broker holds in a queue that nobody consumed."""
        return count_queue(self.rabbitmq.url)

    def source_position(self) -> int:
        """Return the legacy database's flushed WAL position."""
        with psycopg.connect(self.legacy_dsn) as connection:
            row = connection.execute("SELECT pg_current_wal_flush_lsn() - '0/0'").fetchone()
        assert row is not None
        return int(row[0])

    def captured_position(self) -> int:
        """Return how far capture is in the log; 0 until all tables are read."""
        with closing(SqliteEventLog(self.bridge.data_dir / "log.db")) as log:
            cursor = log.cursor("shop")
        if cursor is None:
            return 0
        state = parse_cursor(cursor.state)
        return state.end_lsn if len(state.snapshot.done) == TABLE_COUNT else 0

    def log_size(self) -> int:
        """Return how many entries the log has."""
        with closing(SqliteEventLog(self.bridge.data_dir / "log.db")) as log:
            return log.head().size

    def last_event(self) -> int:
        """Return the index of the newest entry that is an event; -1 when there is none."""
        with closing(SqliteEventLog(self.bridge.data_dir / "log.db")) as log:
            stop = log.head().size
            while stop > 0:
                start = max(0, stop - READ_COUNT)
                for entry in reversed(log.read(start, stop - start)):
                    if entry.kind is EntryKind.EVENT:
                        return entry.leaf_index
                stop = start
        return -1

    def count_entries(self) -> dict[EntryKind, int]:
        """Return how many entries of each kind the log has."""
        counts = dict.fromkeys(EntryKind, 0)
        with closing(SqliteEventLog(self.bridge.data_dir / "log.db")) as log:
            start = 0
            while batch := log.read(start, READ_COUNT):
                for entry in batch:
                    counts[entry.kind] += 1
                start += len(batch)
        return counts

    def requests_answered(self) -> int:
        """Return how many requests the workers have answered since they started."""
        return sum(
            int(role.counts.get("answered.requests", 0))
            for role in self.bridge.roles()
            if role.role.startswith("gateway:")
        )

    def _process(self, name: str, *arguments: str) -> DemoProcess:
        process = DemoProcess(name, arguments, folder=self.folder, env={})
        self._stack.callback(process.stop)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
