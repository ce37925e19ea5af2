"""Two answers meet, whichever comes first; what they come to, and why some never meet."""

import itertools
import random
import threading

import pytest

from bridge.gateway.comparison.ports import RouteNews
from bridge.gateway.dual.ports import IdPair, LaneState
from bridge.gateway.http.problems import problem
from bridge.gateway.plane.tap import Followed
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.gateway.shadow.limits import ShadowLimits
from bridge.gateway.shadow.mirror import Mirror
from bridge.model.http import HttpResponse
from bridge.model.stage import Side
from tests.gateway.http.rig import RecordingWritePath
from tests.gateway.http.upstream import Behaviour, replies
from tests.gateway.http.wire import GET, Message, Wire
from tests.gateway.shadow.rig import (
    EVERYTHING,
    ShadowGateway,
    all_of,
    json_answer,
    ports_of,
    sides,
)
from tests.waiting import wait_until

ONE, TWO = json_answer(b'{"a": 1}'), json_answer(b'{"a": 2}')
ALWAYS = ComparisonRules(noise_fraction=1.0)


def after(gate: threading.Event, raw: bytes) -> Behaviour:
    """Answer when the gate is open."""

    def behave(wire: Wire, _: Message) -> None:
        gate.wait(10)
        wire.send(raw)

    return behave


def in_turn(*answers: bytes) -> Behaviour:
    """Answer with one after the other, and go on with the last."""
    left = itertools.chain(answers, itertools.repeat(answers[-1]))
    return lambda wire, _: wire.send(next(left))


def get(gateway: ShadowGateway, target: bytes = b"/x") -> Message:
    """Send one request and return its answer."""
    with gateway.connect() as client:
        client.send(GET % target)
        return client.message()


def news(gateway: ShadowGateway) -> RouteNews:
    """Return what the worker would tell the store."""
    told: list[RouteNews] = []
    gateway.in_loop(lambda: told.extend(gateway.book.drain()))
    (only,) = told
    return only


def seed_for(order: str) -> int:
    """Return a seed of which the first toss gives this order."""

    wanted = order == "together"
    return next(seed for seed in range(100) if (random.Random(seed).random() < 0.5) is wanted)


@pytest.mark.parametrize("first", ["authority", "copy"])
def test_both_orders_of_answers_are_compared(first: str) -> None:
    gate = threading.Event()
    with sides() as (legacy, modern):
        late, soon = (modern, legacy) if first == "authority" else (legacy, modern)
        late.default, soon.default = after(gate, ONE), replies(ONE)
        routes = [all_of()]
        with (
            ShadowGateway(
                ports_of(legacy, modern), routes=routes, seed=seed_for("together")
            ) as gateway,
            gateway.connect() as client,
        ):
            client.send(GET % b"/x")
            wait_until(lambda: soon.received and late.received)
            gate.set()
            assert client.message().body == b'{"a": 1}'
            counts = gateway.await_count("all.compared.identical")
    assert counts[f"all.first.{first}"] == 1


@pytest.mark.parametrize("order", ["together", "after"])
def test_the_order_of_the_calls_is_drawn_and_told(order: str) -> None:
    gate = threading.Event()
    with sides() as (legacy, modern):
        legacy.default, modern.default = after(gate, ONE), replies(ONE)
        with (
            ShadowGateway(
                ports_of(legacy, modern), routes=[all_of()], seed=seed_for(order)
            ) as gateway,
            gateway.connect() as client,
        ):
            client.send(GET % b"/x")
            wait_until(lambda: legacy.received)
            if order == "together":
                wait_until(lambda: modern.received)
            else:
                gateway.counts()  # A turn of the loop in which the copy could have been sent.
                assert not modern.received
            gate.set()
            client.message()
            counts = gateway.await_count("all.compared.identical")
    assert counts[f"all.order.{order}.same"] == 1
    assert counts[f"all.skew.{order}.count"] == 1


def test_a_difference_that_is_gone_at_the_second_look_is_flapping() -> None:
    with sides() as (legacy, modern):
        legacy.default, modern.default = replies(TWO), in_turn(ONE, TWO)
        with ShadowGateway(ports_of(legacy, modern), routes=[all_of()]) as gateway:
            assert get(gateway).body == b'{"a": 2}'
            counts = gateway.await_count("all.compared.flapping")
            tally = news(gateway).counts
        marks = [message.one(b"Legacy-Bridge-Shadow") for message in legacy.received]
    assert counts["all.compared.mismatch"] == 0
    assert tally["flapping", ""] == 1
    assert marks == [None, b"probe"]
    assert len(modern.received) == 2


