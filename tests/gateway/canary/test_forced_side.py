"""Testers see the other side by a signed token: for reads alone, for one group, until a time."""

import asyncio
import base64
from collections.abc import Iterator

import pytest

from bridge.gateway.dual.ports import LaneState
from bridge.gateway.dual.side_tokens import SideTokens, Verdict
from bridge.gateway.http.head_reader import parse_request_head
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.table import RoutingTable
from bridge.model.stage import GroupState, Side, Stage
from tests.gateway.canary.rig import KEY, ROUTES, CanaryGateway, a_key, two_sides
from tests.gateway.dual.rig import GROUP, Rig, a_request, value_of
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import Message
from tests.warrants import by

NOW = 1_800_000_000.0
SOON = NOW + 60


def _tokens(now: float = NOW) -> SideTokens:
    return SideTokens(KEY, now=lambda: now)


def _head(*fields: str) -> bytes:
    return "\r\n".join(["GET /orders/1 HTTP/1.1", "Host: a", *fields]).encode()


def test_a_token_is_taken_out_of_fields_and_cookies() -> None:
    tokens = _tokens()
    token = tokens.make("orders", Side.MODERN, SOON)
    for field, left in (
        (f"Legacy-Bridge-Side: {token}", []),
        (f"Cookie: a=b; legacy_bridge_side={token}; c=d", [b"Cookie: a=b; c=d"]),
        (f"cookie: legacy_bridge_side={token}", []),
        (f"Cookie: legacy_bridge_side=x.{token}", []),
    ):
        brought = tokens.brought("orders", parse_request_head(_head(field, "X-Other: 1")))
        assert brought is not None
        assert brought.side is Side.MODERN
        assert brought.head.lines == [b"Host: a", *left, b"X-Other: 1"]
    assert tokens.brought("orders", parse_request_head(_head("Cookie: legacy_bridge=1"))) is None


def test_only_a_token_that_holds_names_a_side() -> None:
    tokens = _tokens()
    good = tokens.make("orders", Side.MODERN, SOON)
    raw = bytearray(base64.urlsafe_b64decode(good + "=="))
    raw[1] ^= 1  # The other side.
    changed = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    for token, verdict in (
        (changed, Verdict.FORGED),
        ("", None),
        ("x" * 4_000, Verdict.FORGED),
        (SideTokens(bytes(32)).make("orders", Side.MODERN, SOON), Verdict.FORGED),
        (tokens.make("carts", Side.MODERN, SOON), Verdict.ELSEWHERE),
        (tokens.make("orders", Side.MODERN, NOW), Verdict.EXPIRED),
    ):
        found = tokens.brought("orders", parse_request_head(_head(f"legacy-bridge-side: {token}")))
        if verdict is None:
            assert found is None
            continue
        assert found is not None
        assert (found.side, found.verdicts) == (None, [verdict])
    with pytest.raises(ValueError, match="has 31 bytes, needs 32"):
        SideTokens(bytes(31))


@pytest.fixture
def sides() -> Iterator[tuple[Upstream, Upstream]]:
    legacy, modern = two_sides()
    yield legacy, modern
    legacy.close()
    modern.close()


@pytest.fixture
def gateway(sides: tuple[Upstream, Upstream]) -> Iterator[CanaryGateway]:
    with CanaryGateway(*sides) as gateway:
        gateway.forcible = True
        gateway.generation.value += 1
        yield gateway


def _asks(gateway: CanaryGateway, line: bytes, fields: bytes, body: bytes = b"") -> Message:
    with gateway.connect() as client:
        head = b"%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n" % (line, len(body), fields)
        client.send(head + body)
        return client.message()


