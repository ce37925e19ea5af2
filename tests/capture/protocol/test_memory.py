"""One transaction of any size passes through a capture process of bounded memory, in both forms."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest

from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.protocol.process import capture_process, peak_rss_mb
from tests.capture.running import cursor_of, read_tables
from tests.conftest import Database
from tests.waiting import wait_until

# Ten million rows may take 200 MB. The process takes about 70 MB before its first row, a few parts
# of 5,000 changes the rest.
PEAK_MB_MAX = 200

FORMS = ("streamed", "ordinary")
TABLE = "public.t"


@pytest.mark.long
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(100_000, marks=pytest.mark.timeout(600)),
        pytest.param(10_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(7_200)]),
    ],
)
def test_a_huge_transaction(
    count: int, database: Database, sql: psycopg.Connection, tmp_path: Path
) -> None:
    sql.execute("create table t (id bigint primary key, note text)")
    sql.execute(f"alter database {database.name} set logical_decoding_work_mem = '4MB'".encode())
    with ExitStack() as ends:
        captures = [ends.enter_context(Capture.started(database, form, tmp_path)) for form in FORMS]
        with sql.transaction():
            for first in range(0, count, count // 10):
                sql.execute(
                    "insert into t select x, repeat('x', 60) || x"
                    " from generate_series(%s::int, %s::int) x",
                    (first, first + count // 10 - 1),
                )
            wait_until(lambda: captures[0].staged_bytes() > 10 * count, 60 + count / 10_000)
        for capture in captures:
            wait_until(partial(capture.has, count), 60 + count / 1_000, "the last row")
            assert not capture.staged_bytes()
            peak_mb = peak_rss_mb(capture.process.pid)
            print(f"{capture.folder.name}: {count} rows, peak {peak_mb:.0f} MB")
            assert peak_mb <= PEAK_MB_MAX


@dataclass
class Capture:
    """A capture process and its log."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    log: SqliteEventLog

    @classmethod
    @contextmanager
    def started(cls, database: Database, form: str, folder: Path) -> Iterator["Capture"]:
        """Run a process that has read the empty table already."""
        slot, folder = f"{database.name}_{form}", folder / form
        folder.mkdir()
        with capture_process(database.dsn, slot, folder, form, TABLE) as process:
            wait_until((folder / "log.db").exists, 30, "the log")
            log = SqliteEventLog(folder / "log.db")
            try:
                wait_until(lambda: TABLE in read_tables(log), 30, "the first reading")
                yield cls(process, folder, log)
            finally:
                log.close()

    def has(self, count: int) -> bool:
        """Whether the log has `count` entries, none of them of a transaction that is not whole."""
        assert self.process.poll() is None
        assert self.log.head().size <= count
        return self.log.head().size == count and cursor_of(self.log).part is None

    def staged_bytes(self) -> int:
        """Bytes in stages."""
        return sum(path.stat().st_size for path in self.folder.glob("stage-*.frames"))