def test_a_difference_that_stays_is_a_mismatch_with_a_redacted_sample() -> None:
    with sides() as (legacy, modern):
        legacy.default, modern.default = replies(ONE), replies(json_answer(b'{"a": 424242}'))
        with ShadowGateway(ports_of(legacy, modern), routes=[all_of()]) as gateway:
            get(gateway)
            gateway.await_count("all.compared.mismatch")
            found = news(gateway)
    assert found.counts["field.confirmed", "/a"] == 1
    (sample,) = found.samples
    assert b"424242" not in sample.document


def test_legacy_that_differs_from_itself_is_noise() -> None:
    with sides() as (legacy, modern):
        bodies = (json_answer(b'{"id": 1, "at": %d}' % number) for number in range(100, 999))
        legacy.default = modern.default = lambda wire, _: wire.send(next(bodies))
        routes = [all_of(comparison=ALWAYS)]
        with ShadowGateway(ports_of(legacy, modern), routes=routes) as gateway:
            for number in range(5):
                get(gateway, b"/%d" % number)
                gateway.await_count("all.compared.noise", number + 1)
            counts = gateway.counts()
            tally = news(gateway).counts
        probes = [message for message in legacy.received if message.one(b"Legacy-Bridge-Shadow")]
    assert counts["all.probed.different"] == 5
    assert tally["field.noisy", "/at"] == tally["probed", ""] == 5
    assert ("field.confirmed", "/at") not in tally
    assert len(probes) == 10  # One by chance, and one at the second look, each.


def test_latencies_are_told_for_each_side() -> None:
    with (
        sides() as (legacy, modern),
        ShadowGateway(ports_of(legacy, modern), routes=[all_of()]) as gateway,
    ):
        get(gateway)
        counts = gateway.await_count("all.compared.identical")
        tally = news(gateway).counts
    assert counts["all.took.legacy.all.count"] == counts["all.took.modern.all.count"] == 1
    assert {of.split()[0] for name, of in tally if name == "latency"} == {"legacy", "modern"}


