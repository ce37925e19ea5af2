"""Reads of keys with unfinished replays go where the key was written, wherever the key stands."""

import asyncio
from dataclasses import replace

from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule
from bridge.gateway.routes.sections.dual import DualRules
from bridge.gateway.routes.table import RoutingTable
from bridge.model.http import Headers, HttpRequest
from bridge.model.stage import GroupState, Stage
from tests.gateway.dual.peer import Hold
from tests.gateway.dual.rig import GROUP, ROUTES, Rig, a_request, value_of
from tests.warrants import by

_BY_HEADER = KeyRule(place=KeyPlace.HEADER, name="X-Order", entity="order")


def _read(rig: Rig, rules: DualRules, key: bytes) -> tuple[Decision, HttpRequest]:
    """Return a read whose key stands in a header alone, as the gateway knows it."""
    state = rig.desk.group(GROUP)
    assert state is not None
    route = replace(ROUTES["order-read"], key=_BY_HEADER, ids=IdRules(), dual=rules)
    headers: Headers = ((b"X-Order", key),)
    request = a_request("GET", "/orders/1", None, headers)
    worker = rig.worker()
    return worker.decide(request)._replace(route=route, params={"order_id": "1"}), request


async def _written_at_dual_then_modern(rig: Rig) -> None:
    """Order 1 is paid on legacy and not yet on modern, which answers reads now."""
    rig.legacy.orders["1"], rig.modern.orders["1"] = ["new"], ["new"]
    rig.desk.import_ids(GROUP, "order", [("1", "1")], by())
    rig.switch(Stage.DUAL)
    answer = await rig.worker().send("PUT", "/orders/1/status", {"status": "paid"})
    assert answer.status == 200
    rig.switch(Stage.MODERN)


def test_a_key_in_a_header_is_looked_up_for_reads_that_ask_for_it(rig: Rig) -> None:
    async def check() -> None:
        await _written_at_dual_then_modern(rig)
        writer = rig.worker().writer
        for asks, side in ((True, "legacy"), (False, "modern")):
            decision, request = _read(rig, DualRules(read_your_writes=asks), b"1")
            answer = await writer.read(decision, request)
            assert value_of(answer)["side"] == side
        other, request = _read(rig, DualRules(read_your_writes=True), b"2")
        assert value_of(await writer.read(other, request))["side"] == "modern"

    asyncio.run(check())


def test_a_read_may_wait_for_the_replay_of_its_key(rig: Rig) -> None:
    async def check() -> None:
        await _written_at_dual_then_modern(rig)
        writer = rig.worker(look_again_ms=5).writer
        decision, request = _read(rig, DualRules(read_your_writes=True, read_wait_ms=50), b"1")
        fault = Hold()
        rig.modern.faults.append(fault)
        async with rig.replaying():
            await asyncio.to_thread(fault.arrived.wait, 10)
            assert value_of(await writer.read(decision, request))["side"] == "legacy"
            fault.released.set()
            await rig.drained(5)
            answer = await writer.read(decision, request)
        assert (value_of(answer)["side"], value_of(answer)["status"]) == ("modern", "paid")

    asyncio.run(check())


def test_only_reads_that_ask_for_it_leave_the_fast_path() -> None:
    plain = replace(ROUTES["order-read"], key=_BY_HEADER, ids=IdRules())
    asking = replace(plain, dual=DualRules(read_your_writes=True))
    state = GroupState(group=GROUP, stage=Stage.DUAL, epoch=1, lanes_held=False)
    tokens = replace(plain, key=None, dual=DualRules(read_your_writes="token"))
    for route, expected in ((plain, False), (asking, True), (tokens, True)):
        decision = RoutingTable.build((route,), (state,), 1).decide(b"GET", None, b"/orders/1")
        assert isinstance(decision, Decision)
        assert decision.has_ids is expected
