"""Planted differences between two real applications are found and repaired through the journal."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.gateway.reconciliation.checking import Checked, Verdict
from bridge.gateway.reconciliation.findings import FindingState
from bridge.gateway.reconciliation.repairing import Plan, check_people
from bridge.gateway.reconciliation.scrubbing import IDS
from bridge.model.errors import ConfigInvalid, LaneBusy, StepForbidden
from bridge.model.stage import Side, Stage
from bridge.model.write import WriteKind, WriteState
from tests.gateway.dual.rig import GROUP
from tests.gateway.reconciliation.house import House, eventually_empty, house
from tests.warrants import by


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        yield made


async def filled(shop: House, count: int) -> list[str]:
    """Write orders through the gateway, until both sides have them; return their legacy ids."""
    shop.switch(Stage.DUAL)
    worker = shop.worker()
    for number in range(count):
        answer = await worker.send("POST", "/orders", {"status": f"s{number}"})
        assert answer.status == 201
    await eventually_empty(shop)
    return sorted(shop.pairs(), key=int)


def test_planted_differences_are_found_and_repaired_through_the_journal(shop: House) -> None:
    async def main() -> None:
        keys = await filled(shop, 12)
        pairs = shop.pairs()
        assert await shop.walk() == 12
        assert not shop.open_keys(), "two equal sides"

        changed, missing, extra = keys[1], keys[4], keys[9]
        shop.modern.orders[pairs[changed]].append("wrong")
        del shop.modern.orders[pairs[missing]]
        del shop.legacy.orders[extra]
        await shop.walk()
        assert shop.open_keys() == {changed: "changed", missing: "missing", extra: "extra"}
        found = shop.findings.finding(GROUP, "order", changed)
        assert found is not None
        assert found.fields == ("/status",)
        assert found.authority is Side.LEGACY

        for key in (changed, missing, extra):
            before = dict(shop.modern.orders)
            plan = await shop.repairer.plan(shop.orders, key)
            assert isinstance(plan, Plan)
            assert shop.modern.orders == before, "a plan changes nothing"
            intent_id = await shop.repairer.apply(plan)
            write = shop.desk.show(intent_id)
            assert write is not None
            assert (write.intent.kind, write.state) == (WriteKind.REPAIR, WriteState.APPLIED)
        assert {one.state for one in shop.findings.findings()} == {FindingState.REPAIRED}
        await eventually_empty(shop)
        assert shop.modern.orders[pairs[changed]][-1] == shop.legacy.orders[changed][-1]
        assert shop.modern.orders[pairs[missing]][-1] == shop.legacy.orders[missing][-1]
        assert pairs[extra] not in shop.modern.orders
        await shop.walk()
        assert not shop.open_keys(), "what no longer differs is forgotten"

    asyncio.run(main())


def test_a_value_that_flaps_is_no_finding(shop: House) -> None:
    async def main() -> None:
        keys = await filled(shop, 3)
        modern_id = shop.pairs()[keys[0]]

        async def flap(_: float) -> None:
            shop.modern.orders[modern_id].append(f"at {random.random()}")

        await flap(0)
        shop.checker._wait = flap
        checked = await shop.checker.check(shop.orders, keys[0], origin="walk")
        assert checked.verdict is Verdict.FLAPPING
        assert not shop.open_keys()

    asyncio.run(main())


def test_writes_under_way_make_no_finding(shop: House) -> None:
    async def main() -> None:
        keys = await filled(shop, 2)
        # Journalled, and nobody replays: modern is behind, which is no difference.
        await shop.worker("worker-b").send("PUT", f"/orders/{keys[0]}/status", {"status": "new"})
        checked = await shop.checker.check(shop.orders, keys[0], origin="walk")
        assert checked.verdict is Verdict.BUSY
        await shop.walk()
        assert not shop.open_keys()
        assert shop.scrubber.standing(shop.orders, IDS).busy == 1

    asyncio.run(main())


def test_no_false_finding_under_concurrent_writes(shop: House) -> None:
    async def main() -> None:
        keys = await filled(shop, 10)
        wrong = keys[3]
        shop.modern.orders[shop.pairs()[wrong]].append("planted")
        chance, stop = random.Random(11), asyncio.Event()

        async def writing(name: str) -> None:
            worker = shop.worker(name)
            while not stop.is_set():
                key = chance.choice([key for key in keys if key != wrong])
                status = {"status": f"w{chance.random()}"}
                answer = await worker.send("PUT", f"/orders/{key}/status", status)
                assert answer.status == 200

        async with shop.replaying():
            writers = [asyncio.create_task(writing(f"writer-{n}")) for n in range(3)]
            for _ in range(12):
                await shop.walk()
                assert set(shop.open_keys()) <= {wrong}
            stop.set()
            await asyncio.gather(*writers)
            await shop.drained()
        assert shop.open_keys() == {wrong: "changed"}
        await shop.walk()
        assert shop.open_keys() == {wrong: "changed"}

    asyncio.run(main())


def test_both_sides_are_read_after_a_sample_of_writes(shop: House) -> None:
    async def main() -> None:
        keys = await filled(shop, 3)
        assert (await shop.sampler.step(shop.orders)).looked == 3
        assert (await shop.sampler.step(shop.orders)).looked == 0, "each write once"
        worker = shop.worker("worker-b")
        await worker.send("PUT", f"/orders/{keys[1]}/status", {"status": "new"})
        await eventually_empty(shop)
        shop.modern.orders[shop.pairs()[keys[1]]].append("lost update")
        sampled = await shop.sampler.step(shop.orders)
        assert (sampled.looked, sampled.differing) == (1, 1)
        assert shop.open_keys() == {keys[1]: "changed"}
        assert shop.findings.findings()[0].origin == "write"

    asyncio.run(main())


def test_a_walk_goes_on_where_it_stopped(shop: House) -> None:
    async def main() -> None:
        await filled(shop, 12)
        assert await shop.scrubber.step(shop.orders) == 5
        first = shop.scrubber.standing(shop.orders, IDS)
        assert (first.looked, first.rounds) == (5, 0)
        assert await shop.scrubber.step(shop.orders) == 5
        assert await shop.scrubber.step(shop.orders) == 2
        assert await shop.scrubber.step(shop.orders) == 0
        assert shop.scrubber.standing(shop.orders, IDS).rounds == 1
        ranges = shop.findings.ranges(GROUP, "order")
        assert sorted(one.keys for one in ranges) == [2, 5, 5]
        assert all(one.digest_authority == one.digest_other for one in ranges)

    asyncio.run(main())


def test_a_range_is_descended_into_on_difference_alone(shop: House) -> None:
    async def main() -> None:
        keys = await filled(shop, 5)
        before = len(shop.modern.seen)
        await shop.walk()
        assert len(shop.modern.seen) - before == 5, "one look at each"
        shop.modern.orders[shop.pairs()[keys[0]]].append("planted")
        before = len(shop.modern.seen)
        await shop.walk()
        assert len(shop.modern.seen) - before == 6, "a second look at the one that differs"

    asyncio.run(main())


def test_a_side_that_is_down_makes_no_finding(shop: House) -> None:
    async def main() -> None:
        keys = await filled(shop, 2)
        shop.modern.stop()
        checked = await shop.checker.check(shop.orders, keys[0], origin="walk")
        assert checked.verdict is Verdict.UNREADABLE
        await shop.walk()
        assert not shop.open_keys()
        shop.modern.start()

    asyncio.run(main())


def test_a_repair_yields_to_a_write_that_came_first(shop: House) -> None:
    async def main() -> None:
        (key,) = await filled(shop, 1)
        shop.modern.orders[shop.pairs()[key]].append("planted")
        plan = await shop.repairer.plan(shop.orders, key)
        assert isinstance(plan, Plan)
        await shop.worker("worker-b").send("PUT", f"/orders/{key}/status", {"status": "newer"})
        with pytest.raises(LaneBusy):
            await shop.repairer.apply(plan)
        await eventually_empty(shop)
        plan_or_not = await shop.repairer.plan(shop.orders, key)
        assert isinstance(plan_or_not, Checked)
        assert plan_or_not.verdict is Verdict.EQUAL

    asyncio.run(main())


def test_an_accepted_difference_stays_accepted_until_it_is_another(shop: House) -> None:
    async def main() -> None:
        (key,) = await filled(shop, 1)
        statuses = shop.modern.orders[shop.pairs()[key]]
        statuses.append("planted")
        await shop.walk()
        assert shop.findings.mark(
            GROUP, "order", key, FindingState.ACCEPTED, reason="agreed with the business"
        )
        await shop.walk()
        assert shop.findings.findings()[0].state is FindingState.ACCEPTED
        statuses.append("another")
        await shop.walk()
        assert shop.findings.findings()[0].state is FindingState.OPEN

    asyncio.run(main())


def test_nothing_is_repaired_where_nothing_is_replayed(shop: House) -> None:
    async def main() -> None:
        (key,) = await filled(shop, 1)
        shop.switch(Stage.LEGACY)
        with pytest.raises(StepForbidden, match="nothing is replayed"):
            await shop.repairer.plan(shop.orders, key)

    asyncio.run(main())


def test_what_routes_do_not_say_is_not_repaired(tmp_path: Path) -> None:
    async def main() -> None:
        with house(tmp_path, repair={}) as shop:
            (key,) = await filled(shop, 1)
            shop.modern.orders[shop.pairs()[key]].append("planted")
            with pytest.raises(ConfigInvalid, match=r"declares no 'reconcile\.repair\.put'"):
                await shop.repairer.plan(shop.orders, key)

    asyncio.run(main())


def test_a_bulk_needs_two_people() -> None:
    check_people(1, by("one", "x"), None)
    check_people(20, by("many", "x"), "bob")
    with pytest.raises(ConfigInvalid, match="--approver"):
        check_people(2, by("many", "x"), None)
    with pytest.raises(ConfigInvalid, match="another person"):
        check_people(2, by("many", "x"), by("many", "x").actor.id)
