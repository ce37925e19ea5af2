"""A write into the legacy database past the gateway, found by way of real capture."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from bridge.gateway.reconciliation.captured import CapturedReader
from bridge.model.stage import Stage
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.capture.running import await_position
from tests.capture.test_with_contracts import pgbench, start_capture
from tests.conftest import Database
from tests.gateway.dual.rig import GROUP
from tests.gateway.reconciliation.house import House, house
from tests.waiting import wait_until
from tests.warrants import by

SUBJECT = "pgbench.account"
THROUGH, PAST = 3, 7


async def _write_through(shop: House, sql: psycopg.Connection) -> None:
    """Take a write through the gateway, whose legacy application changes its row."""
    await shop.worker().send("PUT", f"/orders/{THROUGH}/status", {"status": "paid"})
    sql.execute("update pgbench_accounts set abalance = 5 where aid = %s", [THROUGH])
    async with shop.replaying():
        await shop.drained()


def test_a_write_into_the_legacy_database_is_found(database: Database, tmp_path: Path) -> None:
    pgbench(database.dsn, "-i", "-q")
    log = SqliteEventLog(tmp_path / "log.db")
    with (
        psycopg.connect(database.dsn, autocommit=True) as sql,
        house(tmp_path, subject=SUBJECT, subject_key="account_id") as shop,
    ):
        sql.execute("delete from pgbench_accounts where aid > 10")
        for aid in range(1, 11):
            shop.legacy.orders[str(aid)], shop.modern.orders[f"a_{aid}"] = ["new"], ["new"]
        pairs = [(str(aid), f"a_{aid}") for aid in range(1, 11)]
        shop.desk.import_ids(GROUP, "order", pairs, by("backfill", "T-1"))
        shop.switch(Stage.DUAL)
        running = start_capture(database, log, tmp_path)
        try:
            wait_until(lambda: len(running.observer.notes("table_read")) == 4, 60)
            asyncio.run(_write_through(shop, sql))
            sql.execute("update pgbench_accounts set abalance = 9 where aid = %s", [PAST])
            await_position(running, sql, log, source="pgbench")
        finally:
            running.end()
        reader = CapturedReader(
            log=log,
            rules=lambda: [shop.orders],
            lane=shop.checker.sides.lane,
            writes=shop.desk,
            since=lambda group: datetime.now(UTC) - timedelta(hours=1),
            store=shop.findings,
            now=lambda: datetime.now(UTC),
        )
        while reader.step():
            continue
        (bypass,) = shop.findings.bypasses(group=GROUP)
        keys = {one.key for one in shop.findings.captured_keys(SUBJECT, 0, 100)}
    log.close()
    assert (bypass.key, bypass.changes, bypass.subject) == (str(PAST), 1, SUBJECT)
    assert keys == {str(aid) for aid in range(1, 11)}
