"""One write through intent, authority, outcome and replay, with the faults of both sides."""

import asyncio

import pytest

from bridge.model.stage import Side, Stage
from bridge.model.write import WriteState
from tests.gateway.dual.peer import ActThenAnswer, ActThenFail, Hold, Reject, Slow
from tests.gateway.dual.rig import GROUP, Rig, Worker, value_of
from tests.waiting import wait_until_async
from tests.warrants import by


async def _create(worker: Worker) -> str:
    answer = await worker.send("POST", "/orders", {"status": "new"})
    assert answer.status == 201, answer
    return str(value_of(answer)["order_id"])


async def _put(worker: Worker, order_id: str, status: str, key: str | None = None) -> int:
    headers = ((b"Idempotency-Key", key.encode()),) if key else ()
    answer = await worker.send("PUT", f"/orders/{order_id}/status", {"status": status}, headers)
    return answer.status


def test_a_create_and_its_updates_reach_both_sides_by_their_own_ids(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        async with rig.replaying():
            order_id = await _create(worker)
            assert await _put(worker, order_id, "paid") == 200
            assert await _put(worker, order_id, "sent") == 200
            await rig.drained()
        assert rig.legacy.orders == {"1": ["new", "paid", "sent"]}
        assert rig.modern.orders == {"m-1": ["new", "paid", "sent"]}
        assert rig.pairs() == {"1": "m-1"}
        replays = rig.modern.writes()
        assert [seen.target for seen in replays] == [
            "/orders",
            "/orders/m-1/status",
            "/orders/m-1/status",
        ]
        for seen in replays:
            assert seen.headers["legacy-bridge-origin"] == "legacy"
            intent_id = seen.headers["legacy-bridge-replay"]
            # The gateway makes a key for its own replays only.
            assert seen.headers["idempotency-key"] == f'"{intent_id}"'
        assert all("idempotency-key" not in seen.headers for seen in rig.legacy.writes())

    asyncio.run(check())


def test_at_modern_the_roles_are_exchanged_and_either_id_works(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        async with rig.replaying():
            worker = rig.worker()
            old = await _create(worker)
            await rig.drained()
            rig.switch(Stage.MODERN)
            worker.refresh()
            new = await _create(worker)
            assert new == "m-2"
            answer = await worker.send("PUT", f"/orders/{old}/status", {"status": "paid"})
            assert value_of(answer) == {"side": "modern", "order_id": 1, "status": "paid"}
            assert await _put(worker, "m-1", "sent") == 200
            await rig.drained()
            read = await worker.send("GET", f"/orders/{old}")
            assert value_of(read) == {"side": "modern", "order_id": 1, "status": "sent"}
        assert rig.modern.orders == {"m-1": ["new", "paid", "sent"], "m-2": ["new"]}
        assert rig.legacy.orders == {"1": ["new", "paid", "sent"], "2": ["new"]}

    asyncio.run(check())


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500, 503])
def test_what_the_authority_refuses_is_answered_and_not_replayed(rig: Rig, status: int) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        rig.legacy.faults.append(Reject(status, body=b'{"why": "no"}'))
        answer = await worker.send("POST", "/orders", {"status": "new"})
        assert (answer.status, answer.body) == (status, b'{"why": "no"}')
        (write,) = rig.desk.list_writes(state=WriteState.REJECTED)
        assert write.reason == f"legacy answered {status}"
        assert not rig.desk.lane_counts()

    asyncio.run(check())


