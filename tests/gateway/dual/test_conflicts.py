"""What follows when the other side refuses: park, skip, undo; and what is there already."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from bridge.gateway.dual.derived_ids import derived_id, with_id
from bridge.gateway.dual.entity_look import Look, look_at
from bridge.gateway.dual.replay_verdict import Ending, judge
from bridge.gateway.dual.retry_budget import BURST, FLOOR_PER_S, RetryBudget
from bridge.gateway.routes.sections.dual import Chosen, DerivedId, ReadRules
from bridge.gateway.translation.ids import Translated
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.stage import Side, Stage
from bridge.model.write import JournalledWrite, WriteIntent, WriteKind, WriteState
from tests.gateway.dual.peer import ActThenAnswer, ActThenFail, Reject
from tests.gateway.dual.rig import GROUP, ROUTES, Rig, Worker, a_request, value_of
from tests.waiting import wait_until_async
from tests.warrants import by

READ = {"target": "/orders/{order_id}", "compare": {"/status": "/status"}}
UNDO = {"method": "POST", "target": "/orders/{order_id}/undo", "body": '{"was": {request:/status}}'}


async def _order(rig: Rig) -> Worker:
    rig.legacy.orders["1"], rig.modern.orders["m-1"] = ["new"], ["new"]
    rig.desk.import_ids(GROUP, "order", [("1", "m-1")], by())
    rig.switch(Stage.DUAL)
    return rig.worker()


async def _put(worker: Worker, status: str, headers: Headers = ()) -> HttpResponse:
    answer = await worker.send("PUT", "/orders/1/status", {"status": status}, headers)
    assert answer.status == 200
    return answer


def _reasons(rig: Rig, state: WriteState) -> list[str | None]:
    return [write.reason for write in rig.desk.list_writes(state=state)]


def test_a_refused_write_that_is_skipped_is_listed_and_the_lane_goes_on(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", conflict="skip")
        worker = await _order(rig)
        rig.modern.faults.append(Reject(422))
        async with rig.replaying():
            await _put(worker, "paid")
            await _put(worker, "sent")
            await rig.drained(5)
        assert rig.modern.orders["m-1"] == ["new", "sent"]
        assert _reasons(rig, WriteState.SKIPPED) == ["modern answered 422; to be reconciled"]

    asyncio.run(check())


def test_a_refused_write_is_undone_on_its_authority(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", conflict="compensate", compensate=UNDO)
        worker = await _order(rig)
        rig.modern.faults.append(Reject(422))
        async with rig.replaying():
            await _put(worker, "paid")
            await rig.drained(5)
            await _put(worker, "sent")
            await rig.drained(5)
        assert rig.legacy.orders["1"] == ["new", "paid", "undone", "sent"]
        assert rig.modern.orders["m-1"] == ["new", "sent"]
        undo = next(seen for seen in rig.legacy.seen if seen.target == "/orders/1/undo")
        assert undo.body == {"was": "paid"}
        (write,) = rig.desk.list_writes(state=WriteState.COMPENSATED)
        (own,) = rig.desk.list_writes(kind=WriteKind.COMPENSATION)
        assert (own.state, own.intent.compensates) == (WriteState.DONE, write.intent.intent_id)
        told = {draft.fields.get("to") for _, draft in rig.desk.pending(1_000)}
        assert "compensated" in told

    asyncio.run(check())


@pytest.mark.parametrize(
    "fault", [ActThenFail(), Reject(503), Reject(429)], ids=["answer lost", "503", "429"]
)
def test_an_undo_that_meets_a_fault_is_carried_out_once(
    rig: Rig, fault: ActThenFail | Reject
) -> None:
    async def check() -> None:
        rig.rule(
            "order-status",
            conflict="compensate",
            compensate=UNDO,
            honours_keys=["legacy"],
            in_doubt=["replay"],
        )
        worker = await _order(rig)
        rig.modern.faults.append(Reject(422))
        await _put(worker, "paid")
        rig.legacy.faults.append(fault)
        async with rig.replaying(backoff_ms_min=2, backoff_ms_max=20):
            await rig.drained(8)
        assert rig.legacy.orders["1"] == ["new", "paid", "undone"]
        assert rig.modern.orders["m-1"] == ["new"]

    asyncio.run(check())


@pytest.mark.parametrize("status", [302, 409])
def test_an_undo_that_the_authority_refuses_parks_the_write(rig: Rig, status: int) -> None:
    async def check() -> None:
        rig.rule("order-status", conflict="compensate", compensate=UNDO)
        worker = await _order(rig)
        rig.modern.faults.append(Reject(422))
        await _put(worker, "paid")
        rig.legacy.faults.append(Reject(status))
        async with rig.replaying():
            await wait_until_async(lambda: _reasons(rig, WriteState.PARKED), 5)
        assert _reasons(rig, WriteState.PARKED) == [
            f"modern answered 422; legacy answered {status} to undo it"
        ]

    asyncio.run(check())


def test_an_undo_in_doubt_is_not_begun_again_nor_the_write_replayed(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", conflict="compensate", compensate=UNDO)
        worker = await _order(rig)
        rig.modern.faults.append(Reject(422))
        await _put(worker, "paid")
        rig.legacy.faults.append(ActThenFail())
        async with rig.replaying(backoff_ms_min=1, backoff_ms_max=2):
            (doubt,) = await wait_until_async(
                lambda: rig.desk.list_writes(state=WriteState.IN_DOUBT), 5
            )
            retried = len(rig.observer.notes("replay_retried"))
            await wait_until_async(
                lambda: len(rig.observer.notes("replay_retried")) > retried + 3, 5
            )
            assert len(rig.modern.writes()) == 1
            rig.desk.resolve(
                doubt.intent.intent_id, WriteState.APPLIED, warrant=by("ana", "looked")
            )
            await rig.drained(5)
        assert rig.legacy.orders["1"] == ["new", "paid", "undone"]

    asyncio.run(check())


def test_what_is_there_already_is_read_back_and_counts_as_done(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", read=READ)
        worker = await _order(rig)
        # Done, but answered as a conflict: as a side without keys does with a repeat.
        rig.modern.faults.append(ActThenAnswer(409))
        async with rig.replaying():
            await _put(worker, "paid")
            await rig.drained(5)
        assert _reasons(rig, WriteState.DONE) == [
            "modern answered 409: there already, read back and equal"
        ]

    asyncio.run(check())


def test_a_refusal_with_another_value_there_is_a_conflict(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", read=READ)
        worker = await _order(rig)
        rig.modern.faults.append(Reject(409))
        async with rig.replaying():
            await _put(worker, "paid")
            await wait_until_async(lambda: _reasons(rig, WriteState.PARKED), 5)
        assert _reasons(rig, WriteState.PARKED) == ["modern answered 409"]

    asyncio.run(check())


def test_a_write_older_than_what_the_other_side_has_is_skipped_as_stale(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", read={**READ, "version": "/version"}, version="/version")
        worker = await _order(rig)
        rig.legacy.versions["1"], rig.modern.versions["m-1"] = 3, 7
        rig.modern.faults.append(Reject(412))
        async with rig.replaying():
            await _put(worker, "paid")
            await rig.drained(5)
        assert _reasons(rig, WriteState.SKIPPED) == [
            "modern answered 412: has version 7, this write is 3"
        ]

    asyncio.run(check())


def test_a_write_that_is_refused_for_passing_reasons_too_long_is_parked_not_lost(
    rig: Rig,
) -> None:
    async def check() -> None:
        rig.rule("order-status", ages={"warn_s": 0.01, "guardrail_s": 0.02, "dead_s": 0.05})
        worker = await _order(rig)
        rig.modern.always = Reject(503)
        async with rig.replaying(backoff_ms_min=2, backoff_ms_max=10):
            await _put(worker, "paid")
            await wait_until_async(lambda: _reasons(rig, WriteState.PARKED), 5)
        assert _reasons(rig, WriteState.PARKED) == ["modern answered 503, for more than 0.05 s"]

    asyncio.run(check())


@pytest.mark.parametrize("derive", ["uuid5", "same"])
def test_an_id_that_is_ours_to_choose_is_the_same_at_every_repeat(rig: Rig, derive: str) -> None:
    async def check() -> None:
        rig.rule("order-create", chosen_id={"place": "/order_id", "derive": derive})
        rig.switch(Stage.DUAL)
        worker = rig.worker()
        rig.modern.faults.append(ActThenFail())
        async with rig.replaying(backoff_ms_min=2):
            answer = await worker.send("POST", "/orders", {"status": "new"})
            made = str(value_of(answer)["order_id"])
            await rig.drained(5)
        expected = derived_id(
            Chosen(place="/order_id", derive=DerivedId(derive)), GROUP, "order", made
        )
        assert rig.pairs() == {made: expected}
        assert list(rig.modern.orders) == [expected]

    asyncio.run(check())


def test_replays_show_credentials_of_their_own_and_the_journal_keeps_none(rig: Rig) -> None:
    async def check() -> None:
        rig.credentials = {
            "modern-orders": ((b"Authorization", b"Bearer of-replays"),),
            "legacy-app": ((b"Authorization", b"Bearer of-replays-too"),),
        }
        worker = await _order(rig)
        headers: Headers = (
            (b"Authorization", b"Bearer secret-of-ana"),
            (b"Cookie", b"session=secret"),
            (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        )
        async with rig.replaying():
            await _put(worker, "paid", headers)
            await rig.drained(5)
        (first,), (second,) = rig.legacy.writes(), rig.modern.writes()
        assert first.headers["authorization"] == "Bearer secret-of-ana"
        assert second.headers["authorization"] == "Bearer of-replays"
        assert "cookie" not in second.headers
        assert second.headers["traceparent"] == first.headers["traceparent"]
        (write,) = rig.desk.list_writes(state=WriteState.DONE)
        assert not any(b"secret" in value for _, value in write.intent.request.headers)

    asyncio.run(check())


def test_headers_that_a_route_withholds_are_not_kept(rig: Rig) -> None:
    async def check() -> None:
        rig.rule("order-status", withhold=["X-Card"])
        worker = await _order(rig)
        async with rig.replaying():
            await _put(worker, "paid", ((b"x-card", b"4111"), (b"X-Other", b"1")))
            await rig.drained(5)
        assert rig.legacy.writes()[0].headers["x-card"] == "4111"
        assert "x-card" not in rig.modern.writes()[0].headers
        assert rig.modern.writes()[0].headers["x-other"] == "1"

    asyncio.run(check())


def _judged(response: HttpResponse, at: datetime) -> float | None:
    request = a_request("PUT", "/orders/1/status", {"status": "paid"})
    intent = WriteIntent(
        intent_id="i", group=GROUP, route="order-status", epoch=1, authority=Side.LEGACY,
        lane="order:1", idempotency_key="k", request=request, owner="w", opened_at=at,
    )  # fmt: skip
    write = JournalledWrite(
        intent=intent, state=WriteState.APPLIED, sequence=1, response=None, attempts=0,
        reason=None, settled_at=at,
    )  # fmt: skip
    sent = Translated(request, {}, ())
    verdict = judge(ROUTES["order-status"], write, sent, response, at=at)
    assert verdict.ending is Ending.RETRY
    return verdict.retry_after_s


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"7", 7.0),
        (b"4000", 60.0),
        (b"soon", None),
        (b"", None),
        ("in 20 s", 20.0),
        ("20 s ago", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(given: bytes | str, expected: float | None) -> None:
    at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    if isinstance(given, str):
        offset = timedelta(seconds=20 if given.startswith("in") else -20)
        given = format_datetime(at + offset, usegmt=True).encode()
    response = HttpResponse(status=503, reason=b"", headers=((b"Retry-After", given),))
    assert _judged(response, at) == expected


def test_repeats_are_a_fifth_of_first_attempts_and_never_none() -> None:
    budget = RetryBudget()
    assert sum(budget.spend(0.0) for _ in range(100)) == BURST
    for _ in range(51):
        budget.earn()
    assert sum(budget.spend(0.0) for _ in range(100)) == 10
    assert sum(budget.spend(1.0) for _ in range(100)) == FLOOR_PER_S


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"order_id": "x"}'),
        (b'{"a": 12.50}', b'{"order_id": "x", "a": 12.50}'),
        (b'{"order_id": null, "a": 1}', b'{"order_id": "x", "a": 1}'),
        (b"[1]", None),
        (b"", None),
        (b"{", None),
    ],
)
def test_only_the_id_is_written_into_a_body(body: bytes, expected: bytes | None) -> None:
    request = HttpRequest(method=b"POST", target=b"/orders", headers=(), body=body)
    changed = with_id(Chosen(place="/order_id"), request, "x")
    assert (None if changed is None else changed.body) == expected


@pytest.mark.parametrize(
    ("method", "status", "body", "look"),
    [
        ("PUT", 200, b'{"status": "paid"}', Look.THERE),
        ("PUT", 200, b'{"status": "new"}', Look.NOT_THERE),
        ("PUT", 200, b"{}", Look.NOT_THERE),
        ("PUT", 404, b"", Look.NOT_THERE),
        ("PUT", 500, b"", Look.UNCLEAR),
        ("PUT", 302, b"", Look.UNCLEAR),
        ("DELETE", 404, b"", Look.THERE),
        ("DELETE", 410, b"", Look.THERE),
        ("DELETE", 200, b"{}", Look.NOT_THERE),
        ("DELETE", 503, b"", Look.UNCLEAR),
    ],
)
def test_what_an_entity_shows(method: str, status: int, body: bytes, look: Look) -> None:
    rules = ReadRules.model_validate(READ)
    seen = HttpResponse(status=status, reason=b"", headers=(), body=body)
    assert look_at(rules, a_request(method, "/orders/1", {"status": "paid"}), seen) is look
