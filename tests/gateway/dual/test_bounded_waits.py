"""Every wait of a write has an end, and its client an answer."""

import asyncio

import pytest

from bridge.model.errors import LaneBusy
from bridge.model.stage import Stage
from bridge.model.write import WriteIntent
from tests.gateway.dual.rig import GROUP, Rig
from tests.warrants import by


def test_a_lane_that_is_refused_though_nothing_holds_it_is_given_up_in_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def refuse(intent: WriteIntent) -> None:
        asked.append(intent)
        await asyncio.sleep(0)
        raise LaneBusy("cannot write: a write of the same key is on its way")

    async def check() -> None:
        rig.switch(Stage.DUAL)
        rig.desk.import_ids(GROUP, "order", [("1", "m-1")], by())
        worker = rig.worker(lane_wait_ms=60)
        monkeypatch.setattr(rig.journal, "open", refuse)
        async with asyncio.timeout(5):
            answer = await worker.send("PUT", "/orders/1/status", {"status": "paid"})
        assert answer.status == 503
        assert answer.header(b"legacy-bridge-error") == b"key-busy"
        assert 2 < len(asked) < 60  # With a pause between two looks.

    asyncio.run(check())
