"""The real contracts and the real log behind the real capture, under pgbench's own load."""

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from bridge.capture.service import CaptureService
from bridge.contracts.contract_set import ContractSet
from bridge.demo.servers.postgres import bin_dir
from bridge.model.entry import EntryKind
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.running import Running, await_position, make_source
from tests.conftest import Database
from tests.waiting import RecordingObserver, wait_until

CONTRACTS = Path(__file__).parent.parent / "pgbench_contracts"


def start_capture(database: Database, log: SqliteEventLog, folder: Path) -> Running:
    contracts = ContractSet.load(CONTRACTS, type_prefix="com.example")
    source = make_source(database.dsn, database.name, *contracts.tables("pgbench"))
    observer = RecordingObserver()
    service = CaptureService(
        "pgbench", source, log, contracts, spool_folder=folder, observer=observer
    )
    return Running(service, observer)


def pgbench(dsn: str, *options: str) -> None:
    subprocess.run(
        [str(bin_dir() / "pgbench"), *options, dsn], check=True, capture_output=True, timeout=120
    )


def test_pgbench(database: Database, sql: psycopg.Connection, tmp_path: Path) -> None:
    pgbench(database.dsn, "-i", "-q")
    sql.execute("delete from pgbench_accounts where aid > 3000")
    log = SqliteEventLog(tmp_path / "log.db")
    try:
        running = start_capture(database, log, tmp_path)
        pgbench(database.dsn, "-T", "2", "-c", "2")
        wait_until(lambda: len(running.observer.notes("table_read")) == 4, 60)
        await_position(running, sql, log, source="pgbench")
        running.end()
        entries = log.read(0, log.head().size)
    finally:
        log.close()
    assert {entry.kind for entry in entries} == {EntryKind.EVENT}
    accounts: dict[int, int] = {}
    history: Counter[tuple[Any, ...]] = Counter()
    for entry in entries:
        event = json.loads(entry.payload)
        after = event["data"].get("after")
        if ".account." in event["type"] and after:
            accounts[after["account_id"]] = after["balance"]
        elif ".history." in event["type"]:
            history[after["teller_id"], after["account_id"], after["delta"]] += 1
    assert accounts == dict(sql.execute("select aid, abalance from pgbench_accounts").fetchall())
    assert history == Counter(sql.execute("select tid, aid, delta from pgbench_history").fetchall())
    assert history.total() > 0
