"""Replay: in order, through every fault of the other side, and never silently given up."""

import asyncio
import time
from contextlib import closing
from dataclasses import replace

import pytest

from bridge.gateway.dual.replay_breaker import FAILURES_MAX, PROBE_PAUSE_S_MAX, Breaker
from bridge.model.stage import Side, Stage
from bridge.model.write import JournalledWrite, WriteState
from tests.gateway.dual.peer import ActThenAnswer, ActThenFail, Hold, Peer, Reject, Slow
from tests.gateway.dual.raw_upstream import RawUpstream
from tests.gateway.dual.rig import GROUP, ROUTES, Rig, Worker, value_of
from tests.waiting import wait_until_async
from tests.warrants import by


async def _create(worker: Worker) -> str:
    answer = await worker.send("POST", "/orders", {"status": "new"})
    return str(value_of(answer)["order_id"])


async def _put(worker: Worker, order_id: str, status: str) -> None:
    answer = await worker.send("PUT", f"/orders/{order_id}/status", {"status": status})
    assert answer.status == 200


def _modern_equals_legacy(rig: Rig) -> None:
    pairs = rig.pairs()
    assert set(pairs) == set(rig.legacy.orders)
    for legacy_id, modern_id in pairs.items():
        assert rig.modern.orders[modern_id] == rig.legacy.orders[legacy_id]


