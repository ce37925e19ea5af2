"""Minutes and days of trouble in virtual time: the real writer, replayer and resolver, by seeds."""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bridge.gateway.dual.admission import WriteLimits
from bridge.gateway.dual.replay_service import ReplayService
from bridge.gateway.dual.replayer import ReplayLimits
from bridge.gateway.dual.resolver import ResolverLimits
from bridge.gateway.dual.writer import DualWriter
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.dual import DualRules
from bridge.model.errors import OutcomeUnknown, UpstreamUnavailable
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Stage
from bridge.model.write import WriteState
from bridge.storage.journal.memory import MemoryJournal
from bridge.storage.journal.memory_desk import MemoryJournalDesk
from tests.gateway.dual.rig import GROUP, ROUTES, a_request, decide
from tests.gateway.dual.virtual_time import clock, run_virtually
from tests.waiting import RecordingObserver, be_slow
from tests.warrants import by

ORDERS = 6
RULES = DualRules.model_validate(
    {
        "in_doubt": ["read"],
        "read": {"target": "/orders/{order_id}", "compare": {"/status": "/status"}},
        "quiet_ms": 2_000,
    }
)


class SimulatedSide:
    """One side in memory: down when told, and failing as its seed says."""

    def __init__(self, chance: random.Random, faults: float) -> None:
        self.applied: dict[str, list[str]] = {}
        self.down = False
        self.asked = 0
        """Writes that were sent, while down too."""
        self.refuse: int | None = None
        self.poison: dict[str, int] = {}
        """Order id → what each of its writes is answered."""
        self.poisoned = 0
        self._chance = chance
        self._faults = faults
        self._keys: set[bytes] = set()

    async def exchange(self, request: HttpRequest, *, timeout_ms: int) -> HttpResponse:
        """See `Upstream.exchange`."""
        await be_slow(self._chance.uniform(0.001, 0.02))
        if self.down:
            self.asked += request.method != b"GET"
            raise UpstreamUnavailable("cannot connect: it is down")
        order_id = request.target.decode().split("/")[2]
        values = self.applied.setdefault(order_id, [])
        if request.method == b"GET":
            return _answer(200, {"status": values[-1] if values else "new"})
        self.asked += 1
        if self.refuse is not None:
            return _answer(self.refuse, {})
        if order_id in self.poison:
            self.poisoned += 1
            return _answer(self.poison[order_id], {})
        draw = self._chance.random()
        if draw < self._faults / 3:
            return _answer(503, {})
        if draw < self._faults * 2 / 3:
            raise OutcomeUnknown("lost before it was carried out")
        status = json.loads(request.body)["status"]
        key = request.header(b"idempotency-key")
        if key is None or key not in self._keys:
            values.append(status)
        if key is not None:
            self._keys.add(key)
        if draw < self._faults:
            raise OutcomeUnknown("its answer was lost")
        return _answer(200, {"status": status})


def _answer(status: int, value: Any) -> HttpResponse:
    return HttpResponse(status=status, reason=b"", headers=(), body=json.dumps(value).encode())