def own_answer() -> bytes:
    """Return what another gateway answers by itself."""
    response = problem(502, "upstream-lost", "x")
    fields = b"".join(b"%b: %b\r\n" % field for field in response.headers)
    return b"HTTP/1.1 502 Bad Gateway\r\n%bContent-Length: %d\r\n\r\n%b" % (
        fields, len(response.body), response.body,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mine", "theirs", "reason"),
    [
        (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", ONE, "conditional"),
        (ONE, own_answer(), "gateway_answer"),
        (ONE[:-2], ONE, "age"),
        (json_answer(b"x" * 2_000_000), ONE, "answer_too_large"),
    ],
)
def test_what_cannot_be_compared_is_counted_with_its_reason(
    mine: bytes, theirs: bytes, reason: str
) -> None:
    rules = EVERYTHING.model_copy(update={"timeout_ms": 200})
    with sides() as (legacy, modern):
        legacy.default, modern.default = replies(mine), replies(theirs)
        with (
            ShadowGateway(
                ports_of(legacy, modern), routes=[all_of(rules)], seed=seed_for("together")
            ) as gateway,
            gateway.connect() as client,
        ):
            client.send(GET % b"/x")
            gateway.await_count(f"all.uncompared.{reason}")
            assert gateway.mirror.budget.held == 0


def test_an_authority_that_fails_leaves_nothing_to_compare() -> None:
    with sides() as (legacy, modern):
        ports = ports_of(legacy, modern)
        legacy.close()
        with ShadowGateway(ports, routes=[all_of()], seed=seed_for("together")) as gateway:
            assert get(gateway).status == 502
            counts = gateway.counts()
    assert counts["all.shed.authority_failed"] + counts["all.uncompared.authority_failed"] == 1


def test_a_bug_of_the_tap_does_not_reach_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> Followed:
        raise RuntimeError

    rules = EVERYTHING.model_copy(update={"timeout_ms": 200})
    with (
        sides() as (legacy, modern),
        ShadowGateway(ports_of(legacy, modern), routes=[all_of(rules)]) as gateway,
    ):
        monkeypatch.setattr(Mirror, "_why_not", bug)
        assert get(gateway).status == 200
        monkeypatch.undo()
        monkeypatch.setattr("bridge.gateway.shadow.pair.Pair.on_answer", bug)
        assert get(gateway).status == 200
        # The client has its answer before the tap hears of it.
        wait_until(lambda: len(gateway.observer.notes("tap_failed")) == 2)
        monkeypatch.undo()
        monkeypatch.setattr("bridge.gateway.shadow.judge._why_not", bug)
        assert get(gateway).status == 200
        gateway.await_count("all.uncompared.comparison_failed")
        assert len(gateway.observer.notes("tap_failed")) == 3
        wait_until(lambda: not gateway.mirror.pairs, 10, "nothing to be held")
        assert gateway.mirror.budget.held == 0


class Pairs:
    """An id map with one pair."""

    def pair(self, group: str, entity: str, known_id: str) -> IdPair | None:
        """Return it for either id."""
        found = (group, entity) == ("orders", "order") and known_id in ("7", "m-70")
        return IdPair("order", "7", "m-70", "order:7") if found else None

    def pair_on(self, group: str, entity: str, side: Side, known_id: str) -> IdPair | None:
        """Return it for the side's id."""
        pair = self.pair(group, entity, known_id)
        return pair if pair is not None and pair.on(side) == known_id else None


class OneLane:
    """A journal of which a test sets the only lane."""

    def __init__(self) -> None:
        self.state = LaneState()
        self.asked: list[str] = []

    def lane_state(self, group: str, lane: str) -> LaneState:
        """Return it."""
        self.asked.append(lane)
        return self.state


def test_a_copy_carries_the_other_sides_ids_and_its_answer_is_read_with_them() -> None:
    ids = IdRules(path={"id": "order"}, response={"/order_id": "order"})
    path = RecordingWritePath()
    path.answer = HttpResponse(
        status=200, reason=b"OK", headers=((b"Content-Type", b"application/json"),),
        body=b'{"order_id":"7"}',
    )  # fmt: skip
    orders = all_of(route_id="orders", path="/orders/{id}", ids=ids)
    with sides() as (legacy, modern):
        modern.default = replies(json_answer(b'{"order_id":"m-70"}'))
        with ShadowGateway(
            ports_of(legacy, modern), routes=[orders], ids=Pairs(), write_path=path
        ) as gateway:
            assert get(gateway, b"/orders/7").body == b'{"order_id":"7"}'
            gateway.await_count("orders.compared.equal")
        assert [message.target for message in modern.received] == [b"/orders/m-70"]


def test_a_side_that_is_behind_by_what_is_still_replayed_to_it_is_not_wrong() -> None:
    key = KeyRule(place=KeyPlace.PATH, name="id", entity="order")
    orders = all_of(route_id="orders", path="/orders/{id}", key=key)
    lanes = OneLane()
    lanes.state = LaneState(unreplayed_to=Side.MODERN)
    with sides() as (legacy, modern):
        legacy.default, modern.default = replies(ONE), replies(TWO)
        with ShadowGateway(
            ports_of(legacy, modern), routes=[orders], ids=Pairs(), journal=lanes
        ) as gateway:
            get(gateway, b"/orders/7")
            gateway.await_count("orders.uncompared.lane_pending")
            lanes.state = LaneState()
            get(gateway, b"/orders/7")
            gateway.await_count("orders.compared.mismatch")
    assert set(lanes.asked) == {"order:7"}


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (ShadowLimits(waiting_max=3), "waiting_room"),
        (ShadowLimits(copies_max=3), "busy"),
        (ShadowLimits(bytes_max=10), "answer_too_large"),
    ],
)
def test_every_room_is_bounded(limits: ShadowLimits, reason: str) -> None:
    gate = threading.Event()
    with sides() as (legacy, modern):
        modern.default = after(gate, ONE)
        legacy.default = replies(json_answer(b'{"a": 1234567890}'))
        with ShadowGateway(
            ports_of(legacy, modern), routes=[all_of()], shadow_limits=limits
        ) as gateway:
            with gateway.connect() as client:
                for number in range(10):
                    client.send(GET % b"/%d" % number)
                    assert client.message().status == 200

            def has_shed() -> bool:
                counts = gateway.counts()
                return counts[f"all.shed.{reason}"] + counts[f"all.uncompared.{reason}"] > 0

            wait_until(has_shed)
            gate.set()
            wait_until(lambda: gateway.mirror.budget.held == 0)
