"""Writes that are carried without a task keep the promise that those with one keep."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from adapters.upstream.client import UpstreamClient
from adapters.upstream.pool import Pool
from bridge.gateway.dual.plain_writes import is_plain
from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule, Route
from bridge.gateway.routes.sections.dual import DualRules
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side, Stage
from bridge.model.write import WriteState
from bridge.storage.journal import file as journal_file
from bridge.storage.journal import postgres_connection
from tests.gateway.dual.peer import ActThenAnswer, ActThenFail, Hold, Reject
from tests.gateway.dual.rig import GROUP, ROUTES, Rig, Worker, a_request
from tests.waiting import wait_until_async
from tests.warrants import by

PLAIN = dataclasses.replace(ROUTES["order-status"], ids=IdRules())
_S = WriteState


class Told:
    """Whoever waits for the answer of one write."""

    def __init__(self) -> None:
        self.heard: list[HttpResponse | tuple[int, bytes] | Exception] = []

    def answered(self, response: HttpResponse) -> None:
        """Remember."""
        self.heard.append(response)

    def relayed(self, head: ResponseHead, body: bytes) -> None:
        """Remember."""
        self.heard.append((head.status, body))

    def broke(self, exc: Exception) -> None:
        """Remember."""
        self.heard.append(exc)

    async def status(self) -> int:
        """Return the status of the one answer."""
        await wait_until_async(lambda: self.heard)
        (answer,) = self.heard
        assert not isinstance(answer, Exception), answer
        return answer.status if isinstance(answer, HttpResponse) else answer[0]


class HeldJournal:
    """A journal that keeps back what it would tell about intents, or about outcomes."""

    def __init__(self, journal: Any, method: str) -> None:
        self._journal = journal
        self._method = method
        self.kept: list[Callable[[], None]] = []

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._journal, name)
        if name != self._method:
            return inner

        def held(*args: Any, done: Callable[..., None], **kwargs: Any) -> None:
            inner(*args, **kwargs, done=lambda *told: self.kept.append(lambda: done(*told)))

        return held


class Scene:
    """The rig with pooled upstreams and a plain route."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.pools = {
            "legacy-app": Pool("legacy-app", "127.0.0.1", rig.legacy.port),
            "modern-orders": Pool("modern-orders", "127.0.0.1", rig.modern.port),
        }
        rig.upstreams = {name: UpstreamClient(pool) for name, pool in self.pools.items()}
        rig.legacy.orders["1"], rig.modern.orders["m-1"] = ["new"], ["new"]
        rig.desk.import_ids(GROUP, "order", [("1", "m-1")], by())
        rig.switch(Stage.DUAL)

    def begin(self, worker: Worker, status: str = "paid", *, route: Route = PLAIN) -> Told | None:
        """Begin a write of order 1; None when it is not taken."""
        request = a_request("PUT", "/orders/1/status", {"status": status})
        told = Told()
        decision = worker.decide(request)._replace(route=route)
        return told if worker.writer.begin(decision, request, wire_of(request), told) else None

    def state(self) -> WriteState:
        """Return the state of the one write."""
        (write,) = [write for state in _S for write in self.rig.desk.list_writes(state=state)]
        return write.state


def wire_of(request: HttpRequest) -> bytes:
    """Return a request as it goes over the wire."""
    lines = [b"%b %b HTTP/1.1" % (request.method, request.target), b"Host: a"]
    lines += [b"%b: %b" % field for field in request.headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(request.body), b"", request.body])


def play(rig: Rig, act: Callable[[Scene], Awaitable[None]]) -> None:
    """Run `act`, and let go of the connections."""

    async def run() -> None:
        scene = Scene(rig)
        try:
            await act(scene)
        finally:
            for pool in scene.pools.values():
                pool.close()

    asyncio.run(run())


async def _look(scene: Scene) -> None:
    """Ask the authority something, so that whatever was sent before has come there."""
    request = a_request("GET", "/orders/1")
    client = scene.rig.upstreams["legacy-app"]
    assert (await client.exchange(request, timeout_ms=5_000)).status == 200


def test_a_plain_write_reaches_both_sides(rig: Rig) -> None:
    async def act(scene: Scene) -> None:
        told = scene.begin(rig.worker())
        assert told is not None
        assert await told.status() == 200
        assert scene.state() is _S.APPLIED
        async with rig.replaying():
            await rig.drained()

    play(rig, act)
    assert rig.legacy.orders["1"] == rig.modern.orders["m-1"] == ["new", "paid"]


def test_nothing_is_sent_before_the_intent_is_durable(rig: Rig) -> None:
    async def act(scene: Scene) -> None:
        held = HeldJournal(rig.journal, "open_soon")
        rig.journal = held  # type: ignore[assignment]  # That is the test.
        told = scene.begin(rig.worker())
        assert told is not None
        await wait_until_async(lambda: held.kept)
        await _look(scene)
        assert not rig.legacy.writes()
        held.kept[0]()
        assert await told.status() == 200

    play(rig, act)


def test_nothing_is_told_before_the_outcome_is_durable(rig: Rig) -> None:
    async def act(scene: Scene) -> None:
        held = HeldJournal(rig.journal, "settle_soon")
        rig.journal = held  # type: ignore[assignment]  # That is the test.
        worker = rig.worker()
        told = scene.begin(worker)
        assert told is not None
        await wait_until_async(lambda: held.kept)
        await _look(scene)
        assert not told.heard
        assert scene.begin(worker, "sent") is None, "its turn is not over"
        held.kept[0]()
        assert await told.status() == 200

    play(rig, act)


