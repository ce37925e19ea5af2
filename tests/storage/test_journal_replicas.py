"""Switches and leases over several machines: who may journal, who hears what."""

import asyncio
import threading
from collections.abc import Callable

import psycopg
import pytest

from bridge.model.errors import StaleEpoch, StorageUnavailable
from bridge.model.stage import Stage
from bridge.model.write import WriteState
from bridge.storage.journal import postgres_connection
from bridge.storage.journal.postgres_replicas import PostgresReplicas
from tests.storage.journal_kit import Books, an_answer, an_intent
from tests.waiting import wait_until, wait_until_async
from tests.warrants import by
from tests.wire import Wire


def test_a_switch_waits_for_batches_and_fences_what_comes_later(
    journal_dsn: str, shared: Books
) -> None:
    switched = threading.Event()

    def switch() -> None:
        shared.desk.switch("orders", Stage.DUAL, expected_epoch=0, warrant=by("ana", "begin"))
        switched.set()

    with psycopg.connect(journal_dsn) as batch:
        key = postgres_connection.lock_key("group", "orders")
        batch.execute("SELECT pg_advisory_xact_lock_shared(%s)", (key,))
        thread = threading.Thread(target=switch)
        thread.start()
        assert not switched.wait(0.2)
        batch.commit()
    thread.join()

    async def check() -> None:
        with pytest.raises(StaleEpoch):
            await shared.journal.open(an_intent(epoch=0))
        await shared.journal.open(an_intent(epoch=1))

    asyncio.run(check())


def test_opens_and_a_switch_at_once_leave_no_old_epoch_behind(shared: Books) -> None:
    async def check() -> None:
        opening = [
            asyncio.create_task(shared.journal.open(an_intent(lane=f"order:{number}", epoch=0)))
            for number in range(200)
        ]
        await asyncio.to_thread(
            shared.desk.switch,
            "orders",
            Stage.DUAL,
            expected_epoch=0,
            warrant=by("ana", "begin"),
        )
        after = asyncio.get_running_loop().time()
        results = await asyncio.gather(*opening, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), StaleEpoch}
        assert after
        with pytest.raises(StaleEpoch):
            await shared.journal.open(an_intent(epoch=0))

    asyncio.run(check())


def test_a_replica_cannot_journal_after_its_lease(journal_dsn: str, shared: Books) -> None:
    async def check() -> None:
        with pytest.raises(StorageUnavailable, match="lease of replica stranger is over"):
            await shared.journal.open(an_intent(owner="stranger"))
        other = PostgresReplicas(journal_dsn, lease_s=0.3)
        other.take("short")
        intent = an_intent(owner="short")
        await shared.journal.open(intent)
        assert other.alive("short")
        other._closing = True  # Its thread stands still: nothing is renewed any more.
        await wait_until_async(lambda: not other.alive("short"))
        with pytest.raises(StorageUnavailable, match="lease"):
            await shared.journal.open(an_intent(owner="short"))
        # What it had begun is found; its outcome is still taken, should it come back.
        assert await shared.journal.orphan("short") == [intent.intent_id]
        await shared.journal.settle(intent.intent_id, WriteState.APPLIED, response=an_answer())
        other.close()

    asyncio.run(check())


def test_a_replica_behind_a_dead_wire_cannot_journal_and_is_outlived(
    journal_dsn: str, wire: Callable[[int | str], Wire], shared: Books
) -> None:
    cut = wire(journal_dsn)
    far = PostgresReplicas(cut.through(journal_dsn), lease_s=0.5)
    far.take("far")
    alone = far.take_alone("replay")
    near = PostgresReplicas(journal_dsn, lease_s=0.5)
    with pytest.raises(StorageUnavailable, match="another process holds it"):
        near.take_alone("replay")
    assert alone.held()
    cut.deaf()
    cut.refuse()

    def taken() -> bool:
        try:
            near.take_alone("replay")
        except StorageUnavailable:
            return False
        # Nobody else took it while the far one still believed to have it.
        assert not alone.held()
        return True

    wait_until(taken, timeout_s=10)
    assert not near.alive("far")
    cut.cut()
    far.close()
    near.close()


def test_a_switch_wakes_replicas_of_other_machines(journal_dsn: str) -> None:
    one, other = (PostgresReplicas(journal_dsn, lease_s=60) for _ in range(2))
    one.take("a")
    slot = one.claim_slot("a")
    [seen] = other.live_slots()
    assert (seen.owner, seen.slot) == ("a", slot)
    number = other.bump()
    # Renewed every 15 s: this is the notification.
    wait_until(lambda: one.current() == number, timeout_s=10)
    one.adopted(slot, number)
    wait_until(lambda: other.live_slots()[0].adopted == number, timeout_s=10)
    one.release_slot(slot)
    assert not other.live_slots()
    one.close()
    other.close()
