"""Out of doubt: by what can be known, never by a guess."""

import asyncio
import json
from typing import Any

import pytest

from bridge.gateway.dual.doubt import Answer, Finding, rule
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.dual import Way
from bridge.model.http import Headers
from bridge.model.stage import Stage
from bridge.model.write import JournalledWrite, WriteState
from tests.gateway.dual.peer import ActThenFail, Fault, Reject
from tests.gateway.dual.rig import GROUP, Rig, Worker
from tests.waiting import wait_until_async
from tests.warrants import by

ASK = {"target": "/requests/{idempotency_key}"}
READ = {"target": "/orders/{order_id}", "compare": {"/status": "/status"}}
KEY: Headers = ((b"Idempotency-Key", b'"k"'),)


class Lost:
    """A fault of the wire: the request is lost before the side sees it."""


async def _in_doubt(rig: Rig, *, done: bool, status: str = "paid") -> Worker:
    """Return a worker; a PUT of order 1 is in doubt, carried out or not."""
    rig.legacy.orders["1"], rig.modern.orders["m-1"] = ["new"], ["new"]
    rig.desk.import_ids(GROUP, "order", [("1", "m-1")], by())
    rig.switch(Stage.DUAL)
    worker = rig.worker(lane_wait_ms=500)
    fault: Fault = ActThenFail() if done else Reject(504)
    rig.legacy.faults.append(fault)
    answer = await worker.send("PUT", "/orders/1/status", {"status": status}, KEY)
    assert answer.status == 504
    return worker


async def _settled(rig: Rig) -> JournalledWrite:
    def look() -> list[JournalledWrite]:
        return [
            write
            for state in WriteState
            for write in rig.desk.list_writes(state=state)
            if state not in (WriteState.IN_DOUBT, WriteState.APPLIED)
        ]

    return (await wait_until_async(look, timeout_s=10))[0]


def _evidence(rig: Rig, left: str) -> dict[str, Any]:
    """Return what the event log hears of how the write left doubt."""
    for _, draft in rig.desk.pending(1_000):
        if draft.fields.get("from") == "in_doubt" and draft.fields.get("to") == left:
            return {**draft.fields, **json.loads(draft.payload or b"{}")}
    raise AssertionError("the event log hears nothing of it")


@pytest.mark.parametrize(
    ("rules", "evidence"),
    [
        ({"in_doubt": ["ask"], "ask": ASK}, "ask: legacy answered 200 about the key"),
        ({"in_doubt": ["read"], "read": READ}, "read: legacy answered 200, the entity is there"),
        (
            {"in_doubt": ["ask", "read"], "ask": ASK, "read": READ},
            (
                "ask: legacy answered 200 about the key; "
                "read: legacy answered 200, the entity is there"
            ),
        ),
        ({"in_doubt": ["replay"], "quiet_ms": 0}, "replay: sent again, legacy answered 200"),
    ],
)
def test_what_happened_is_found_and_goes_to_the_other_side(
    rig: Rig, rules: dict[str, Any], evidence: str
) -> None:
    async def check() -> None:
        rig.rule("order-status", **rules)
        await _in_doubt(rig, done=True)
        async with rig.replaying():
            write = await _settled(rig)
        assert write.state is WriteState.DONE
        assert rig.legacy.orders["1"] == ["new", "paid"]
        assert rig.modern.orders["m-1"] == ["new", "paid"]
        assert _evidence(rig, "applied")["reason"] == evidence

    asyncio.run(check())


@pytest.mark.parametrize(
    "rules",
    [
        {"in_doubt": ["ask"], "ask": ASK, "quiet_ms": 60},
        {"in_doubt": ["read"], "read": READ, "quiet_ms": 60},
    ],
)
def test_what_did_not_happen_fails_once_it_cannot_come_any_more(
    rig: Rig, rules: dict[str, Any]
) -> None:
    async def check() -> None:
        rig.rule("order-status", **rules)
        worker = await _in_doubt(rig, done=False)
        async with rig.replaying():
            write = await _settled(rig)
            assert write.state is WriteState.FAILED
            # The client may use its key again, and the lane is free.
            answer = await worker.send("PUT", "/orders/1/status", {"status": "paid"}, KEY)
            assert answer.status == 200
            await rig.drained()
        assert rig.modern.orders["m-1"] == ["new", "paid"]
        assert _evidence(rig, "failed")["reason"].startswith(
            rules["in_doubt"][0] + ": legacy answered"
        )

    asyncio.run(check())


