"""The whole way of a row change, against how fast PostgreSQL hands out its WAL at all.

Ours: WAL, decoded, mapped and validated by a contract, durable in the SQLite event log with its
tree, published to a quorum queue, confirmed; capture and relay each in a process. The limit:
`pg_recvlogical` writing the same pgoutput stream of the same WAL, through a slot of its own, to
`/dev/null`. Both find the whole backlog waiting; they take turns in going first.

`BENCH_ROWS` rows of 11 columns in transactions of 1,000 (300,000 by default, 100,000 a run).
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import psutil
import psycopg

from bridge.demo.servers import PrivatePostgres, PrivateRabbitMQ
from bridge.model.entry import EntryKind
from bridge.storage.sink_cursors import SqliteSinkCursors
from bridge.storage.sqlite_event_log import SqliteEventLog
from tests.bench.capture_role import PUBLICATION, QUEUE, SINK, TABLE
from tests.waiting import wait_until

NAME = "capture_to_broker_limit"
RUNS = 3
ROWS_DEFAULT = 300_000
ROWS_PER_TRANSACTION = 1_000
WARM_UP_ROWS = 5_000
TARGET, MOONSHOT = 0.22, 0.40
RUN_TIMEOUT_S = 120

_LIMIT_SLOT = "bench_limit"
_CONTRACTS = Path(__file__).parents[2] / "contracts"
_READ_MAX = 10_000
_SETTINGS = {"max_wal_size": "4GB"}  # No checkpoint of the server's own during a run.

_CREATE = f"""
CREATE TABLE {TABLE} (
    ord_no integer PRIMARY KEY, cust_no integer NOT NULL, cli_ref varchar(60), stat_cd char(1),
    ord_ts timestamp NOT NULL, ship_ts timestamp, tot_amt numeric(12,2) NOT NULL,
    gft_flg char(1) NOT NULL, nte text, upd_ts timestamp NOT NULL, upd_usr char(8) NOT NULL
)
"""
# Row n of the table; a third of the orders are shipped, one in seven is a gift.
_INSERT = f"""
INSERT INTO {TABLE}
SELECT n, 10000 + n %% 5000, 'web-' || n, (ARRAY['1','2','3','4','5','9'])[1 + n %% 6],
       timestamp '2024-12-01' + n * interval '1 second',
       CASE WHEN n %% 3 = 0 THEN timestamp '2024-12-03' + n * interval '1 second' END,
       (n %% 100000) / 100.0, CASE WHEN n %% 7 = 0 THEN 'Y' ELSE 'N' END,
       'deliver to the back door, case ' || n, timestamp '2024-12-01' + n * interval '1 second',
       'ORDENTRY'
