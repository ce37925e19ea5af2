"""What is promised before the client is answered: levels L1, L2, L3, and `Idempotency-Key`."""

import asyncio
import base64
import json

import pytest

from bridge.gateway.dual.admission import scope_of
from bridge.gateway.http.problems import MARKER
from bridge.model.http import Headers, HttpRequest
from bridge.model.stage import Stage
from bridge.model.write import WriteState
from tests.gateway.dual.peer import ActThenFail, Hold, Reject
from tests.gateway.dual.rig import GROUP, Rig, Worker, value_of
from tests.waiting import wait_until_async
from tests.warrants import by


async def _order(rig: Rig) -> Worker:
    """Return a worker at stage dual; order 1 is on both sides."""
    rig.legacy.orders["1"], rig.modern.orders["m-1"] = ["new"], ["new"]
    rig.desk.import_ids(GROUP, "order", [("1", "m-1")], by())
    rig.switch(Stage.DUAL)
    return rig.worker(lane_wait_ms=1_000)


def _states(rig: Rig) -> list[str]:
    return sorted(w.state.value for state in WriteState for w in rig.desk.list_writes(state=state))


def test_l1_opens_no_intent_and_keeps_the_outcome(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", level="L1")
        worker = await _order(rig)
        fault = Hold()
        rig.legacy.faults.append(fault)
        sending = asyncio.create_task(worker.send("PUT", "/orders/1/status", {"status": "paid"}))
        await asyncio.to_thread(fault.arrived.wait, 10)
        assert _states(rig) == []
        fault.released.set()
        assert (await sending).status == 200
        assert _states(rig) == ["applied"]
        async with rig.replaying():
            await rig.drained()
        assert rig.modern.orders["m-1"] == ["new", "paid"]

    asyncio.run(check())


def test_l1_keeps_an_outcome_that_is_not_known_as_in_doubt(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", level="L1")
        worker = await _order(rig)
        rig.legacy.faults.append(ActThenFail())
        answer = await worker.send("PUT", "/orders/1/status", {"status": "paid"})
        assert (answer.status, answer.header(MARKER)) == (504, b"write-in-doubt")
        assert _states(rig) == ["in_doubt"]
        rig.legacy.stop()
        assert (await worker.send("PUT", "/orders/1/status", {"status": "sent"})).status == 503

    asyncio.run(check())


def test_l1_with_an_idempotency_key_is_carried_out_once_as_at_l2(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", level="L1")
        worker = await _order(rig)
        key: Headers = ((b"Idempotency-Key", b'"k"'),)
        answers = await asyncio.gather(
            *(worker.send("PUT", "/orders/1/status", {"status": "paid"}, key) for _ in range(4))
        )
        assert {answer.status for answer in answers} <= {200, 409}
        assert rig.legacy.orders["1"] == ["new", "paid"]

    asyncio.run(check())


def test_l3_answers_only_once_the_other_side_has_it(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", level="L3")
        worker = await _order(rig)
        fault = Hold()
        rig.modern.faults.append(fault)
        async with rig.replaying():
            sending = asyncio.create_task(
                worker.send("PUT", "/orders/1/status", {"status": "paid"})
            )
            await asyncio.to_thread(fault.arrived.wait, 10)
            assert rig.legacy.orders["1"] == ["new", "paid"]
            assert not sending.done()
            fault.released.set()
            answer = await sending
        assert (answer.status, value_of(answer)["status"]) == (200, "paid")
        assert rig.modern.orders["m-1"] == ["new", "paid"]

    asyncio.run(check())


def test_l3_says_after_its_time_that_the_other_side_lacks_it_and_brings_it_later(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", level="L3", both_wait_ms=50)
        worker = await _order(rig)
        key: Headers = ((b"Idempotency-Key", b'"k"'),)
        answer = await worker.send("PUT", "/orders/1/status", {"status": "paid"}, key)
        assert (answer.status, answer.header(MARKER)) == (202, b"write-not-on-both")
        assert answer.header(b"retry-after") == b"5"
        assert b"with the same Idempotency-Key returns the outcome" in answer.body
        again = await worker.send("PUT", "/orders/1/status", {"status": "paid"}, key)
        assert again.status == 202
        async with rig.replaying():
            await rig.drained()
        again = await worker.send("PUT", "/orders/1/status", {"status": "paid"}, key)
        assert (again.status, value_of(again)["status"]) == (200, "paid")

    asyncio.run(check())


def test_l3_says_that_a_refused_write_was_undone(rig: Rig) -> None:
    async def check() -> None:
        rig.rule(
            "order-status",
            level="L3",
            conflict="compensate",
            compensate={"method": "POST", "target": "/orders/{order_id}/undo"},
        )
        worker = await _order(rig)
        rig.modern.faults.append(Reject(422))
        key: Headers = ((b"Idempotency-Key", b'"k"'),)
        async with rig.replaying():
            answer = await worker.send("PUT", "/orders/1/status", {"status": "paid"}, key)
            again = await worker.send("PUT", "/orders/1/status", {"status": "paid"}, key)
        for told in (answer, again):
            assert (told.status, told.header(MARKER)) == (409, b"write-undone")
        assert rig.legacy.orders["1"] == ["new", "paid", "undone"]
        assert rig.modern.orders["m-1"] == ["new"]

    asyncio.run(check())


def test_a_required_key_that_is_missing_is_refused_before_anything_is_done(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", idempotency="required")
        worker = await _order(rig)
        answer = await worker.send("PUT", "/orders/1/status", {"status": "paid"})
        assert (answer.status, answer.header(MARKER)) == (400, b"idempotency-key-missing")
        assert rig.legacy.writes() == []
        key: Headers = ((b"Idempotency-Key", b'"k"'),)
        answer = await worker.send("PUT", "/orders/1/status", {"status": "paid"}, key)
        assert answer.status == 200

    asyncio.run(check())


def test_two_clients_may_use_the_same_key(rig: Rig) -> None:
    async def check() -> None:
        worker = await _order(rig)
        for user in (b"ana", b"ben"):
            headers: Headers = (
                (b"Idempotency-Key", b'"k"'),
                (b"Authorization", b"Basic " + base64.b64encode(user + b":secret")),
            )
            answer = await worker.send(
                "PUT", "/orders/1/status", {"status": user.decode()}, headers
            )
            assert answer.status == 200
        assert len(_states(rig)) == 2

    asyncio.run(check())


def test_a_stored_server_error_is_repeated(rig: Rig) -> None:
    async def check() -> None:
        worker = await _order(rig)
        rig.legacy.faults.append(Reject(500, body=b'{"error": "broken"}'))
        key: Headers = ((b"Idempotency-Key", b'"k"'),)
        first = await worker.send("PUT", "/orders/1/status", {"status": "paid"}, key)
        again = await worker.send("PUT", "/orders/1/status", {"status": "paid"}, key)
        assert (first.status, first.body) == (again.status, again.body) == (500, first.body)
        assert len(rig.legacy.writes()) == 1

    asyncio.run(check())


def _jwt(**claims: str) -> bytes:
    parts = [json.dumps({"alg": "none"}), json.dumps(claims)]
    return b".".join([*(base64.urlsafe_b64encode(p.encode()).rstrip(b"=") for p in parts), b"s"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"Basic " + base64.b64encode(b"ana:1"), b"Basic " + base64.b64encode(b"ana:2"), True),
        (b"Basic " + base64.b64encode(b"ana:1"), b"Basic " + base64.b64encode(b"ben:1"), False),
        (b"Bearer " + _jwt(sub="ana", exp="1"), b"Bearer " + _jwt(sub="ana", exp="2"), True),
        (b"Bearer " + _jwt(sub="ana"), b"Bearer " + _jwt(sub="ana", iss="x"), False),
        (b"Bearer opaque-1", b"Bearer opaque-2", False),
        (b"Basic !!", b"Bearer a.b.c", False),
    ],
)
def test_whose_key_it_is(one: bytes, other: bytes, same: bool) -> None:
    scopes = [
        scope_of(
            HttpRequest(method=b"PUT", target=b"/", headers=((b"Authorization", credentials),))
        )
        for credentials in (one, other)
    ]
    assert (scopes[0] == scopes[1]) is same
    assert not any(b"ana" in scope.encode() for scope in scopes)


def test_the_state_of_a_waiting_write_is_seen_while_the_lanes_are_held(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", level="L3", both_wait_ms=30)
        worker = await _order(rig)
        rig.modern.faults.append(Reject(422))
        async with rig.replaying():
            answer = await worker.send("PUT", "/orders/1/status", {"status": "paid"})
            assert answer.status == 202
            (write,) = await wait_until_async(rig.desk.list_writes)
        assert write.state is WriteState.PARKED

    asyncio.run(check())