def test_nothing_that_is_missing_counts_while_it_may_still_come(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", in_doubt=["read", "replay"], read=READ, quiet_ms=600_000)
        await _in_doubt(rig, done=False)
        seen = len(rig.legacy.seen)
        async with rig.replaying():
            await wait_until_async(lambda: len(rig.legacy.seen) >= seen + 3, 5)
            (write,) = rig.desk.list_writes(state=WriteState.IN_DOUBT)
        assert write.reason == "legacy answered 504"
        assert len(rig.legacy.writes()) == 1

    asyncio.run(check())


def test_a_put_that_did_not_happen_is_sent_again(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", in_doubt=["replay"], quiet_ms=20)
        await _in_doubt(rig, done=False)
        async with rig.replaying():
            write = await _settled(rig)
        assert write.state is WriteState.DONE
        assert rig.legacy.orders["1"] == rig.modern.orders["m-1"] == ["new", "paid"]

    asyncio.run(check())


def test_a_create_is_found_by_its_key_with_the_answer_that_was_lost(rig: Rig) -> None:
    async def check() -> None:
        rig.rule(
            "order-create",
            honours_keys=["legacy", "modern"],
            in_doubt=["ask"],
            ask={**ASK, "stored_answer": True},
        )
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        rig.legacy.faults.append(ActThenFail())
        # The client sent no key; ours went with the first call, because the side honours them.
        assert (await worker.send("POST", "/orders", {"status": "new"})).status == 504
        async with rig.replaying():
            assert (await _settled(rig)).state is WriteState.DONE
            answer = await worker.send("PUT", "/orders/1/status", {"status": "paid"})
            assert answer.status == 200
            await rig.drained()
        assert rig.pairs() == {"1": "m-1"}
        assert rig.modern.orders == {"m-1": ["new", "paid"]}

    asyncio.run(check())


def test_a_create_whose_id_is_not_known_waits_for_a_person(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-create", honours_keys=["legacy"], in_doubt=["ask"], ask=ASK)
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        rig.legacy.faults.append(ActThenFail())
        assert (await worker.send("POST", "/orders", {"status": "new"})).status == 504
        async with rig.replaying():
            await wait_until_async(lambda: _reason(rig).endswith("id that it made is not known"), 5)
        assert _reason(rig).startswith("legacy gave no whole answer; needs a person: ask: ")

    asyncio.run(check())


def _reason(rig: Rig) -> str:
    (write,) = rig.desk.list_writes(state=WriteState.IN_DOUBT)
    return write.reason or ""


class _Seen:
    """Captured changes of a test."""

    def __init__(self, evidence: str | None) -> None:
        self.evidence = evidence

    def of(self, write: JournalledWrite, route: Route) -> str | None:
        assert route.route_id == write.intent.route
        return self.evidence


def test_a_captured_change_shows_that_it_happened(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", in_doubt=["seen"])
        rig.changes = _Seen("entry 42")
        await _in_doubt(rig, done=True)
        async with rig.replaying():
            assert (await _settled(rig)).state is WriteState.DONE
        assert _evidence(rig, "applied")["reason"] == "seen: captured as entry 42"

    asyncio.run(check())


@pytest.mark.parametrize("changes", [None, _Seen(None)])
def test_that_nothing_was_captured_decides_nothing(rig: Rig, changes: _Seen | None) -> None:
    async def check() -> None:
        rig.rule("order-status", in_doubt=["seen"], quiet_ms=0)
        rig.changes = changes
        await _in_doubt(rig, done=True)
        async with rig.replaying():
            await wait_until_async(lambda: "needs a person: seen: " in _reason(rig), 5)

    asyncio.run(check())


def test_ways_that_disagree_hold_the_key_and_call_a_person(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", in_doubt=["ask", "read"], ask=ASK, read=READ, quiet_ms=0)
        worker = await _in_doubt(rig, done=True)
        rig.legacy.orders["1"].append("changed behind the gateway")
        async with rig.replaying():
            await wait_until_async(lambda: "needs a person: ways disagree: ask" in _reason(rig), 5)
            answer = await worker.send("PUT", "/orders/1/status", {"status": "sent"})
            assert answer.status == 503
            (write,) = rig.desk.list_writes(state=WriteState.IN_DOUBT)
            rig.desk.resolve(
                write.intent.intent_id, WriteState.APPLIED, warrant=by("ana", "asked them")
            )
            await rig.drained()
        assert rig.modern.orders["m-1"] == ["new", "paid"]

    asyncio.run(check())


def test_a_redirection_when_sent_again_decides_nothing(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", in_doubt=["replay"], quiet_ms=0)
        await _in_doubt(rig, done=True)
        rig.legacy.always = Reject(302)
        async with rig.replaying():
            await wait_until_async(lambda: "needs a person: replay: sent again" in _reason(rig), 5)
        assert _reason(rig).endswith("legacy answered 302")

    asyncio.run(check())


def test_an_authority_that_is_away_is_asked_again(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", in_doubt=["ask"], ask=ASK)
        await _in_doubt(rig, done=True)
        rig.legacy.stop()
        async with rig.replaying():
            await wait_until_async(lambda: len(rig.desk.list_writes()) == 1, 5)
            rig.legacy.start()
            assert (await _settled(rig)).state is WriteState.DONE

    asyncio.run(check())


def test_without_a_declared_way_a_write_is_left_to_a_person(rig: Rig) -> None:
    async def check() -> None:
        await _in_doubt(rig, done=True)
        seen = len(rig.legacy.seen)
        async with rig.replaying() as service:
            await service.resolver.look_once()
        assert _reason(rig) == "legacy gave no whole answer"
        assert len(rig.legacy.seen) == seen

    asyncio.run(check())


def test_writes_that_wait_for_a_person_hide_no_later_ones(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-delete", in_doubt=["replay"], quiet_ms=0)
        rig.doubtful_count_max = 2
        numbers = [str(number) for number in range(1, 7)]
        rig.desk.import_ids(GROUP, "order", [(number, f"m-{number}") for number in numbers], by())
        rig.legacy.orders.update({number: ["new"] for number in numbers})
        rig.modern.orders.update({f"m-{number}": ["new"] for number in numbers})
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        for number in numbers[:4]:
            rig.legacy.faults.append(ActThenFail())
            await worker.send("PUT", f"/orders/{number}/status", {"status": "paid"})
        for number in numbers[4:]:
            rig.legacy.faults.append(Reject(504))
            await worker.send("DELETE", f"/orders/{number}")
        assert len(rig.desk.list_writes(state=WriteState.IN_DOUBT)) == 6
        async with rig.replaying():
            await wait_until_async(lambda: len(rig.legacy.orders) == 4, 5)
            await rig.drained()
            # A later one is found although the look had come to the end before.
            rig.legacy.faults.append(Reject(504))
            rig.desk.resolve(
                rig.desk.list_writes(state=WriteState.IN_DOUBT)[-1].intent.intent_id,
                WriteState.FAILED,
                warrant=by("ana", "looked"),
            )
            await worker.send("DELETE", "/orders/1")
            await wait_until_async(lambda: "1" not in rig.legacy.orders, 5)
        assert len(rig.desk.list_writes(state=WriteState.IN_DOUBT)) == 3

    asyncio.run(check())


def _found(way: Way, answer: Answer, **more: Any) -> Finding:
    return Finding(way, answer, "evidence", **more)


@pytest.mark.parametrize(
    ("findings", "state", "person"),
    [
        ((), None, True),
        ((_found(Way.ASK, Answer.HAPPENED),), WriteState.APPLIED, False),
        ((_found(Way.ASK, Answer.NOT_DONE),), WriteState.FAILED, False),
        ((_found(Way.REPLAY, Answer.REFUSED),), WriteState.REJECTED, False),
        ((_found(Way.ASK, Answer.LATER),), None, False),
        ((_found(Way.SEEN, Answer.SILENT),), None, True),
        (
            (_found(Way.ASK, Answer.LATER), _found(Way.READ, Answer.HAPPENED)),
            WriteState.APPLIED,
            False,
        ),
        ((_found(Way.ASK, Answer.NOT_DONE), _found(Way.READ, Answer.HAPPENED)), None, True),
        ((_found(Way.ASK, Answer.HAPPENED, whole=False),), None, True),
        (
            (_found(Way.ASK, Answer.HAPPENED, whole=False), _found(Way.READ, Answer.NOT_DONE)),
            None,
            True,
        ),
    ],
)
def test_what_findings_mean_together(
    findings: tuple[Finding, ...], state: WriteState | None, person: bool
) -> None:
    ruling = rule(findings)
    assert (ruling.state, ruling.person) == (state, person)
