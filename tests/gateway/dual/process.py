"""A gateway worker or the replayer as a process of its own, to be killed at any moment.

Run as `python -m tests.gateway.dual.process ROLE NAME FOLDER LEGACY_PORT MODERN_PORT ORDERS`. A
writer writes without end, from several clients at once, and prints one line for each answer.
"""

import asyncio
import random
import sys
from pathlib import Path
from typing import NamedTuple

from bridge.gateway.dual.admission import WriteLimits
from bridge.gateway.dual.replay_service import ReplayService
from bridge.gateway.dual.replayer import ReplayLimits
from bridge.gateway.dual.writer import DualWriter
from bridge.gateway.upstream_ports import Upstream
from bridge.storage.generation import Generation
from bridge.storage.journal.owner import FileLock, OwnerLocks
from bridge.storage.journal.sqlite import SqliteJournal
from tests.gateway.dual.raw_upstream import RawUpstream
from tests.gateway.dual.rig import Worker, find_route, value_of
from tests.waiting import wait_until_async

_CLIENTS = 4


class Place(NamedTuple):
    """Where everything is."""

    folder: Path
    legacy_port: int
    modern_port: int

    def upstreams(self) -> dict[str, Upstream]:
        """Return both sides, by the names that routes use."""
        return {
            "legacy-app": RawUpstream(self.legacy_port),
            "modern-orders": RawUpstream(self.modern_port),
        }

    @property
    def owners(self) -> OwnerLocks:
        """Return the locks of workers."""
        return OwnerLocks(self.folder / "owners")


async def write(name: str, place: Place, orders: list[str]) -> None:
    """Write without end, following every switch."""
    lock = place.owners.take(name)
    journal = SqliteJournal(place.folder / "journal.db")
    generation = Generation.open(place.folder / "generation")
    slot = generation.claim_slot(name)
    worker = Worker(
        lambda redecide: DualWriter(
            journal=journal,
            ids=journal,
            upstreams=place.upstreams(),
            owner=name,
            redecide=redecide,
            limits=WriteLimits(lane_wait_ms=300, drain_wait_ms=100),
        ),
        journal,
    )

    async def follow() -> None:
        while True:
            current = generation.current()
            worker.refresh()
            generation.adopted(slot, current)
            await wait_until_async(lambda: generation.current() != current, timeout_s=3600)  # noqa: B023  # awaited at once

    async def client(number: int) -> None:
        chance = random.Random(f"{name}/{number}")
        for turn in range(1_000_000):
            status = f"{name}/{number}/{turn}"
            if chance.random() < 0.1:
                answer = await worker.send("POST", "/orders", {"status": status})
                order_id = str(value_of(answer).get("order_id"))
            else:
                order_id = chance.choice(orders)
                target = f"/orders/{order_id}/status"
                answer = await worker.send("PUT", target, {"status": status})
            print(answer.status, order_id, status, flush=True)

    await asyncio.gather(follow(), *(client(number) for number in range(_CLIENTS)))
    lock.close()


async def replay(place: Place) -> None:
    """Replay without end."""
    with FileLock.take(place.folder / "replay.lock"):
        journal = SqliteJournal(place.folder / "journal.db")
        service = ReplayService(
            journal=journal,
            upstreams=place.upstreams(),
            route=find_route,
            alive=place.owners.alive,
            owner="replay",
            limits=ReplayLimits(backoff_ms_max=200, sweep_ms=50),
        )
        await service.run(asyncio.Event())


def main(role: str, name: str, folder: str, legacy_port: str, modern_port: str, ids: str) -> None:
    """Run one role until killed."""
    place = Place(Path(folder), int(legacy_port), int(modern_port))
    asyncio.run(write(name, place, ids.split(",")) if role == "write" else replay(place))


if __name__ == "__main__":
    main(*sys.argv[1:])
