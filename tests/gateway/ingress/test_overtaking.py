"""A write that is answered at once comes after those of its key that were queued before it."""

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from bridge.gateway.dual.admission import WriteLimits
from bridge.gateway.http.head_reader import HeadReader
from bridge.gateway.plane.buffered import is_whole
from bridge.gateway.routes.decision import Decision
from bridge.model.stage import Stage
from bridge.storage.journal.sqlite import SqliteJournal
from tests.gateway.ingress.rig import ASYNC, Rig
from tests.waiting import wait_until_async

SHORT = WriteLimits(lane_wait_ms=30)


@pytest.mark.parametrize("stage", [Stage.LEGACY, Stage.DUAL])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_write_waits_for_the_queued_ones_of_its_key(stage: Stage, method: str) -> None:
    async def check() -> None:
        rig = Rig(stage)
        for n in (1, 2, 3):
            await rig.accepted("/orders/1", ASYNC, {"n": n})
        last = asyncio.create_task(rig.send(method, "/orders/1", (), {"n": "last"}))
        other = await rig.send(method, "/orders/2", (), {"n": "other"})
        assert other.status == 201
        async with rig.sending():
            assert (await last).status == 201
        bodies = [sent.body for sent in rig.path.sent if sent.target == b"/orders/1"]
        assert bodies == [b'{"n": 1}', b'{"n": 2}', b'{"n": 3}', b'{"n": "last"}']

    asyncio.run(check())


def test_one_that_is_being_sent_is_waited_for_too() -> None:
    async def check() -> None:
        rig = Rig(limits=SHORT)
        rig.path.gate = asyncio.Event()
        async with rig.sending():
            await rig.accepted("/orders/1")
            await wait_until_async(lambda: rig.path.running == 1)
            assert (await rig.send("PUT", "/orders/1", ())).status == 503
            rig.path.gate.set()
            await rig.drained()
            assert (await rig.send("PUT", "/orders/1", ())).status == 201

    asyncio.run(check())


def test_after_lane_wait_ms_it_is_told_how_to_be_taken_in_order() -> None:
    async def check() -> None:
        rig = Rig(limits=SHORT)
        await rig.accepted("/orders/1")
        began = time.monotonic()
        answer = await rig.send("PUT", "/orders/1", (), {"n": "sync-last"})
        assert time.monotonic() - began >= 0.03
        assert answer.status == 503
        assert answer.header(b"legacy-bridge-error") == b"key-busy"
        assert answer.header(b"retry-after") == b"1"
        assert b"Prefer: respond-async" in answer.body
        assert not rig.path.sent

    asyncio.run(check())


def test_only_so_many_wait_for_one_key() -> None:
    async def check() -> None:
        rig = Rig(limits=WriteLimits(lane_wait_ms=60_000, lane_waiting_count_max=1))
        await rig.accepted("/orders/1")
        first = asyncio.create_task(rig.send("PUT", "/orders/1", ()))
        await asyncio.sleep(0)
        assert (await rig.send("PUT", "/orders/1", ())).status == 503
        async with rig.sending():
            assert (await first).status == 201
        assert (await rig.send("PUT", "/orders/1", ())).status == 201

    asyncio.run(check())


def test_only_writes_of_groups_with_a_queue_are_held_for_it() -> None:
    rig = Rig()
    found = {}
    for method, path in ((b"PUT", b"/orders/1"), (b"PATCH", b"/orders/1"), (b"PUT", b"/stock/1")):
        decision = rig.table().decide(method, b"a", path)
        assert isinstance(decision, Decision)
        head = HeadReader().read(b"%b %b HTTP/1.1\r\nHost: a" % (method, path))
        whole = decision.behind_queue and is_whole(None, decision, head)  # type: ignore[arg-type] # not asked
        found[decision.route.route_id] = (decision.special, whole)
    assert found == {
        "order-write": (True, True), "order-whole": (True, True), "stock-write": (False, False)
    }  # fmt: skip


def test_a_journal_without_the_index_of_lanes_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    SqliteJournal(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP INDEX queued_lane")
    connection.close()
    SqliteJournal(path).close()
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "EXPLAIN QUERY PLAN SELECT 1 FROM queued WHERE group_name = 'g' AND lane = 'l'"
            " AND state IN ('waiting', 'begun') LIMIT 1"
        ).fetchall()
    connection.close()
    assert "queued_lane" in repr(rows)
