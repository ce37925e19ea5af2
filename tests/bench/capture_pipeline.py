"""The way of a row change from WAL to broker: servers, table, our two roles, and their measure."""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pika
import psutil
import psycopg

from bridge.demo.servers import PrivatePostgres, PrivateRabbitMQ
from bridge.model.entry import EntryKind
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sink_cursors import SqliteSinkCursors
from tests.bench.capture_role import PUBLICATION, QUEUE, SINK, TABLE
from tests.waiting import wait_until

RUN_TIMEOUT_S: Final = 600

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
_ROWS = f"""
INSERT INTO {TABLE}
SELECT n, 10000 + n %% 5000, 'web-' || n, (ARRAY['1','2','3','4','5','9'])[1 + n %% 6],
       timestamp '2024-12-01' + n * interval '1 second',
       CASE WHEN n %% 3 = 0 THEN timestamp '2024-12-03' + n * interval '1 second' END,
       (n %% 100000) / 100.0, CASE WHEN n %% 7 = 0 THEN 'Y' ELSE 'N' END,
       'deliver to the back door, case ' || n, timestamp '2024-12-01' + n * interval '1 second',
       'ORDENTRY'
FROM generate_series(%s::int, %s::int) AS n
"""
_EACH_BY_ITSELF = f"""
CREATE PROCEDURE bench_rows(first int, last int) LANGUAGE plpgsql AS $$
BEGIN
    FOR row_number IN first..last LOOP
        {_ROWS.replace("%s", "row_number").replace("%%", "%")};
        COMMIT;
    END LOOP;
END $$
"""


class Pipeline:
    """The servers' contents and the two roles over one folder."""

    def __init__(self, folder: Path, postgres: PrivatePostgres, rabbitmq: PrivateRabbitMQ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.rabbitmq = rabbitmq
        self.written = 0
        self._database = psycopg.connect(postgres.dsn(), autocommit=True)
        self._database.execute(_CREATE)
        self._database.execute(_EACH_BY_ITSELF)
        self.cpu_s: dict[str, float] = {}
        self.peak_mb: dict[str, float] = {}

    def close(self) -> None:
        """Leave the servers."""
        self._database.close()

    def write(self, rows: int, rows_per_transaction: int) -> None:
        """Commit `rows` more rows and wait until their WAL is on disk."""
        last = self.written + rows
        # They are made before anything is measured: their commits need not wait for the disk.
        self._database.execute("SET synchronous_commit = off")
        if rows_per_transaction == 1:
            self._database.execute("CALL bench_rows(%s, %s)", (self.written + 1, last))
        else:
            for first in range(self.written + 1, last + 1, rows_per_transaction):
                end = min(first + rows_per_transaction - 1, last)
                self._database.execute(_ROWS, (first, end))
        self.written = last
        self._database.execute("CHECKPOINT")
        self._database.execute("RESET synchronous_commit")

    def write_one(self) -> None:
        """Commit one more row."""
        self.written += 1
        self._database.execute(_ROWS, (self.written, self.written))

    def create_limit_slot(self) -> None:
        """Make the slot of `pg_recvlogical`; capture has made publication and slot of its own."""
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
                *(self.postgres.program("pg_recvlogical"), "--dbname", self.postgres.dsn()),
                *("--slot", _LIMIT_SLOT, "--start", "--no-loop", "--endpos", str(row[0])),
                *("--option", "proto_version=1", "--option", f"publication_names={PUBLICATION}"),
                *("--fsync-interval", "0", "--file", "/dev/null"),
            ],
            check=True,
            timeout=RUN_TIMEOUT_S,
        )
        return time.perf_counter() - began

    @contextmanager
    def running(self) -> "Iterator[Running]":
        """Run capture and relay as processes that begin at `Running.go`."""
        with (
            self._role("relay", str(self.folder), self.rabbitmq.url) as relay,
            self._role(
                "capture", str(self.folder), self.postgres.dsn(), str(_CONTRACTS)
            ) as capture,
        ):
            cursors = SqliteSinkCursors(self.folder / "state.db")
            try:
                yield Running(capture, relay, cursors)
            finally:
                cursors.close()

    def bridge_s(self) -> float:
        """Return how long capture and relay take until the broker has confirmed everything."""
        with self.running() as roles:
            usage = _Usage(
                capture=roles.capture.pid,
                relay=roles.relay.pid,
                postgres=self.postgres.pid,
                rabbitmq=self.rabbitmq.pid,
            )
            began = time.perf_counter()
            roles.go()
            roles.wait_confirmed(self.written)
            took_s = time.perf_counter() - began
            self.cpu_s = usage.taken_s()
            self.peak_mb = {"capture": peak_mb(roles.capture.pid)}
        self._check_and_purge()
        return took_s

    def captured_peak_mb(self, rows: int, timeout_s: float) -> float:
        """Commit `rows` rows in one transaction while capture runs, without the relay; return the
        largest size of capture until the log has them all."""
        log = SqliteEventLog(self.folder / "log.db")
        arguments = ("capture", str(self.folder), self.postgres.dsn(), str(_CONTRACTS))
        with self._role(*arguments) as capture:
            _go(capture)
            self.write(rows, rows)
            wait_until(
                lambda: log.head().size == self.written or capture.poll() is not None,
                timeout_s,
                "the log to have the transaction",
            )
            assert capture.poll() is None, "capture has ended"
            peak = peak_mb(capture.pid)
        log.close()
        return peak

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
        log = SqliteEventLog(self.folder / "log.db")
        kinds = Counter(
            entry.kind
            for start in range(0, self.written, _READ_MAX)
            for entry in log.read(start, _READ_MAX)
        )
        log.close()
        assert kinds == {EntryKind.EVENT: self.written}, f"the log has {kinds}"
        connection = pika.BlockingConnection(pika.URLParameters(self.rabbitmq.url))
        connection.channel().queue_purge(QUEUE)
        connection.close()


class Running:
    """Capture and relay, loaded and waiting."""

    def __init__(
        self,
        capture: "subprocess.Popen[str]",
        relay: "subprocess.Popen[str]",
        cursors: SqliteSinkCursors,
    ) -> None:
        self.capture = capture
        self.relay = relay
        self._cursors = cursors

    def go(self) -> None:
        """Let both begin."""
        _go(self.relay)
        _go(self.capture)

    def wait_confirmed(self, entries: int, timeout_s: float = RUN_TIMEOUT_S) -> None:
        """Wait until the broker has confirmed the first `entries` of the log."""
        wait_until(
            lambda: (
                self._cursors.load(SINK) == entries
                or self.capture.poll() is not None
                or self.relay.poll() is not None
            ),
            timeout_s,
            "the broker to have everything",
        )
        assert self._cursors.load(SINK) == entries, "capture or relay has ended"


def _go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


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


def peak_mb(pid: int) -> float:
    """Return the largest resident size that process `pid` has had, in MB (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kib) * 1024 / 1e6


@contextmanager
def pipeline(**settings: str) -> Iterator[Pipeline]:
    """Start both servers on an empty folder and give the pipeline over them."""
    with (
        tempfile.TemporaryDirectory(prefix="lb-bench-") as name,
        PrivatePostgres.start(
            Path(name) / "postgres", settings={**_SETTINGS, **settings}
        ) as postgres,
        PrivateRabbitMQ.start(Path(name) / "rabbitmq") as rabbitmq,
    ):
        made = Pipeline(Path(name), postgres, rabbitmq)
        try:
            yield made
        finally:
            made.close()
