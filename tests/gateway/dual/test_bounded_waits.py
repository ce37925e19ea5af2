"""Every wait of a write has an end, and its client an answer."""

import asyncio

import pytest

from bridge.model.errors import LaneBusy
from bridge.model.http import Headers
from bridge.model.stage import Stage
from bridge.model.write import WriteIntent
from tests.gateway.dual.peer import ActThenFail
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


@pytest.mark.parametrize("headers", [(), ((b"Idempotency-Key", b"k"),)], ids=["no key", "key"])
def test_an_answer_without_an_outcome_says_when_and_how_to_ask(rig: Rig, headers: Headers) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        rig.desk.import_ids(GROUP, "order", [("1", "m-1")], by())
        rig.legacy.faults.append(ActThenFail())
        answer = await rig.worker().send("PUT", "/orders/1/status", {"status": "paid"}, headers)
        assert (answer.status, answer.header(b"legacy-bridge-error")) == (504, b"write-in-doubt")
        assert answer.header(b"retry-after") == b"30"
        # Only who has a key of its own can ask with it.
        assert (b"Idempotency-Key returns the outcome" in answer.body) is bool(headers)

    asyncio.run(check())