class Simulation:
    """One gateway in memory, at stage dual."""

    def __init__(self, seed: int, faults: float = 0.1, look_s: float = 0.2) -> None:
        """`look_s` is how often the replayer looks: the shorter, the longer a day takes."""
        self._look_ms = int(look_s * 1000)
        self.chance = random.Random(seed)
        self.legacy = SimulatedSide(random.Random(seed + 1), faults / 4)
        self.modern = SimulatedSide(random.Random(seed + 2), faults)
        self.journal = MemoryJournal(clock=clock)
        self.desk = MemoryJournalDesk(self.journal.state)
        self.observer = RecordingObserver()
        self.acknowledged: list[tuple[str, str]] = []
        self.took: list[float] = []
        self._route = replace(ROUTES["order-status"], dual=RULES)
        self._stop = asyncio.Event()
        self._upstreams: Mapping[str, Any] = {
            "legacy-app": self.legacy,
            "modern-orders": self.modern,
        }

    def prepare(self) -> None:
        """Bring the group to stage dual."""
        self.desk.ensure_groups([GROUP])
        self.desk.switch(GROUP, Stage.DUAL, expected_epoch=0, warrant=by())
        pairs = [(str(number), f"m-{number}") for number in range(ORDERS)]
        self.desk.import_ids(GROUP, "order", pairs, by())
        self.writer = DualWriter(
            journal=self.journal,
            ids=self.journal,
            upstreams=self._upstreams,
            owner="worker",
            redecide=self._decide,
            limits=WriteLimits(look_again_ms=20),
            observer=self.observer,
        )

    def _decide(self, request: HttpRequest) -> Decision:
        return decide(self.journal.groups()[0], request)._replace(route=self._route)

    def _find(self, group: str, route_id: str) -> Route | None:
        return self._route

    async def replay(self) -> None:
        """Replay and resolve until `end`."""
        service = ReplayService(
            journal=self.journal,
            upstreams=self._upstreams,
            route=self._find,
            alive=lambda owner: True,
            owner="replay",
            observer=self.observer,
            now=clock,
            chance=self.chance.random,
            limits=ReplayLimits(poll_ms=self._look_ms, sweep_ms=5 * self._look_ms),
            resolver_limits=ResolverLimits(look_ms=self._look_ms),
        )
        await service.run(self._stop)

    def end(self) -> None:
        """End the replay."""
        self._stop.set()

    async def write(self, number: int, turn: int) -> None:
        """Write once, and remember what was acknowledged and how long it took."""
        status = f"s{number}-{turn}"
        request = a_request("PUT", f"/orders/{number}/status", {"status": status})
        began = asyncio.get_running_loop().time()
        answer = await self.writer.write(self._decide(request), request)
        self.took.append(asyncio.get_running_loop().time() - began)
        if answer.status == 200:
            self.acknowledged.append((str(number), status))

    async def traffic(self, seconds: float, pause_s: float) -> None:
        """Let a client per order write for a while."""
        until = asyncio.get_running_loop().time() + seconds

        async def client(number: int) -> None:
            turn = 0
            while asyncio.get_running_loop().time() < until:
                turn += 1
                await self.write(number, turn)
                await be_slow(pause_s * (0.5 + self.chance.random()))

        await asyncio.gather(*(client(number) for number in range(ORDERS)))

    async def drained(self, within_s: float) -> float:
        """Wait until nothing is in doubt and every lane is empty; return how long that took."""
        began = asyncio.get_running_loop().time()
        while self.desk.lane_counts() or self.desk.list_writes(state=WriteState.IN_DOUBT):
            took = asyncio.get_running_loop().time() - began
            assert took < within_s, (self.desk.lane_counts(), self.desk.list_writes())
            await be_slow(0.1)
        return asyncio.get_running_loop().time() - began

    def check(self) -> None:
        """Nothing acknowledged is lost, and both sides did the same in the same order."""
        for order_id, status in self.acknowledged:
            assert status in self.legacy.applied[order_id]
            assert status in self.modern.applied[f"m-{order_id}"]
        for order_id, values in self.legacy.applied.items():
            assert self.modern.applied.get(f"m-{order_id}", []) == values


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 10))]
)
def test_a_secondary_that_is_down_for_ten_minutes_gets_everything_in_order(seed: int) -> None:
    async def story() -> None:
        simulation = Simulation(seed)
        simulation.prepare()
        replaying = asyncio.create_task(simulation.replay())
        await simulation.traffic(20, 1.0)
        before = sorted(simulation.took)
        simulation.took.clear()
        simulation.modern.down = True
        asked = simulation.modern.asked
        await simulation.traffic(600, 8.0)
        # It is asked now and then whether it is back, and not for every write that waits.
        assert simulation.modern.asked - asked < 800
        # A write is not slower because the other side is down (those in doubt wait by themselves).
        during = sorted(simulation.took)
        assert during[len(during) * 9 // 10] <= before[len(before) * 9 // 10] * 1.25
        waiting = sum(count.writes for count in simulation.desk.lane_counts())
        assert waiting > 200
        simulation.modern.down = False
        assert await simulation.drained(within_s=240) < 240
        simulation.check()
        simulation.end()
        await replaying

    run_virtually(story())


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1_000, 1_100))
def test_any_seed_of_faults_and_outages_loses_nothing(seed: int) -> None:
    async def story() -> None:
        simulation = Simulation(seed, faults=0.4)
        simulation.prepare()
        replaying = asyncio.create_task(simulation.replay())
        for _ in range(4):
            simulation.modern.down = simulation.chance.random() < 0.5
            simulation.legacy.down = simulation.chance.random() < 0.2
            await simulation.traffic(simulation.chance.uniform(5, 120), 2.0)
        simulation.modern.down = simulation.legacy.down = False
        await simulation.drained(within_s=900)
        simulation.check()
        simulation.end()
        await replaying

    run_virtually(story())


def test_a_write_that_fails_for_a_day_is_parked_and_not_before() -> None:
    async def story() -> None:
        simulation = Simulation(1, faults=0.0, look_s=20.0)
        simulation.prepare()
        replaying = asyncio.create_task(simulation.replay())
        simulation.modern.refuse = 503
        await simulation.write(1, 1)
        await be_slow(23.9 * 3_600)
        assert not simulation.desk.list_writes(state=WriteState.PARKED)
        await be_slow(0.3 * 3_600)
        (write,) = simulation.desk.list_writes(state=WriteState.PARKED)
        assert write.reason == "modern answered 503, for more than 86400 s"
        # A person puts it back when the side works again: nothing of it was forgotten.
        simulation.modern.refuse = None
        simulation.desk.replay(write.intent.intent_id, by("ana", "it works again"))
        await simulation.drained(within_s=600)
        simulation.check()
        simulation.end()
        await replaying

    run_virtually(story())


def test_a_side_that_answers_503_is_asked_less_and_less_with_jitter() -> None:
    async def story() -> None:
        simulation = Simulation(3, faults=0.0)
        simulation.prepare()
        replaying = asyncio.create_task(simulation.replay())
        simulation.modern.refuse = 503
        await simulation.write(1, 1)
        await be_slow(60)
        first = simulation.modern.asked
        await be_slow(60)
        second = simulation.modern.asked - first
        assert second <= first
        assert first + second < 200
        simulation.end()
        await replaying

    run_virtually(story())


@pytest.mark.parametrize("status", [500, 503])
def test_a_write_at_which_the_side_fails_keeps_its_own_backoff(status: int) -> None:
    async def story() -> None:
        simulation = Simulation(5, faults=0.0)
        simulation.prepare()
        replaying = asyncio.create_task(simulation.replay())
        simulation.modern.poison["m-1"] = status
        await simulation.write(1, 0)
        await be_slow(600)
        # Ten doublings up to 30 s, then every 15 s in the mean.
        assert 20 < simulation.modern.poisoned < 10 + 1.7 * 600 / 15
        simulation.modern.poison.clear()
        await simulation.drained(within_s=60)
        simulation.check()
        simulation.end()
        await replaying

    run_virtually(story())