@pytest.mark.parametrize(
    ("fault", "status", "state"),
    [
        (Reject(422), 422, _S.REJECTED),
        (Reject(503), 503, _S.REJECTED),
        (ActThenAnswer(502), 504, _S.IN_DOUBT),
        (ActThenFail(), 504, _S.IN_DOUBT),
    ],
)
def test_what_the_authority_answers_means_what_it_always_means(
    rig: Rig, fault: Any, status: int, state: WriteState
) -> None:
    async def act(scene: Scene) -> None:
        rig.legacy.faults.append(fault)
        told = scene.begin(rig.worker())
        assert told is not None
        assert await told.status() == status
        assert scene.state() is state

    play(rig, act)


def test_an_authority_that_cannot_be_reached_got_nothing(rig: Rig) -> None:
    async def act(scene: Scene) -> None:
        rig.legacy.stop()
        told = scene.begin(rig.worker())
        assert told is not None
        assert await told.status() == 503
        assert scene.state() is _S.FAILED

    play(rig, act)


def test_an_authority_that_is_silent_leaves_the_write_in_doubt(rig: Rig) -> None:
    async def act(scene: Scene) -> None:
        hold = Hold()
        rig.legacy.faults.append(hold)
        told = scene.begin(rig.worker(), route=dataclasses.replace(PLAIN, timeout_ms=200))
        assert told is not None
        assert await told.status() == 504
        assert scene.state() is _S.IN_DOUBT
        hold.released.set()

    play(rig, act)


def test_an_intent_that_a_switch_overtook_is_decided_again(rig: Rig) -> None:
    async def act(scene: Scene) -> None:
        worker = rig.worker()
        rig.switch(Stage.MODERN)
        told = scene.begin(worker)
        assert told is not None
        assert await told.status() == 200

    play(rig, act)
    assert rig.modern.orders["m-1"] == ["new", "paid"]
    assert not rig.legacy.writes()


def test_a_lane_that_another_process_holds_is_waited_for_in_turn(rig: Rig) -> None:
    async def act(scene: Scene) -> None:
        first, second = rig.worker("worker-a"), rig.worker("worker-b")
        hold = Hold()
        rig.legacy.faults.append(hold)
        one = scene.begin(first, "paid")
        await asyncio.to_thread(hold.arrived.wait, 10)
        two = scene.begin(second, "sent")
        assert one is not None
        assert two is not None
        assert scene.begin(second, "lost") is None, "the turn went on with the write"
        hold.released.set()
        assert [await one.status(), await two.status()] == [200, 200]

    play(rig, act)
    assert rig.legacy.orders["1"] == ["new", "paid", "sent"]
    assert rig.legacy.in_flight_max == 1


def test_a_write_ends_although_nobody_waits_and_the_worker_waits_for_it(rig: Rig) -> None:
    async def act(scene: Scene) -> None:
        worker = rig.worker()
        hold = Hold()
        rig.legacy.faults.append(hold)
        assert scene.begin(worker) is not None
        await asyncio.to_thread(hold.arrived.wait, 10)
        draining = asyncio.create_task(worker.writer.drain())
        await _look(scene)
        assert not draining.done()
        hold.released.set()
        await draining
        assert scene.state() is _S.APPLIED

    play(rig, act)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "BUSY_WAIT_S", 0.1)
    monkeypatch.setattr(postgres_connection, "_LOCK_TIMEOUT_MS", 100)


@pytest.mark.usefixtures("_impatient")
def test_without_an_intent_the_authority_is_not_called(rig: Rig) -> None:
    async def act(scene: Scene) -> None:
        with rig.journal_away():
            told = scene.begin(rig.worker())
            assert told is not None
            assert await told.status() == 503
        assert not rig.legacy.writes()

    play(rig, act)


@pytest.mark.usefixtures("_impatient")
def test_an_outcome_that_cannot_be_recorded_is_recorded_later(rig: Rig) -> None:
    async def act(scene: Scene) -> None:
        worker = rig.worker(settle_retry_ms=10)
        hold = Hold()
        rig.legacy.faults.append(hold)
        told = scene.begin(worker)
        assert told is not None
        await asyncio.to_thread(hold.arrived.wait, 10)
        with rig.journal_away():
            hold.released.set()
            assert await told.status() == 504
            assert scene.begin(worker, "sent") is None, "its turn is not over"
        await worker.writer.drain()
        assert scene.state() is _S.APPLIED

    play(rig, act)


def _with(**changes: Any) -> Route:
    return dataclasses.replace(PLAIN, **changes)


@pytest.mark.parametrize(
    "route",
    [
        ROUTES["order-status"],
        _with(key=KeyRule(place=KeyPlace.CREATED, name="/id")),
        *(
            _with(dual=DualRules.model_validate(rules))
            for rules in (
                {"level": "L1"},
                {"level": "L3"},
                {"idempotency": "required"},
                {"honours_keys": ["legacy"]},
                {"read_your_writes": "token"},
            )
        ),
    ],
)
def test_what_asks_for_more_is_left_to_a_task(route: Route) -> None:
    assert is_plain(PLAIN, Side.LEGACY)
    assert not is_plain(route, Side.LEGACY)


def test_a_stage_without_another_side_is_left_to_a_task(rig: Rig) -> None:
    async def act(scene: Scene) -> None:
        worker = rig.worker()
        request = a_request("PUT", "/orders/1/status", {"status": "paid"})
        decision: Decision = worker.decide(request)._replace(route=PLAIN, stage=Stage.LEGACY)
        assert not worker.writer.begin(decision, request, wire_of(request), Told())

    play(rig, act)