FROM generate_series(%s::int, %s::int) AS n
"""


class Pipeline:
    """The servers, the two roles and the limit over one folder."""

    def __init__(self, folder: Path, postgres: PrivatePostgres, rabbitmq: PrivateRabbitMQ) -> None:
        self._folder = folder
        self._postgres = postgres
        self._rabbitmq = rabbitmq
        self._written = 0
        self._database = psycopg.connect(postgres.dsn(), autocommit=True)
        self._database.execute(_CREATE)
        self.cpu_s: dict[str, float] = {}

    def close(self) -> None:
        """Leave the servers."""
        self._database.close()

    def write(self, rows: int) -> None:
        """Commit `rows` more rows and wait until their WAL is on disk."""
        for first in range(self._written + 1, self._written + rows + 1, ROWS_PER_TRANSACTION):
            last = min(first + ROWS_PER_TRANSACTION, self._written + rows + 1) - 1
            self._database.execute(_INSERT, (first, last))
        self._written += rows
        self._database.execute("CHECKPOINT")

    def create_limit_slot(self) -> None:
        """Make the second reader's slot; capture has made publication and slot of its own."""
        self._database.execute(
            "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (_LIMIT_SLOT,)
        )

    def limit_s(self) -> float:
        """Return how long `pg_recvlogical` takes for everything that its slot has not read."""
        row = self._database.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        began = time.perf_counter()
        subprocess.run(
            [
                *(self._postgres.program("pg_recvlogical"), "--dbname", self._postgres.dsn()),
                *("--slot", _LIMIT_SLOT, "--start", "--no-loop", "--endpos", str(row[0])),
                *("--option", "proto_version=1", "--option", f"publication_names={PUBLICATION}"),
                *("--fsync-interval", "0", "--file", "/dev/null"),
            ],
            check=True,
            timeout=RUN_TIMEOUT_S,
        )
        return time.perf_counter() - began

    def bridge_s(self) -> float:
        """Return how long capture and relay take until the broker has confirmed everything."""
        cursors = SqliteSinkCursors(self._folder / "state.db")
        folder = str(self._folder)
        with (
            self._role("relay", folder, self._rabbitmq.url) as relay,
            self._role("capture", folder, self._postgres.dsn(), str(_CONTRACTS)) as capture,
        ):
            usage = _Usage(
                capture=capture.pid,
                relay=relay.pid,
                postgres=self._postgres.pid,
                rabbitmq=self._rabbitmq.pid,
            )
            _start(relay)
            began = time.perf_counter()
            _start(capture)
            wait_until(
                lambda: cursors.load(SINK) == self._written or capture.poll() or relay.poll(),
                RUN_TIMEOUT_S,
                "the broker to have everything",
            )
            took_s = time.perf_counter() - began
            self.cpu_s = usage.taken_s()
        assert cursors.load(SINK) == self._written, "capture or relay has ended"
        cursors.close()
        self._check_and_purge()
        return took_s

    @contextmanager
    def _role(self, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
        command = [sys.executable, "-m", "tests.bench.capture_role", *arguments]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n", f"{arguments[0]} did not start"
                yield process
            finally:
                process.terminate()

    def _check_and_purge(self) -> None:
        """Check that each row became an event, none was parked, and make room in the queue."""
        log = SqliteEventLog(self._folder / "log.db")
        kinds = Counter(
            entry.kind
            for start in range(0, self._written, _READ_MAX)
            for entry in log.read(start, _READ_MAX)
        )
        log.close()
        assert kinds == {EntryKind.EVENT: self._written}, f"the log has {kinds}"
        connection = pika.BlockingConnection(pika.URLParameters(self._rabbitmq.url))
        connection.channel().queue_purge(QUEUE)
        connection.close()


class _Usage:
    """CPU time that processes and their children take from now on."""

    def __init__(self, **pids: int) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before = self._now()

    def taken_s(self) -> dict[str, float]:
        """Return seconds of CPU by name."""
        return {name: spent - self._before[name] for name, spent in self._now().items()}

    def _now(self) -> dict[str, float]:
        spent = {}
        for name, process in self._processes.items():
            spent[name] = 0.0
            for member in [process, *process.children(recursive=True)]:
                times = member.cpu_times()
                spent[name] += times.user + times.system
        return spent


def _start(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def run() -> dict[str, Any]:
    """Measure, and return the row for the table; CPU per event by process is beside it."""
    rows = int(os.environ.get("BENCH_ROWS", ROWS_DEFAULT)) // RUNS
    ours, limits, cpu = [], [], []
    with (
        tempfile.TemporaryDirectory(prefix="lb-bench-") as name,
        PrivatePostgres.start(
            Path(name) / "postgres", settings={"max_wal_size": "4GB"}
        ) as postgres,
        PrivateRabbitMQ.start(Path(name) / "rabbitmq") as rabbitmq,
    ):
        pipeline = Pipeline(Path(name), postgres, rabbitmq)
        try:
            pipeline.write(WARM_UP_ROWS)
            pipeline.bridge_s()
            pipeline.create_limit_slot()
            for number in range(RUNS):
                pipeline.write(rows)
                if number % 2:
                    limits.append(rows / pipeline.limit_s())
                    ours.append(rows / pipeline.bridge_s())
                else:
                    ours.append(rows / pipeline.bridge_s())
                    limits.append(rows / pipeline.limit_s())
                cpu.append({who: s / rows * 1e6 for who, s in pipeline.cpu_s.items()})
        finally:
            pipeline.close()
    ratios = [mine / limit for mine, limit in zip(ours, limits, strict=True)]
    ratio = statistics.median(ratios)
    return {
        "name": NAME,
        "value": round(statistics.median(ours)),
        "unit": "events/s",
        "against": "pg_recvlogical to /dev/null",
        "against_value": round(statistics.median(limits)),
        "ratio": round(ratio, 3),
        "target": TARGET,
        "moonshot": MOONSHOT,
        "runs": RUNS,
        "spread": f"{min(ratios):.3f}-{max(ratios):.3f}",
        "rows_per_run": rows,
        "cpu_us_per_event": {
            who: round(statistics.median(taken[who] for taken in cpu), 1) for who in cpu[0]
        },
    }


if __name__ == "__main__":
    print(run())