def test_a_dead_authority_fails_the_write_and_frees_its_key(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        order_id = await _create(worker)
        rig.legacy.stop()
        assert await _put(worker, order_id, "paid", key="k1") == 503
        rig.legacy.start()
        assert await _put(worker, order_id, "paid", key="k1") == 200
        assert rig.legacy.orders["1"] == ["new", "paid"]

    asyncio.run(check())


@pytest.mark.parametrize("fault", [ActThenFail(), ActThenAnswer(502), ActThenAnswer(504)])
def test_a_lost_answer_is_in_doubt_and_holds_the_key(
    rig: Rig, fault: ActThenFail | ActThenAnswer
) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker(lane_wait_ms=50)
        async with rig.replaying():
            order_id = await _create(worker)
            rig.legacy.faults.append(fault)
            lost = await worker.send(
                "PUT",
                f"/orders/{order_id}/status",
                {"status": "paid"},
                ((b"Idempotency-Key", b"k1"),),
            )
            assert lost.status == 504
            (write,) = rig.desk.list_writes()
            assert write.state is WriteState.IN_DOUBT
            assert lost.header(b"legacy-bridge-intent") == write.intent.intent_id.encode()
            # The key holds; a repeat is told so, and another key's writes go on.
            assert await _put(worker, order_id, "sent") == 503
            assert await _put(worker, order_id, "paid", key="k1") == 409
            assert await _create(worker) == "2"
            rig.desk.resolve(
                write.intent.intent_id, WriteState.APPLIED, warrant=by("ana", "seen in legacy")
            )
            assert await _put(worker, order_id, "sent") == 200
            assert await _put(worker, order_id, "paid", key="k1") == 409
            await rig.drained()
        assert rig.legacy.orders["1"] == ["new", "paid", "sent"] == rig.modern.orders["m-1"]

    asyncio.run(check())


def test_an_authority_that_answers_too_late_is_in_doubt(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        order_id = await _create(worker)
        hold = Hold()
        rig.legacy.faults.append(hold)
        assert await _put(worker, order_id, "paid") == 504
        hold.released.set()
        assert [write.state for write in rig.desk.list_writes()] == [WriteState.IN_DOUBT]

    asyncio.run(check())


def test_a_repeated_key_gets_the_stored_answer(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        key = ((b"Idempotency-Key", b'"k-1"'),)
        first = await worker.send("POST", "/orders", {"status": "new"}, key)
        again = await worker.send("POST", "/orders", {"status": "new"}, key)
        assert again == first
        assert rig.legacy.orders == {"1": ["new"]}
        other = await worker.send("POST", "/orders", {"status": "paid"}, key)
        assert other.status == 422
        foreign = await worker.send(
            "POST", "/orders", {"status": "new"}, (*key, (b"Authorization", b"Bearer other"))
        )
        # Another client's key is its own: the authority is asked, not the journal.
        assert foreign.status == 201
        assert len(rig.desk.list_writes(state=WriteState.APPLIED)) == 2
        for bad in ((b"",), (b"a", b"b"), (b"x" * 256,)):
            headers = tuple((b"Idempotency-Key", value) for value in bad)
            assert (await worker.send("POST", "/orders", {"status": "new"}, headers)).status == 400

    asyncio.run(check())


def test_a_key_that_is_still_running_is_a_conflict(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        hold = Hold()
        rig.legacy.faults.append(hold)
        key = ((b"Idempotency-Key", b"k"),)
        first = asyncio.create_task(worker.send("POST", "/orders", {"status": "new"}, key))
        await asyncio.to_thread(hold.arrived.wait, 10)
        assert (await worker.send("POST", "/orders", {"status": "new"}, key)).status == 409
        hold.released.set()
        assert (await first).status == 201

    asyncio.run(check())


def test_a_client_that_leaves_does_not_halve_its_write(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        hold = Hold()
        rig.legacy.faults.append(hold)
        sending = asyncio.create_task(worker.send("POST", "/orders", {"status": "new"}))
        await asyncio.to_thread(hold.arrived.wait, 10)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        hold.released.set()
        await worker.writer.drain()
        assert [write.state for write in rig.desk.list_writes(state=WriteState.APPLIED)] == [
            WriteState.APPLIED
        ]

    asyncio.run(check())


def test_writes_of_one_key_go_one_after_the_other_in_the_order_they_came(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        async with rig.replaying():
            order_id = await _create(worker)
            rig.legacy.faults.extend([Slow(0.05), Slow(0.0), Slow(0.03)])
            statuses = [f"s{number}" for number in range(8)]
            await asyncio.gather(*(_put(worker, order_id, status) for status in statuses))
            await rig.drained()
        assert rig.legacy.orders["1"] == ["new", *statuses] == rig.modern.orders["m-1"]

    asyncio.run(check())


def test_a_missing_key_is_refused_before_anything_is_called(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        answer = await worker.send("PUT", "/", {"status": "x"})
        assert answer.status == 400
        assert not rig.legacy.seen

    asyncio.run(check())


def test_at_stage_legacy_nothing_is_journalled(rig: Rig) -> None:
    async def check() -> None:
        worker = rig.worker()
        order_id = await _create(worker)
        assert await _put(worker, order_id, "paid") == 200
        assert not rig.desk.list_writes(state=WriteState.APPLIED)
        rig.legacy.stop()
        assert await _put(worker, order_id, "sent") == 503

    asyncio.run(check())


def test_what_modern_is_not_known_to_have_is_parked_until_its_id_is_imported(rig: Rig) -> None:
    async def check() -> None:
        worker = rig.worker()
        order_id = await _create(worker)  # Before the dual stage: modern never heard of it.
        rig.modern.orders["m-77"] = ["new"]
        rig.switch(Stage.DUAL)
        worker.refresh()
        async with rig.replaying():
            assert await _put(worker, order_id, "paid") == 200
            (write,) = await wait_until_async(rig.desk.list_writes)
            assert write.state is WriteState.PARKED
            assert write.reason == (
                "modern does not know the id of a 'order'; import it: `legacy-bridge ids import "
                f"orders order FILE`, then `writes replay {write.intent.intent_id}`"
            )
            assert not rig.modern.writes()
            assert rig.desk.import_ids(GROUP, "order", [(order_id, "m-77")], by()) == 1
            rig.desk.replay(write.intent.intent_id, warrant=by("ana", "imported"))
            await rig.drained()
        assert rig.modern.orders["m-77"] == ["new", "paid"]

    asyncio.run(check())


def test_a_stale_table_is_told_by_the_journal_and_decided_anew(rig: Rig) -> None:
    async def check() -> None:
        worker = rig.worker()  # Knows stage legacy, epoch 0.
        rig.switch(Stage.DUAL)
        worker.refresh()
        async with rig.replaying():
            order_id = await _create(worker)
            await rig.drained()
            rig.switch(Stage.MODERN)  # Nobody tells the worker.
            assert await _put(worker, order_id, "paid") == 200
            assert rig.modern.orders["m-1"] == ["new", "paid"]
            await rig.drained()
        assert worker.table.stage is Stage.MODERN
        assert rig.legacy.orders["1"] == ["new", "paid"]

    asyncio.run(check())


@pytest.mark.parametrize("back_to", [Stage.LEGACY, Stage.SHADOW])
def test_after_a_roll_back_an_undrained_key_stays_where_its_writes_are(
    rig: Rig, back_to: Stage
) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker(drain_wait_ms=30)
        async with rig.replaying():
            first, second = await _create(worker), await _create(worker)
            await rig.drained()
            rig.switch(Stage.MODERN)
            worker.refresh()
            rig.legacy.stop()  # Reverse replays cannot arrive.
            assert await _put(worker, first, "paid") == 200
            rig.switch(back_to)
            worker.refresh()
            # Sticky: the write and the read go where the key's last write is.
            assert await _put(worker, first, "sent") == 200
            assert rig.modern.orders["m-1"] == ["new", "paid", "sent"]
            read = await worker.send("GET", f"/orders/{first}")
            assert value_of(read)["side"] == "modern"
            state = rig.journal.lane_state(GROUP, f"order:{first}")
            assert state.unreplayed_to is Side.LEGACY
            # A key with nothing on its way is legacy's at once (which is down here).
            assert await _put(worker, second, "paid") == 503
            rig.modern.stop()
            assert await _put(worker, first, "lost?") == 503
            rig.legacy.start()
            await rig.drained()
        # Drained from the journal alone; modern is still dead.
        assert rig.legacy.orders["1"] == ["new", "paid", "sent"]
        assert await _put(worker, first, "closed") == 200
        assert rig.legacy.orders["1"] == ["new", "paid", "sent", "closed"]
        assert value_of(await worker.send("GET", f"/orders/{first}"))["side"] == "legacy"

    asyncio.run(check())
