"""What clients hear while the journal cannot be written."""

import asyncio

import pytest

from bridge.model.stage import Stage
from bridge.model.write import WriteState
from bridge.storage.journal import file as journal_file
from bridge.storage.journal import postgres_connection
from tests.gateway.dual.peer import Hold
from tests.gateway.dual.rig import Rig, value_of
from tests.waiting import wait_until_async


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "BUSY_WAIT_S", 0.1)
    monkeypatch.setattr(postgres_connection, "_LOCK_TIMEOUT_MS", 100)


def test_without_an_intent_the_authority_is_not_called(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        with rig.journal_away():
            answer = await worker.send("POST", "/orders", {"status": "new"})
            assert answer.status == 503
            assert answer.header(b"legacy-bridge-error") == b"journal-unavailable"
            assert answer.header(b"retry-after") is not None
            assert not rig.legacy.seen
            # Reads go on.
            assert (await worker.send("GET", "/orders/1")).status == 404
        assert (await worker.send("POST", "/orders", {"status": "new"})).status == 201

    asyncio.run(check())


def test_an_outcome_that_cannot_be_recorded_is_not_told_and_not_forgotten(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker(settle_retry_ms=10)
        hold = Hold()
        rig.legacy.faults.append(hold)
        sending = asyncio.create_task(worker.send("POST", "/orders", {"status": "new"}))
        await asyncio.to_thread(hold.arrived.wait, 10)
        with rig.journal_away():
            hold.released.set()
            answer = await sending
            # The authority did it, but an answer that is not durable would be a promise.
            assert (answer.status, value_of(answer)["status"]) == (504, 504)
        await worker.writer.drain()
        (write,) = rig.desk.list_writes(state=WriteState.APPLIED)
        assert write.intent.lane == "order:1"
        async with rig.replaying():
            await rig.drained()
        assert rig.modern.orders == {"m-1": ["new"]}
        assert await wait_until_async(lambda: rig.observer.notes("outcome_not_recorded"))

    asyncio.run(check())