def _field(gateway: CanaryGateway, side: Side, group: str = "orders") -> bytes:
    token = gateway.tokens.make(group, side, 4_000_000_000)
    return f"Legacy-Bridge-Side: {token}\r\n".encode()


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.DUAL, Stage.CANARY, Stage.MODERN])
def test_a_tester_sees_either_side_at_every_stage_that_has_two(
    gateway: CanaryGateway, sides: tuple[Upstream, Upstream], stage: Stage
) -> None:
    gateway.switch(stage, 9, share_percent=50.0 if stage is Stage.CANARY else 0.0)
    inside = a_key(50, inside=True)
    # Whatever is on its way: that is what a tester may want to see.
    gateway.book.lanes[f"order:{inside}"] = LaneState(unreplayed_to=Side.MODERN)
    target = b"GET /orders/" + inside.encode()
    for side, seen in ((Side.MODERN, b"modern"), (Side.LEGACY, b"legacy")):
        assert _asks(gateway, target, _field(gateway, side)).one(b"x-side") == seen
    for upstream in sides:
        for message in upstream.received:
            assert message.all(b"legacy-bridge-side") == [], "it never leaves the gateway"


def test_at_stage_legacy_one_side_alone_is_asked(gateway: CanaryGateway) -> None:
    gateway.switch(Stage.LEGACY, 9)
    answer = _asks(gateway, b"GET /orders/1", _field(gateway, Side.MODERN))
    assert answer.one(b"x-side") == b"legacy"


def test_writes_ignore_it_and_lose_it_all_the_same(gateway: CanaryGateway) -> None:
    cookie = gateway.tokens.make("orders", Side.MODERN, 4_000_000_000)
    fields = _field(gateway, Side.MODERN) + f"Cookie: a=b; legacy_bridge_side={cookie}\r\n".encode()
    assert _asks(gateway, b"PUT /orders/1", fields, b"{}").one(b"x-side") == b"legacy"
    ((decision, request),) = gateway.write_path.writes  # type: ignore[attr-defined]  # it records
    assert (decision.authority, decision.forced) == (Side.LEGACY, False)
    assert request.header(b"legacy-bridge-side") is None
    assert request.header(b"cookie") == b"a=b"


def test_a_token_that_does_not_hold_alters_nothing_and_is_counted(
    gateway: CanaryGateway, sides: tuple[Upstream, Upstream]
) -> None:
    outside = b"GET /orders/" + a_key(50, inside=False).encode()
    expired = f"Legacy-Bridge-Side: {gateway.tokens.make('orders', Side.MODERN, 1)}\r\n".encode()
    for fields in (
        b"Legacy-Bridge-Side: forged\r\n",
        expired,
        _field(gateway, Side.MODERN, "carts"),
        b"Cookie: legacy_bridge_side=AAAA\r\n",
    ):
        answer = _asks(gateway, outside, fields)
        assert (answer.status, answer.one(b"x-side")) == (200, b"legacy")
    for message in sides[0].received:
        assert message.all(b"legacy-bridge-side") == message.all(b"cookie") == []
    gateway.stop()
    assert gateway.counted("side_tokens") == {"forged": 2, "expired": 1, "elsewhere": 1}


def test_tokens_are_looked_for_only_while_one_may_hold() -> None:
    for forcible in (False, True):
        state = GroupState(group="orders", stage=Stage.DUAL, epoch=1, lanes_held=False)
        table = RoutingTable.build(ROUTES, [state], 1, forcible=forcible)
        found = table.decide(b"GET", None, b"/orders/1")
        assert isinstance(found, Decision)
        assert (found.choice is not None) is forcible


def test_a_forced_read_is_not_led_back_by_what_is_on_its_way(rig: Rig) -> None:
    async def check() -> None:
        rig.legacy.orders["1"], rig.modern.orders["1"] = ["new"], ["old"]
        rig.desk.import_ids(GROUP, "order", [("1", "1")], by())
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        assert (await worker.send("PUT", "/orders/1/status", {"status": "paid"})).status == 200
        request = a_request("GET", "/orders/1")
        decision = worker.decide(request)._replace(authority=Side.MODERN)
        assert value_of(await worker.writer.read(decision, request))["side"] == "legacy"
        forced = decision._replace(forced=True)
        assert value_of(await worker.writer.read(forced, request))["side"] == "modern"

    asyncio.run(check())
