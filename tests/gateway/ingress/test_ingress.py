"""Writes that are answered 202 and sent later: the status resource, the queue, the sender."""

import asyncio
import json

import pytest

from bridge.gateway.http.preference import prefers_async, without_preference
from bridge.gateway.ingress.ports import QueueState
from bridge.model.http import HttpResponse
from bridge.model.stage import Stage
from bridge.model.write import WriteState
from tests.gateway.ingress.rig import ASYNC, Rig, refuses
from tests.storage.journal_kit import an_intent
from tests.waiting import wait_until_async

ANA = ((b"Authorization", b"Bearer ana"),)
BEN = ((b"Authorization", b"Bearer ben"),)


@pytest.mark.parametrize(
    ("value", "asks", "rest"),
    [
        (b"respond-async", True, None),
        (b"Respond-Async, wait=10", True, b"wait=10"),
        (b"return=minimal, respond-async; x=1", True, b"return=minimal"),
        (b'respond-async=""', True, None),
        (b"respond-asynchronously", False, b"respond-asynchronously"),
        (b"return=representation", False, b"return=representation"),
    ],
)
def test_7240_4_1_the_preference_is_found_and_taken_out(
    value: bytes, asks: bool, rest: bytes | None
) -> None:
    headers = ((b"prefer", value), (b"X-Other", b"respond-async"))
    assert prefers_async(headers) is asks
    kept = dict(without_preference(headers))
    assert kept.get(b"prefer") == rest
    assert kept[b"X-Other"] == b"respond-async"


def test_9110_15_3_3_a_write_is_accepted_sent_and_its_answer_fetched() -> None:
    async def check() -> None:
        rig = Rig()
        answer = await rig.send("PUT", "/orders/1", (*ASYNC, *ANA), {"status": "paid"})
        assert (answer.status, answer.reason) == (202, b"Accepted")
        assert answer.header(b"preference-applied") == b"respond-async"
        assert answer.header(b"retry-after") == b"1"
        location = (answer.header(b"location") or b"").decode()
        assert not rig.path.sent
        waiting = await rig.send("GET", location, ANA)
        assert (waiting.status, json.loads(waiting.body)["state"]) == (202, "waiting")
        assert waiting.header(b"retry-after") == b"1"
        early = await rig.send("GET", f"{location}/result", ANA)
        assert (early.status, early.header(b"location")) == (303, location.encode())
        async with rig.sending():
            await rig.drained()
        (sent,) = rig.path.sent
        assert (sent.method, sent.target, sent.body) == (
            b"PUT",
            b"/orders/1",
            b'{"status": "paid"}',
        )
        assert sent.header(b"prefer") is None
        assert sent.header(b"authorization") == b"Bearer ana"
        assert sent.header(b"idempotency-key") is not None
        done = await rig.send("GET", location, ANA)
        assert (done.status, done.header(b"location")) == (303, f"{location}/result".encode())
        result = await rig.send("GET", f"{location}/result", ANA)
        assert (result.status, result.body, result.header(b"x-side")) == (201, b"made", b"legacy")
        (draft,) = [draft for _, draft in rig.desk.pending(10)]
        assert draft.fields["action"] == "async-done"
        assert (draft.fields["route"], draft.fields["status"]) == ("order-write", 201)
        assert location.rpartition("/")[2] not in repr(draft)

    asyncio.run(check())


def test_without_the_preference_a_write_is_as_ever() -> None:
    async def check() -> None:
        rig = Rig()
        assert (await rig.send("PUT", "/orders/1", ())).status == 201
        assert not rig.book.unfinished(1)
        always = Rig(mode="always")
        answer = await always.send("PUT", "/orders/1", ())
        assert (answer.status, answer.header(b"preference-applied")) == (202, None)
        off = Rig(mode="off")
        assert (await off.send("PUT", "/orders/1", ASYNC)).status == 201

    asyncio.run(check())


def test_only_the_same_credentials_see_the_status() -> None:
    async def check() -> None:
        rig = Rig()
        location = await rig.accepted("/orders/1", (*ASYNC, *ANA))
        for stranger in (BEN, ()):
            for method, target in (
                ("GET", location), ("GET", f"{location}/result"), ("DELETE", location)
            ):  # fmt: skip
                assert (await rig.send(method, target, stranger)).status == 404
        assert (await rig.send("GET", "/-/async/nobody", ANA)).status == 404
        assert (await rig.send("GET", location, ANA)).status == 202
        assert len(location.rpartition("/")[2]) == 32

    asyncio.run(check())


