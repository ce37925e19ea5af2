"""What capture saw: keys to walk by, tables to compare with, and writes past the gateway."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.records.action_record import log_time
from bridge.gateway.reconciliation.captured import CapturedReader
from bridge.gateway.reconciliation.checking import BY_TABLE, Checker
from bridge.gateway.reconciliation.scrubbing import CAPTURE, Scrubber
from bridge.gateway.reconciliation.tables import TableRow, TableSides
from bridge.model.entry import EntryDraft
from bridge.model.stage import Stage
from bridge.model.write import WriteState
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.history.logs import ORDER, row_event
from tests.gateway.dual.rig import GROUP
from tests.gateway.reconciliation.house import House, house
from tests.gateway.reconciliation.test_reconciliation import filled
from tests.warrants import by


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, subject=ORDER, fields={"/status": "state"}) as made:
        yield made


class Log:
    """A log with changes of orders, each at a time of its own."""

    def __init__(self) -> None:
        self.log = MemoryEventLog()
        self._number = 0

    def change(self, op: str, key: Any, at: datetime, row: Any = None) -> None:
        after = {"order_id": key, **(row or {"state": "x"})}
        draft = row_event(self._number, op, {"order_id": key}, after)
        fields = {**draft.fields, "time": log_time(at)}
        self._number += 1
        self.log.append([EntryDraft(draft.kind, draft.entry_id, fields, *draft[3:])])


def reader(shop: House, log: Log, since: datetime | None) -> CapturedReader:
    return CapturedReader(
        log=log.log,
        rules=lambda: [shop.orders],
        lane=shop.checker.sides.lane,
        writes=shop.desk,
        since=lambda group: since,
        store=shop.findings,
        now=lambda: datetime.now(UTC),
    )


def test_a_write_past_the_gateway_is_found_and_an_echo_is_not(shop: House) -> None:
    async def main() -> None:
        began = datetime.now(UTC) - timedelta(hours=2)
        keys = await filled(shop, 3)
        log, now = Log(), datetime.now(UTC)
        log.change("read", 99, now)  # A snapshot saw it.
        log.change("created", int(keys[0]), now)  # The client's own write, by its legacy id.
        log.change("updated", int(keys[1]), now - timedelta(hours=1))  # By nobody of ours.
        log.change("updated", 4711, now)  # An order that the gateway never saw.
        log.change("deleted", 4711, now)
        log.change("updated", int(keys[2]), began - timedelta(hours=1))  # Before it was journalled.
        seen = reader(shop, log, began)
        assert seen.step() == 6
        assert seen.step() == 0
        bypasses = shop.findings.bypasses(group=GROUP)
        assert sorted((one.key, one.changes) for one in bypasses) == sorted(
            [(keys[1], 1), ("4711", 2)]
        )
        assert {one.subject for one in bypasses} == {ORDER}
        assert {one.key for one in shop.findings.captured_keys(ORDER, 0, 10)} == {
            "99", "4711", *keys,
        }  # fmt: skip

    asyncio.run(main())


def test_the_echo_of_a_replay_is_none_past_the_gateway(shop: House) -> None:
    async def main() -> None:
        began = datetime.now(UTC) - timedelta(hours=2)
        key = "7"
        shop.legacy.orders[key] = shop.modern.orders["ord_7"] = ["new"]
        shop.desk.import_ids(GROUP, "order", [(key, "ord_7")], by("backfill", "T-1"))
        shop.switch(Stage.MODERN)
        worker = shop.worker("worker-b")
        await worker.send("PUT", f"/orders/{key}/status", {"status": "by modern"})
        async with shop.replaying():
            await shop.drained()
        log = Log()
        log.change("updated", int(key), datetime.now(UTC))
        log.change("updated", int(key), datetime.now(UTC) - timedelta(minutes=30))
        reader(shop, log, began).step()
        (bypass,) = shop.findings.bypasses()
        assert (bypass.changes, bypass.entry) == (1, 1), "the echo is not among them"

    asyncio.run(main())


def test_a_write_past_the_gateway_beside_a_replay_is_told_by_the_mark(tmp_path: Path) -> None:
    async def main(shop: House) -> None:
        key = "7"
        shop.legacy.orders[key] = shop.modern.orders["ord_7"] = ["new"]
        shop.desk.import_ids(GROUP, "order", [(key, "ord_7")], by("backfill", "T-1"))
        shop.switch(Stage.MODERN)
        await shop.worker("worker-b").send("PUT", f"/orders/{key}/status", {"status": "paid"})
        async with shop.replaying():
            await shop.drained()
        (done,) = shop.desk.list_writes(state=WriteState.DONE)
        sent = shop.legacy.writes()[-1].headers["legacy-bridge-replay"]
        assert sent == done.intent.intent_id, "what the application is given to keep"
        log = Log()
        log.change("updated", int(key), datetime.now(UTC), {"state": "paid", "written_by": sent})
        log.change("updated", int(key), datetime.now(UTC), {"state": "paid", "written_by": None})
        reader(shop, log, datetime.now(UTC) - timedelta(hours=2)).step()
        (bypass,) = shop.findings.bypasses()
        assert (bypass.changes, bypass.entry) == (1, 1)

    with house(tmp_path, subject=ORDER, fields={"/status": "state"}, mark="written_by") as shop:
        asyncio.run(main(shop))


def test_while_nothing_is_journalled_nobody_is_past_the_gateway(shop: House) -> None:
    log = Log()
    log.change("updated", 7, datetime.now(UTC))
    reader(shop, log, None).step()
    assert not shop.findings.bypasses()
    assert [one.key for one in shop.findings.captured_keys(ORDER, 0, 10)] == ["7"]


class Table:
    """Rows as the log tells them."""

    def __init__(self) -> None:
        self.rows: dict[str, TableRow] = {}

    def row(self, subject: str, key: str) -> TableRow:
        assert subject == ORDER
        return self.rows.get(key, TableRow(True, None))


def test_a_table_is_compared_and_legacy_asked_about_what_differs_alone(shop: House) -> None:
    async def main() -> None:
        keys = await filled(shop, 4)
        table = Table()
        for key in keys:
            table.rows[key] = TableRow(True, {"state": shop.legacy.orders[key][-1], "id": int(key)})
        shop.findings.seen("captured", 9, [(ORDER, key) for key in keys], [])
        checker = Checker(
            sides=TableSides(shop.checker.sides, table),
            journal=shop.journal,
            groups=shop.journal,
            store=shop.findings,
            now=lambda: datetime.now(UTC),
            origins=BY_TABLE,
        )
        scrubber = Scrubber(
            checker=shop.checker,
            store=shop.findings,
            ids=shop.desk,
            now=lambda: datetime.now(UTC),
            tables=checker,
        )
        asked = len(shop.legacy.seen)
        assert await scrubber.step(shop.orders, CAPTURE) == 4
        assert await scrubber.step(shop.orders, CAPTURE) == 0
        assert not shop.open_keys()
        assert len(shop.legacy.seen) == asked, "nothing differs: legacy was not asked"
        shop.legacy.orders[keys[0]].append("changed by hand")
        table.rows[keys[0]] = TableRow(True, {"state": "changed by hand"})
        del table.rows[keys[2]], shop.legacy.orders[keys[2]]
        # Capture is behind: the application and modern have what the table does not show yet.
        table.rows[keys[1]] = TableRow(True, {"state": "old"})
        assert await scrubber.step(shop.orders, CAPTURE) == 4
        assert shop.open_keys() == {keys[0]: "changed", keys[2]: "extra"}
        assert {one.origin for one in shop.findings.findings()} == {"capture"}
        shop.modern.orders[shop.pairs()[keys[0]]].append("changed by hand")
        assert await scrubber.step(shop.orders, CAPTURE) == 0
        assert await scrubber.step(shop.orders, CAPTURE) == 4
        assert set(shop.open_keys()) == {keys[2]}, "what agrees again is forgotten"

    asyncio.run(main())
