"""Reconciliation as it runs beside the replay: by itself, at its own pace, and never ending it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bridge.gateway.reconciliation.patrol import Patrol
from bridge.gateway.reconciliation.scrubbing import IDS
from bridge.model.stage import Stage
from tests.eventlog.history.logs import ORDER
from tests.gateway.reconciliation.house import House, house
from tests.gateway.reconciliation.test_captured import Log, reader
from tests.gateway.reconciliation.test_reconciliation import filled


class Clock:
    """Monotonic seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def patrol(shop: House, clock: Clock, log: Log | None = None) -> Patrol:
    began = datetime.now(UTC) - timedelta(hours=2)
    return Patrol(
        rules=lambda: [shop.orders],
        checker=shop.checker,
        scrubber=shop.scrubber,
        sampler=shop.sampler,
        captured=None if log is None else reader(shop, log, began),
        observer=shop.observer,
        clock=clock,
    )


def test_it_reads_at_the_entitys_own_rate(tmp_path: Path) -> None:
    async def main() -> None:
        with house(tmp_path, keys_per_s=5, sample=0.0) as shop:
            await filled(shop, 12)
            clock = Clock()
            walking = patrol(shop, clock)
            before = len(shop.legacy.seen)
            await walking.turn()
            await walking.turn()
            assert len(shop.legacy.seen) - before == 5, "five keys in a second"
            clock.now = 1.01
            await walking.turn()
            assert len(shop.legacy.seen) - before == 10
            clock.now = 2.02
            await walking.turn()
            clock.now = 3.03
            await walking.turn()
            assert shop.scrubber.standing(shop.orders, IDS).rounds == 1
            assert [note.facts["keys"] for note in shop.observer.notes("reconciled")] == [12]

    asyncio.run(main())


def test_it_finds_what_differs_and_what_went_past_the_gateway(tmp_path: Path) -> None:
    async def main() -> None:
        with house(tmp_path, subject=ORDER) as shop:
            keys = await filled(shop, 3)
            shop.modern.orders[shop.pairs()[keys[0]]].append("planted")
            log = Log()
            log.change("updated", int(keys[1]), datetime.now(UTC) - timedelta(hours=1))
            await patrol(shop, Clock(), log).turn()
            assert shop.open_keys() == {keys[0]: "changed"}
            assert [one.key for one in shop.findings.bypasses()] == [keys[1]]

    asyncio.run(main())


def test_it_looks_at_nothing_where_modern_is_not_kept_up(tmp_path: Path) -> None:
    async def main() -> None:
        with house(tmp_path) as shop:
            await filled(shop, 2)
            shop.switch(Stage.LEGACY)
            before = len(shop.legacy.seen)
            await patrol(shop, Clock()).turn()
            assert len(shop.legacy.seen) == before

    asyncio.run(main())


def test_it_outlives_a_store_that_cannot_be_read(tmp_path: Path) -> None:
    async def main() -> None:
        with house(tmp_path) as shop:
            await filled(shop, 1)
            stop = asyncio.Event()
            running = asyncio.create_task(patrol(shop, Clock()).run(stop))
            shop.findings.close()
            await shop.observer.await_note_async("reconcile_failed")
            stop.set()
            await running

    asyncio.run(main())
