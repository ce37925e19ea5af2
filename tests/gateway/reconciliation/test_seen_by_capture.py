"""A write in doubt, found among what was captured from a real legacy database."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg

from bridge.eventlog.history.desk import SearchDesk
from bridge.eventlog.history.follower import IndexFollower
from bridge.gateway.reconciliation.seen import CapturedSeen
from bridge.model.pseudonym import KEY_BYTES, Pseudonyms
from bridge.model.stage import Stage
from bridge.model.write import JournalledWrite, WriteState
from bridge.runtime.wiring.seen_changes import LoggedRows
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.log_index.sqlite import SqliteLogIndex
from tests.capture.running import Running, await_position
from tests.capture.test_with_contracts import pgbench, start_capture
from tests.conftest import Database
from tests.gateway.dual.peer import Hold
from tests.gateway.dual.rig import GROUP
from tests.gateway.reconciliation.house import House, house
from tests.waiting import wait_until, wait_until_async
from tests.warrants import by

SUBJECT = "pgbench.account"
CARRIED_OUT, LOST, TWICE, OTHERWISE, BEFORE, ELSEWHERE = range(3, 9)
SKEW = timedelta(milliseconds=20)
SET = "update pgbench_accounts set abalance = %s where aid = %s"


@contextmanager
def _indexed(log: SqliteEventLog, folder: Path) -> Iterator[SearchDesk]:
    """Keep an index of the log meanwhile, as the log role does."""
    index, stop = SqliteLogIndex(folder / "index.db"), threading.Event()
    follower = IndexFollower(log, index, dict)
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    try:
        yield SearchDesk(
            lambda: log,
            lambda: SqliteLogIndex(folder / "index.db"),
            dict,
            lambda: {SUBJECT: (("account_id", "integer"),)},
            lambda: Pseudonyms(bytes(KEY_BYTES)),
        )
    finally:
        stop.set()
        thread.join(30)
        index.close()


async def _lose(shop: House, aid: int, *commits: tuple[psycopg.Connection, int]) -> JournalledWrite:
    """Bring a write of an account in doubt; the application commits this before it dies."""
    fault = Hold()
    shop.legacy.faults.append(fault)
    sent = asyncio.create_task(shop.worker().send("PUT", f"/orders/{aid}/status", {"status": 5}))
    assert await asyncio.to_thread(fault.arrived.wait, 10)
    for sql, value in commits:
        sql.execute(SET, [value, aid])
    shop.legacy.stop()
    fault.released.set()
    assert (await sent).status == 504
    shop.legacy.start()
    found = shop.desk.list_writes(state=WriteState.IN_DOUBT)
    return next(write for write in found if write.intent.lane == f"order:{aid}")


async def _found(
    shop: House, sql: psycopg.Connection, running: Running, log: SqliteEventLog, rows: LoggedRows
) -> None:
    seen, route = shop.changes, shop.route(GROUP, "order-status")
    assert seen is not None
    assert route is not None
    carried_out = await _lose(shop, CARRIED_OUT, (sql, 5))
    await asyncio.to_thread(await_position, running, sql, log, "pgbench")
    assert seen.of(carried_out, route) is None, "nothing shows yet that capture is past"
    sql.execute(SET, [5, BEFORE])
    for aid, values in ((LOST, []), (TWICE, [4, 5]), (OTHERWISE, [6]), (BEFORE, [5])):
        await _lose(shop, aid, *((sql, value) for value in values))
    async with shop.replaying():

        def told() -> bool:
            sql.execute(SET, [7, ELSEWHERE])
            return bool(shop.desk.list_writes(state=WriteState.DONE))

        await wait_until_async(told, 20)
    (done,) = shop.desk.list_writes(state=WriteState.DONE)
    assert done.intent.intent_id == carried_out.intent.intent_id
    assert shop.modern.orders[f"a_{CARRIED_OUT}"] == ["new", 5]
    held = shop.desk.list_writes(state=WriteState.IN_DOUBT)
    assert {write.intent.lane for write in held} == {
        f"order:{aid}" for aid in (LOST, TWICE, OTHERWISE, BEFORE)
    }
    assert [seen.of(write, route) for write in held] == [None] * 4
    captured = {
        write.intent.lane: rows.since(SUBJECT, write.intent.lane[6:], write.intent.opened_at - SKEW)
        for write in held
    }
    assert [len(captured[f"order:{aid}"] or ()) for aid in (LOST, TWICE, OTHERWISE)] == [0, 2, 1]
    assert captured[f"order:{BEFORE}"]


def test_what_was_committed_is_found_and_nothing_else(database: Database, tmp_path: Path) -> None:
    pgbench(database.dsn, "-i", "-q")
    log = SqliteEventLog(tmp_path / "log.db")
    fields = {"/status": "balance"}
    with (
        psycopg.connect(database.dsn, autocommit=True) as sql,
        house(tmp_path, subject=SUBJECT, subject_key="account_id", fields=fields) as shop,
        _indexed(log, tmp_path) as desk,
    ):
        sql.execute("delete from pgbench_accounts where aid > 10")
        pairs = [(str(aid), f"a_{aid}") for aid in range(1, 11)]
        for legacy, modern in pairs:
            shop.legacy.orders[legacy], shop.modern.orders[modern] = ["new"], ["new"]
        shop.desk.import_ids(GROUP, "order", pairs, by("backfill", "T-1"))
        shop.rule("order-status", in_doubt=["seen"], quiet_ms=1_000)
        shop.switch(Stage.DUAL)
        rows = LoggedRows(desk, log)
        shop.changes = CapturedSeen(
            rules=lambda: [shop.orders],
            rows=rows,
            writes=shop.desk,
            ids=shop.journal,
            skew=SKEW,
        )
        running = start_capture(database, log, tmp_path)
        try:
            wait_until(lambda: len(running.observer.notes("table_read")) == 4, 60)
            asyncio.run(_found(shop, sql, running, log, rows))
        finally:
            running.end()
    log.close()
