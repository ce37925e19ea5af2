"""pgbench as a legacy system that none of us wrote, with the whole of Legacy Bridge beside it."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import yaml

from bridge.capture.cursor import parse_cursor
from bridge.demo.counting import COUNTER_GROUP, count_queue
from bridge.demo.gateway_process import BridgeProcess, CommandFailed
from bridge.demo.process import DemoProcess
from bridge.demo.servers import PrivatePostgres, PrivateRabbitMQ
from bridge.demo.servers.ports import free_port
from bridge.model.entry import EntryKind
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.child import child
from tests.e2e import pgbench_readmodel

TABLES = {
    "accounts": ("pgbench_accounts", "aid, bid, abalance, filler"),
    "branches": ("pgbench_branches", "bid, bbalance, filler"),
    "tellers": ("pgbench_tellers", "tid, bid, tbalance, filler"),
}
TABLE_COUNT = 4
READ_COUNT = 5_000

# pgbench's own "TPC-B (sort of)" among the accounts that are there, at the rate that is asked for.
FEW_ACCOUNTS = r"""
\set aid random(1, :accounts)
\set bid random(1, 1)
\set tid random(1, 10)
\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)
  VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
"""


class PgbenchHouse:
    """Servers, roles and consumer of one run."""

    def __init__(self, folder: Path, postgres: PrivatePostgres, rabbitmq: PrivateRabbitMQ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.rabbitmq = rabbitmq
        self.readmodel = folder / "readmodel.db"
        self._load: tuple[str, ...] = ()
        self.bridge = BridgeProcess(
            config=self._write_config(),
            data_dir=folder / "data",
            folder=folder,
            control_port=free_port(),
            env={},
        )
        self.consumer = DemoProcess(
            "consumer",
            (
                "tests.e2e.pgbench_readmodel",
                "--url", rabbitmq.url,
                "--file", str(self.readmodel),
            ),
            folder=folder,
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )  # fmt: skip

    def initialise(self, scale: int) -> None:
        """Run `pgbench -i`."""
        self._pgbench("-i", "-q", "-s", str(scale))

    def keep_few_accounts(self, accounts: int, rate: int) -> None:
        """Have so many accounts of scale 1, and loads of `rate` transactions a second.

        The work of a run is rows and changes: what is killed at which moment is not less with few.
        """
        with psycopg.connect(self.postgres.dsn(), autocommit=True) as legacy:
            legacy.execute("DELETE FROM pgbench_accounts WHERE aid > %s", [accounts])
            legacy.execute("VACUUM FULL pgbench_accounts")
        script = self.folder / "few-accounts.sql"
        script.write_text(FEW_ACCOUNTS)
        self._load = ("-f", str(script), "-D", f"accounts={accounts}", "-R", str(rate))

    @contextmanager
    def load(self, seconds: int, seed: int) -> Iterator[subprocess.Popen[bytes]]:
        """Run the standard TPC-B-like load with 4 clients, restarted when the server was killed."""
        argv = [
            self.postgres.program("pgbench"), "-n", "-c", "4", "-j", "1", "-T", str(seconds),
            f"--random-seed={seed}", *self._load, self.postgres.dsn("postgres"),
        ]  # fmt: skip
        with (
            (self.folder / "pgbench.log").open("ab") as log,
            child(argv, stdout=log, stderr=subprocess.STDOUT) as process,
        ):
            yield process

    def settle(self, within_s: float) -> None:
        """Wait until log, broker and consumer have everything that is committed."""
        with psycopg.connect(self.postgres.dsn()) as connection:
            row = connection.execute("SELECT pg_current_wal_flush_lsn() - '0/0'").fetchone()
        assert row is not None
        target = int(row[0])
        self.bridge.wait_for(
            "capture reached the source", lambda: self._captured() >= target, within_s
        )
        self.bridge.wait_for(
            "the relay published everything", lambda: self._behind() == 0, within_s, poll_s=0.5
        )
        self.bridge.wait_for(
            "the consumer applied everything",
            lambda: self.count_seen() == self.count_events(),
            within_s,
            poll_s=0.5,
        )

    def problems(self) -> list[str]:
        """Compare the read model with the legacy tables, and count everything."""
        problems = []
        with (
            closing(sqlite3.connect(self.readmodel)) as model,
            psycopg.connect(self.postgres.dsn()) as legacy,
        ):
            for table, (legacy_table, columns) in TABLES.items():
                names = ", ".join(pgbench_readmodel.columns(table))
                found = Counter(model.execute(f"SELECT {names} FROM {table}"))
                expected = Counter(
                    legacy.execute(f"SELECT {columns} FROM {legacy_table}").fetchall()
                )
                if found != expected:
                    problems.append(f"{table}: {len(found)} rows, expected {len(expected)}")
            disorder = model.execute("SELECT count(*) FROM disorder").fetchone()[0]
            if disorder:
                problems.append(f"{disorder} events came after a later one of their key")
            history = Counter(model.execute("SELECT * FROM history"))
            truth = Counter(
                legacy.execute(
                    "SELECT tid, bid, aid, delta, to_char(mtime, 'YYYY-MM-DD\"T\"HH24:MI:SS.US'),"
                    " filler FROM pgbench_history"
                ).fetchall()
            )
            if _without_trailing_zeros(history) != _without_trailing_zeros(truth):
                problems.append(f"history: {history.total()} rows, expected {truth.total()}")
            sums = {
                model.execute(f"SELECT coalesce(sum({column}), 0) FROM {table}").fetchone()[0]
                for table, column in (
                    ("accounts", "balance"), ("branches", "balance"), ("tellers", "balance"),
                    ("history", "delta"),
                )
            }  # fmt: skip
            if len(sums) != 1:
                problems.append(f"sums of balances differ: {sorted(sums)}")
        ids = [entry_id for entry_id, kind in self._entries() if kind is EntryKind.EVENT]
        if len(set(ids)) != len(ids):
            problems.append("an event stands twice in the log")
        published = count_queue(self.rabbitmq.url)
        if published.events != len(ids):
            problems.append(f"broker got {published.events} events, the log has {len(ids)}")
        if self.count_seen() != len(ids):
            problems.append(f"consumer saw {self.count_seen()} events, the log has {len(ids)}")
        return problems

    def count_events(self) -> int:
        """Return how many events the log holds."""
        return sum(kind is EntryKind.EVENT for _, kind in self._entries())

    def count_seen(self) -> int:
        """Return how many events the consumer applied."""
        try:
            with closing(sqlite3.connect(self.readmodel)) as model:
                return int(model.execute("SELECT count(*) FROM seen").fetchone()[0])
        except sqlite3.OperationalError:
            return 0

    def kill_something(self, dice: random.Random) -> str:
        """Kill a role, the broker or the legacy server with -9; bring servers back."""
        roles = [role.role for role in self.bridge.roles() if role.alive]
        victim = dice.choice([*roles, "rabbitmq", "postgres", "consumer"])
        if victim == "rabbitmq":
            self.rabbitmq.kill()
            self.rabbitmq.restart()
        elif victim == "postgres":
            self.postgres.kill()
            self.postgres.restart()
        elif victim == "consumer":
            self.consumer.kill()
            self.consumer.start()
        else:
            pid = self.bridge.role(victim).pid
            assert pid is not None
            with contextlib.suppress(ProcessLookupError):  # It may just have ended by itself.
                os.kill(pid, signal.SIGKILL)
        return victim

    def _captured(self) -> int:
        with closing(SqliteEventLog(self.bridge.data_dir / "log.db")) as log:
            cursor = log.cursor("pgbench")
        if cursor is None:
            return 0
        state = parse_cursor(cursor.state)
        return state.end_lsn if len(state.snapshot.done) == TABLE_COUNT else 0

    def _behind(self) -> int:
        try:
            return int(self.bridge.status()["sinks"][0]["behind"])
        except CommandFailed:
            return -1  # The control role was just killed, and is on its way back.

    def _entries(self) -> Iterator[tuple[str, EntryKind]]:
        with closing(SqliteEventLog(self.bridge.data_dir / "log.db")) as log:
            start = 0
            while batch := log.read(start, READ_COUNT):
                for entry in batch:
                    yield entry.entry_id, entry.kind
                start += len(batch)

    def _write_config(self) -> Path:
        routes = self.folder / "routes"
        routes.mkdir()
        (routes / "shop.yaml").write_text(
            "group: shop\nsides: {legacy: app}\n"
            "routes: [{id: all, methods: [GET], path: '/{rest...}'}]\n"
        )
        config = self.folder / "bridge.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "contracts": {"dir": str(pgbench_readmodel.CONTRACTS)},
                    "sources": {"pgbench": {"dsn": self.postgres.dsn()}},
                    "delivery": {
                        "url": self.rabbitmq.url,
                        "groups": [
                            {"name": pgbench_readmodel.GROUP, "bind": pgbench_readmodel.BINDINGS},
                            {"name": COUNTER_GROUP, "bind": pgbench_readmodel.BINDINGS},
                        ],
                    },
                    "gateway": {
                        "port": free_port(),
                        "workers": 1,
                        "routes": str(routes),
                        "upstreams": {"app": {"url": f"http://127.0.0.1:{free_port()}"}},
                    },
                }
            )
        )
        return config

    def _pgbench(self, *arguments: str) -> None:
        subprocess.run(
            [self.postgres.program("pgbench"), *arguments, self.postgres.dsn()],
            check=True,
            capture_output=True,
        )


def _without_trailing_zeros(rows: Counter[tuple[object, ...]]) -> Counter[tuple[object, ...]]:
    """PostgreSQL drops trailing zeros of a fraction of a second; `to_char` does not."""
    trimmed: Counter[tuple[object, ...]] = Counter()
    for (*others, recorded_at, filler), count in rows.items():
        text = str(recorded_at)
        trimmed[(*others, text.rstrip("0").rstrip(".") if "." in text else text, filler)] += count
    return trimmed