def test_the_same_idempotency_key_gives_the_same_status_url() -> None:
    async def check() -> None:
        rig = Rig()
        key = (*ASYNC, *ANA, (b"Idempotency-Key", b'"k"'))
        first = await rig.accepted("/orders/1", key, {"n": 1})
        assert await rig.accepted("/orders/1", key, {"n": 1}) == first
        assert (await rig.send("PUT", "/orders/1", key, {"n": 2})).status == 422
        other = (*ASYNC, *BEN, (b"Idempotency-Key", b'"k"'))
        assert await rig.accepted("/orders/1", other, {"n": 1}) != first
        async with rig.sending():
            await rig.drained()
        assert await rig.accepted("/orders/1", key, {"n": 1}) == first
        assert len(rig.path.sent) == 2
        twice = (*ASYNC, (b"Idempotency-Key", b"a"), (b"Idempotency-Key", b"b"))
        assert (await rig.send("PUT", "/orders/1", twice)).status == 400

    asyncio.run(check())


def test_a_full_queue_refuses_by_count_and_by_bytes() -> None:
    async def check() -> None:
        rig = Rig(waiting_max=3)
        answers = [await rig.send("PUT", f"/orders/{n}") for n in range(5)]
        assert [answer.status for answer in answers] == [202, 202, 202, 503, 503]
        assert answers[-1].header(b"retry-after") == b"5"
        assert answers[-1].header(b"legacy-bridge-error") == b"queue-full"
        wide = Rig(waiting_bytes_max=100)
        assert (await wide.send("PUT", "/orders/1", ASYNC, "x" * 60)).status == 202
        assert (await wide.send("PUT", "/orders/1", ASYNC, "x" * 60)).status == 503
        assert (await wide.send("PUT", "/orders/1", ASYNC, "x")).status == 202

    asyncio.run(check())


def test_a_spike_is_sent_at_the_declared_concurrency_and_in_order_per_key() -> None:
    async def check() -> None:
        rig = Rig(concurrency=3)
        for turn in range(10):
            for key in range(10):
                await rig.accepted(f"/orders/{key}", ASYNC, turn)
        async with rig.sending():
            await rig.drained()
        assert rig.path.most == 3
        for key in range(10):
            mine = [sent.body for sent in rig.path.sent if sent.target == b"/orders/%d" % key]
            assert mine == [b"%d" % turn for turn in range(10)]

    asyncio.run(check())


def test_a_declared_rate_spreads_a_spike() -> None:
    async def check() -> None:
        rig = Rig(concurrency=50, rate_per_s=50)
        for key in range(11):
            await rig.accepted(f"/orders/{key}")
        began = asyncio.get_running_loop().time()
        async with rig.sending():
            await rig.drained()
        assert asyncio.get_running_loop().time() - began >= 0.2

    asyncio.run(check())


def test_one_that_has_not_begun_can_be_cancelled() -> None:
    async def check() -> None:
        rig = Rig(concurrency=1)
        rig.path.gate = asyncio.Event()
        begun = await rig.accepted("/orders/1")
        waiting = await rig.accepted("/orders/2")
        async with rig.sending():
            await wait_until_async(lambda: rig.path.sent)
            assert (await rig.send("DELETE", begun, ())).status == 409
            assert (await rig.send("DELETE", waiting, ())).status == 204
            assert (await rig.send("DELETE", waiting, ())).status == 204
            rig.path.gate.set()
            await rig.drained()
        assert [sent.target for sent in rig.path.sent] == [b"/orders/1"]
        gone = await rig.send("GET", waiting, ())
        assert (gone.status, gone.header(b"legacy-bridge-error")) == (410, b"request-cancelled")
        actions = [draft.fields["action"] for _, draft in rig.desk.pending(10)]
        assert sorted(actions) == ["async-cancel", "async-done"]

    asyncio.run(check())