def test_passing_faults_of_the_other_side_are_retried_in_order(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        rig.modern.faults.extend(
            [Reject(503), Reject(429, retry_after="0"), ActThenFail(), Slow(0.02), Reject(408)]
        )
        async with rig.replaying(backoff_ms_min=2, backoff_ms_max=20):
            order_id = await _create(worker)
            for status in ("paid", "packed", "sent"):
                await _put(worker, order_id, status)
            await rig.drained()
        assert rig.modern.orders == {"m-1": ["new", "paid", "packed", "sent"]}
        _modern_equals_legacy(rig)
        done = rig.desk.list_writes(state=WriteState.DONE)
        assert max(write.attempts for write in done) > 1

    asyncio.run(check())


def test_a_create_whose_answer_was_lost_there_is_not_made_twice(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        rig.modern.faults.append(ActThenFail())
        # A side without idempotency keys, which refuses what it has already.
        rig.modern.faults.append(Reject(409, body=b'{"error": "exists", "order_id": "m-1"}'))
        async with rig.replaying(backoff_ms_min=2):
            order_id = await _create(worker)
            await rig.drained()
            await _put(worker, order_id, "paid")
            await rig.drained()
        assert rig.modern.orders == {"m-1": ["new", "paid"]}

    asyncio.run(check())


@pytest.mark.parametrize("status", [302, 304, 400, 404, 409, 422])
def test_a_refusal_parks_its_lane_and_no_other(rig: Rig, status: int) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        async with rig.replaying():
            first, second = await _create(worker), await _create(worker)
            await rig.drained()
            rig.modern.faults.append(Reject(status))
            await _put(worker, first, "paid")
            (write,) = await wait_until_async(rig.desk.list_writes)
            assert (write.state, write.reason) == (
                WriteState.PARKED,
                f"modern answered {status}",
            )
            await _put(worker, first, "sent")
            await _put(worker, second, "paid")
            await wait_until_async(lambda: rig.modern.orders["m-2"] == ["new", "paid"])
            assert rig.modern.orders["m-1"] == ["new"]
            rig.desk.skip(write.intent.intent_id, warrant=by("ana", "entered by hand"))
            await rig.drained()
        assert rig.modern.orders["m-1"] == ["new", "sent"]

    asyncio.run(check())


def test_a_redirection_is_done_where_the_authority_gave_the_same_one(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        async with rig.replaying():
            order_id = await _create(worker)
            await rig.drained()
            rig.legacy.faults.append(ActThenAnswer(303))
            rig.modern.faults.append(ActThenAnswer(303))
            answer = await worker.send("PUT", f"/orders/{order_id}/status", {"status": "paid"})
            assert answer.status == 303
            await rig.drained()
            rig.legacy.faults.append(ActThenAnswer(303))
            rig.modern.faults.append(Reject(302))
            await worker.send("PUT", f"/orders/{order_id}/status", {"status": "sent"})
            (write,) = await wait_until_async(rig.desk.list_writes)
        assert rig.modern.orders["m-1"] == ["new", "paid"]
        assert (write.state, write.reason) == (WriteState.PARKED, "modern answered 302")

    asyncio.run(check())


def test_what_is_gone_already_counts_as_deleted(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        async with rig.replaying():
            order_id = await _create(worker)
            await rig.drained()
            del rig.modern.orders["m-1"]
            answer = await worker.send("DELETE", f"/orders/{order_id}")
            assert answer.status == 204
            await rig.drained()
        (write,) = [
            write
            for write in rig.desk.list_writes(state=WriteState.DONE)
            if write.intent.route == "order-delete"
        ]
        assert write.reason == "modern answered 404: gone already"

    asyncio.run(check())


def test_an_answer_with_an_id_of_another_entity_parks(rig: Rig) -> None:
    async def check() -> None:
        rig.desk.import_ids(GROUP, "order", [("900", "m-1")], by())
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        async with rig.replaying():
            await _create(worker)
            (write,) = await wait_until_async(rig.desk.list_writes)
        assert write.state is WriteState.PARKED
        assert write.reason == (
            "cannot pair 'order' of group 'orders': modern answered with an id that belongs to "
            "another 'order'; compare both sides, then `writes skip ID` if that side has this "
            "write, else `writes replay ID`"
        )

    asyncio.run(check())


def test_a_side_that_is_down_under_load_and_comes_back_gets_everything_in_order(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        workers = [rig.worker("worker-a"), rig.worker("worker-b")]
        took: list[float] = []
        async with rig.replaying():
            orders = [await _create(workers[0]) for _ in range(12)]
            await rig.drained()
            rig.modern.stop()
            for turn in range(6):
                began = time.monotonic()
                await asyncio.gather(
                    *(
                        _put(workers[number % 2], order_id, f"s{turn}")
                        for number, order_id in enumerate(orders)
                    )
                )
                took.append(time.monotonic() - began)
            # While it is down it is asked only now and then.
            attempts = sum(write.attempts for write in _waiting(rig))
            assert attempts <= FAILURES_MAX + 20 * sum(took) + 16
            (count,) = rig.desk.lane_counts()
            assert (count.lanes, count.writes) == (12, 72)
            rig.modern.start()
            await rig.drained()
        _modern_equals_legacy(rig)

    asyncio.run(check())


def _waiting(rig: Rig) -> list[JournalledWrite]:
    return list(rig.desk.list_writes(state=WriteState.APPLIED, count_max=1000))


@pytest.mark.parametrize("limits", [{"concurrency_per_upstream": 2}, {"concurrency": 2}])
def test_lanes_go_side_by_side_within_the_limit(rig: Rig, limits: dict[str, int]) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        holds = [Hold(), Hold()]
        rig.modern.faults.extend(holds)
        async with rig.replaying(**limits):
            for _ in range(3):
                await _create(worker)
            for hold in holds:
                assert await asyncio.to_thread(hold.arrived.wait, 10)
            assert len(rig.modern.writes()) == 2
            for hold in holds:
                hold.released.set()
            await rig.drained()

    asyncio.run(check())


def test_a_slow_upstream_holds_up_no_lane_of_another(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        rig.desk.import_ids(GROUP, "order", [("1", "m-1"), ("2", "m-2"), ("3", "m-3")], by())
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        for number in (1, 2, 3):
            rig.legacy.orders[f"{number}"], rig.modern.orders[f"m-{number}"] = ["new"], ["new"]
        holds = [Hold(), Hold()]
        rig.modern.faults.extend(holds)
        rig.modern.orders["m-4"] = ["new"]
        async with rig.replaying(concurrency_per_upstream=2):
            for number in (1, 2, 3):
                await _put(worker, f"{number}", "paid")
            for hold in holds:
                assert await asyncio.to_thread(hold.arrived.wait, 10)
            rig.legacy.next_id = 4
            await _create(worker)
            await wait_until_async(lambda: other.orders, 5)
            # Its lane waits at the other upstream for its turn.
            await _put(worker, "4", "paid")
            assert rig.modern.orders["m-3"] == ["new"]
            for hold in holds:
                hold.released.set()
            await rig.drained()
        assert rig.modern.orders == {f"m-{number}": ["new", "paid"] for number in (1, 2, 3, 4)}

    with closing(Peer("other", "m-{}")) as other:
        other.next_id = 4
        rig.upstreams["other"] = RawUpstream(other.port)
        moved = {Side.LEGACY: "legacy-app", Side.MODERN: "other"}
        create = replace(ROUTES["order-create"], upstreams=moved)
        monkeypatch.setattr(
            rig, "route", lambda _, name: create if name == "order-create" else ROUTES[name]
        )
        asyncio.run(check())


def test_held_lanes_wait_and_go_on_when_resumed(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        rig.desk.hold_lanes(GROUP, held=True, warrant=by("ana", "modern is being loaded"))
        async with rig.replaying():
            order_id = await _create(worker)
            await _put(worker, order_id, "paid")
            other = await _create(worker)
            await _put(worker, other, "paid")
            assert not rig.modern.writes()
            rig.desk.hold_lanes(GROUP, held=False, warrant=by("ana", "loaded"))
            await rig.drained()
        _modern_equals_legacy(rig)

    asyncio.run(check())


def test_a_new_replayer_goes_on_where_the_last_one_ended(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        order_id = await _create(worker)
        for turn in range(5):
            async with rig.replaying():
                await _put(worker, order_id, f"s{turn}")
        async with rig.replaying():
            await rig.drained()
        _modern_equals_legacy(rig)

    asyncio.run(check())


def test_intents_of_a_dead_process_are_listed_within_a_second(rig: Rig) -> None:
    async def check() -> None:
        rig.switch(Stage.DUAL)
        worker = rig.worker("worker-a")
        hold = Hold()
        rig.legacy.faults.append(hold)
        sending = asyncio.create_task(_create(worker))
        await asyncio.to_thread(hold.arrived.wait, 10)
        async with rig.replaying():
            rig.alive = lambda owner: owner != "worker-a"
            (write,) = await wait_until_async(rig.desk.list_writes, timeout_s=1)
            assert write.state is WriteState.IN_DOUBT
            hold.released.set()
            # The process was not dead after all, and what it saw is no guess.
            assert await sending == "1"
            await rig.drained()
        _modern_equals_legacy(rig)

    asyncio.run(check())


def _opened() -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_MAX):
        assert breaker.admits(0.0)
        breaker.failed(0.0, 0.5)
    return breaker


def test_an_open_breaker_admits_one_probe_at_a_time() -> None:
    breaker = _opened()
    assert not breaker.admits(0.01)
    assert breaker.admits(PROBE_PAUSE_S_MAX)
    assert not breaker.admits(PROBE_PAUSE_S_MAX)
    breaker.succeeded()
    assert [breaker.admits(PROBE_PAUSE_S_MAX) for _ in range(3)] == [True, True, True]


def test_probes_grow_rarer_up_to_a_bound() -> None:
    breaker = _opened()
    now = 0.0
    for _ in range(50):
        now += PROBE_PAUSE_S_MAX
        assert breaker.admits(now)
        breaker.failed(now, 0.999)
        assert not breaker.admits(now + 0.05)
