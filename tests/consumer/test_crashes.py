"""Whatever is killed, the read model ends as if nothing had been."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.consumer.samples import Broker, balances, events
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
COUNT = 3_000
KEYS = 10


class Reader:
    """The reader process, and what it has committed."""

    def __init__(self, url: str, store: str, ready: Path) -> None:
        self.url = url
        self.store = store
        self.ready = ready
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.ready.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.consumer.reader_process",
                self.url,
                self.store,
                str(self.ready),
            ],
            cwd=ROOT,
        )

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Return the rows of `text`; none while the store is not there yet."""
        try:
            if self.store.startswith("postgresql:"):
                with psycopg.connect(self.store) as postgres:
                    return postgres.execute(text.encode()).fetchall()
            with closing(sqlite3.connect(self.store, timeout=10)) as sqlite:
                return sqlite.execute(text).fetchall()
        except (sqlite3.OperationalError, psycopg.Error):
            return []

    def applied(self) -> int:
        rows = self.query("SELECT coalesce(sum(changes), 0) FROM branch")
        return int(rows[0][0]) if rows else 0


@contextmanager
def reading(url: str, store: str, folder: Path) -> Iterator[Reader]:
    reader = Reader(url, store, folder / "ready")
    try:
        yield reader
    finally:
        if reader.process is not None and reader.process.poll() is None:
            reader.end(signal.SIGKILL)


def check(reader: Reader, count: int) -> None:
    """Compare the read model with what was published: values, times applied, order."""
    wait_until(lambda: reader.applied() >= count, timeout_s=60, what=f"{count} events applied")
    wait_until(reader.ready.exists, timeout_s=30)
    assert reader.end(signal.SIGTERM) == 0
    assert dict(reader.query("SELECT id, balance FROM branch")) == balances(count, KEYS)
    changes = Counter(number % KEYS for number in range(count))
    assert dict(reader.query("SELECT id, changes FROM branch")) == changes
    assert reader.query("SELECT * FROM disorder") == []


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "model.db")
    dsn: str = request.getfixturevalue("database").dsn
    return dsn


def test_a_consumer_killed_at_any_moment_applies_each_event_once_in_order(
    broker_url: str, store: str, tmp_path: Path
) -> None:
    seed = int(os.environ.get("LB_TEST_SEED", "20240501"))
    chance = random.Random(seed)
    with Broker(broker_url) as broker, reading(broker_url, store, tmp_path) as reader:
        reader.start()
        wait_until(reader.ready.exists, timeout_s=30)
        broker.publish_fast(events(COUNT, keys=KEYS))
        for _ in range(6):
            # A kill at a place in the work, not at a time: it hits on any machine.
            place = min(reader.applied() + chance.randrange(1, 500), COUNT)
            wait_until(lambda p=place: reader.applied() >= p, timeout_s=60)  # type: ignore[misc]  # bound now
            reader.end(signal.SIGKILL)
            reader.start()
        check(reader, COUNT)
        assert broker.depth("c.test.park") == 0, f"seed {seed}"


@pytest.mark.long
def test_a_broker_killed_half_way_costs_nothing(
    rabbitmq: Any, broker_url: str, tmp_path: Path
) -> None:
    made = events(1_500, keys=KEYS)
    with reading(broker_url, str(tmp_path / "model.db"), tmp_path) as reader:
        reader.start()
        wait_until(reader.ready.exists, timeout_s=30)
        rabbitmq.flush()
        with Broker(broker_url) as before:
            before.publish(made[:1_000])
            wait_until(lambda: reader.applied() > 0)
        rabbitmq.kill()
        rabbitmq.restart()
        with Broker(broker_url) as after:
            # The relay cannot know what arrived, and sends from its last confirm on.
            after.publish(made[900:], first_leaf=900)
            check(reader, 1_500)


def test_a_database_killed_half_way_costs_nothing(
    postgres: Any, broker_url: str, database: Any, tmp_path: Path
) -> None:
    with (
        Broker(broker_url) as broker,
        reading(broker_url, database.dsn, tmp_path) as reader,
    ):
        reader.start()
        wait_until(reader.ready.exists, timeout_s=30)
        broker.publish_fast(events(COUNT, keys=KEYS))
        wait_until(lambda: reader.applied() > 0)
        postgres.kill()
        postgres.restart()
        check(reader, COUNT)
        assert broker.depth("c.test.park") == 0