def test_what_was_provably_not_sent_is_tried_again_until_it_is_too_old() -> None:
    async def check() -> None:
        rig = Rig(give_up_s=60)
        rig.path.behaviours = [refuses(503, "upstream-unavailable"), refuses(503, "key-busy")]
        location = await rig.accepted("/orders/1")
        async with rig.sending():
            await rig.drained()
            assert len(rig.path.sent) == 3
            assert (await rig.send("GET", f"{location}/result", ())).status == 201
            rig.path.behaviours = [refuses(503, "upstream-unavailable")] * 9
            late = await rig.accepted("/orders/2")
            await wait_until_async(lambda: len(rig.path.sent) > 3)
            rig.now += 61
            await rig.drained()
        assert (await rig.send("GET", f"{late}/result", ())).status == 503

    asyncio.run(check())


def test_a_lost_answer_is_in_doubt_and_told_once_the_journal_knows() -> None:
    async def check() -> None:
        rig = Rig(Stage.DUAL)
        rig.path.behaviours = [refuses(504, "write-in-doubt")]
        location = await rig.accepted("/orders/1")
        async with rig.sending():
            await rig.drained()
        doubt = await rig.send("GET", location, ())
        assert (doubt.status, doubt.header(b"legacy-bridge-error")) == (504, b"write-in-doubt")
        assert len(rig.path.sent) == 1
        # Somebody, or the resolver, found out; the journal holds it under the request's key.
        key = (rig.path.sent[0].header(b"idempotency-key") or b"").decode()
        intent = an_intent(route="order-write", epoch=1, client_key=key)
        await rig.journal.open(intent)
        answer = HttpResponse(status=200, reason=b"OK", headers=(), body=b"there")
        await rig.journal.settle(intent.intent_id, WriteState.APPLIED, response=answer)
        assert (await rig.send("GET", location, ())).status == 303
        assert (await rig.send("GET", f"{location}/result", ())).body == b"there"

    asyncio.run(check())


@pytest.mark.parametrize(
    ("stage", "journalled", "state", "sent"),
    [
        # Past the journal nobody knows whether it was sent: never again.
        (Stage.LEGACY, False, QueueState.IN_DOUBT, 0),
        # Through the journal, which has no intent: nothing was sent.
        (Stage.DUAL, False, QueueState.DONE, 1),
        # The journal has it, and answers for it.
        (Stage.DUAL, True, QueueState.DONE, 1),
    ],
)
def test_one_that_was_begun_by_a_killed_sender(
    stage: Stage, journalled: bool, state: QueueState, sent: int
) -> None:
    async def check() -> None:
        rig = Rig(stage)
        await rig.accepted("/orders/1")
        (kept,) = rig.book.unfinished(9)
        request_id = kept.queued.request_id
        guarded = stage is Stage.DUAL
        assert await rig.book.begin(request_id, guarded=guarded, epoch=int(guarded))
        if journalled:
            key = (kept.queued.request.header(b"idempotency-key") or b"").decode()
            await rig.journal.open(an_intent(route="order-write", epoch=1, client_key=key))
        async with rig.sending():
            await rig.drained()
        found = rig.book.find(request_id)
        assert found is not None
        assert (found.state, len(rig.path.sent)) == (state, sent)

    asyncio.run(check())


def test_one_that_was_begun_before_a_switch_is_not_sent_unless_the_journal_knows_it() -> None:
    """It may have gone past the journal after the switch: nobody knows."""

    async def check() -> None:
        rig = Rig(Stage.DUAL)
        await rig.accepted("/orders/1")
        (kept,) = rig.book.unfinished(9)
        await rig.book.begin(kept.queued.request_id, guarded=True, epoch=0)
        async with rig.sending():
            await rig.drained()
        assert not rig.path.sent
        found = rig.book.find(kept.queued.request_id)
        assert found is not None
        assert found.state is QueueState.IN_DOUBT

    asyncio.run(check())


def test_after_its_retention_an_answer_is_gone() -> None:
    async def check() -> None:
        rig = Rig(retain_s=60)
        location = await rig.accepted("/orders/1")
        async with rig.sending():
            await rig.drained()
        rig.now = 4_000_000_000.0  # The memory book ends things by the true clock.
        assert await rig.book.expire("order-write", rig.now - 60, rig.now, 10) == 1
        gone = await rig.send("GET", location, ())
        assert (gone.status, gone.header(b"legacy-bridge-error")) == (410, b"request-expired")
        rig.now += 61
        await rig.book.expire("order-write", rig.now - 60, rig.now, 10)
        assert (await rig.send("GET", location, ())).status == 404

    asyncio.run(check())
