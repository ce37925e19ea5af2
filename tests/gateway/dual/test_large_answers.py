"""An answer that is larger than may be held: its status tells what was done."""

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from adapters.upstream.client import UpstreamClient
from adapters.upstream.pool import Pool
from bridge.gateway.upstream_ports import AnswerTooLarge
from bridge.model.http import Headers, HttpRequest
from bridge.model.observer import SilentObserver
from bridge.model.stage import Stage
from bridge.model.write import WriteState
from bridge.runtime.configuration.gateway_settings import GatewaySettings
from bridge.runtime.wiring.gateway_edge import clients, open_pools
from tests.gateway.dual.peer import Peer, Reject
from tests.gateway.dual.rig import GROUP, Rig, Worker
from tests.waiting import wait_until_async
from tests.warrants import by

LARGE = "x" * 300
"""Both sides show what they were given, in a body that is larger than the limit of these tests."""
KEY: Headers = ((b"Idempotency-Key", b'"k"'),)


def _limit(rig: Rig, stack: ExitStack, name: str, peer: Peer) -> None:
    pool = Pool(name, "127.0.0.1", peer.port)
    stack.callback(pool.close)
    rig.upstreams[name] = UpstreamClient(pool, answer_bytes_max=200)


def _order(rig: Rig) -> Worker:
    rig.legacy.orders["1"], rig.modern.orders["m-1"] = ["new"], ["new"]
    rig.desk.import_ids(GROUP, "order", [("1", "m-1")], by())
    rig.switch(Stage.DUAL)
    return rig.worker()


@pytest.mark.parametrize("refused", [False, True])
def test_the_authoritys_status_settles_a_write_whose_answer_is_too_large(
    rig: Rig, refused: bool
) -> None:
    async def check() -> None:
        with ExitStack() as stack:
            _limit(rig, stack, "legacy-app", rig.legacy)
            worker = _order(rig)
            if refused:
                rig.legacy.faults.append(Reject(422, body=LARGE.encode()))
            async with rig.replaying():
                for _ in range(2):  # The second one is the stored answer.
                    answer = await worker.send("PUT", "/orders/1/status", {"status": LARGE}, KEY)
                    assert answer.status == 502
                    assert answer.header(b"legacy-bridge-error") == b"answer-too-large"
                    expected = b"422" if refused else b"200"
                    assert answer.header(b"legacy-bridge-upstream-status") == expected
                    assert answer.header(b"legacy-bridge-intent") is not None
                await rig.drained()
            assert len(rig.legacy.writes()) == 1
            assert len(rig.modern.writes()) == (0 if refused else 1)
            state = WriteState.REJECTED if refused else WriteState.DONE
            assert len(rig.desk.list_writes(state=state)) == 1
            assert await worker.send("PUT", "/orders/1/status", {"status": "paid"})

    asyncio.run(check())


def test_a_replay_with_a_large_answer_is_done_by_its_status(rig: Rig) -> None:
    async def check() -> None:
        with ExitStack() as stack:
            _limit(rig, stack, "modern-orders", rig.modern)
            worker = _order(rig)
            async with rig.replaying(backoff_ms_min=1, backoff_ms_max=2):
                await worker.send("PUT", "/orders/1/status", {"status": LARGE})
                await rig.drained(5)
                rig.modern.faults.append(Reject(422, body=LARGE.encode()))
                await worker.send("PUT", "/orders/1/status", {"status": "paid"})
                (parked,) = await wait_until_async(rig.desk.list_writes)
        assert rig.modern.orders["m-1"] == ["new", LARGE]
        assert len(rig.modern.writes()) == 2
        assert parked.reason == "modern answered 422"

    asyncio.run(check())


def test_a_create_whose_id_was_cut_off_waits_in_doubt(rig: Rig) -> None:
    async def check() -> None:
        with ExitStack() as stack:
            _limit(rig, stack, "legacy-app", rig.legacy)
            rig.switch(Stage.DUAL)
            answer = await rig.worker().send("POST", "/orders", {"status": LARGE})
        assert answer.status == 504
        assert answer.header(b"legacy-bridge-error") == b"write-in-doubt"
        (write,) = rig.desk.list_writes(state=WriteState.IN_DOUBT)
        assert write.reason == "legacy answered 201 and the id that it made was cut off"

    asyncio.run(check())


def test_a_read_with_a_large_answer_is_told_so(rig: Rig) -> None:
    async def check() -> None:
        with ExitStack() as stack:
            _limit(rig, stack, "legacy-app", rig.legacy)
            worker = _order(rig)
            rig.legacy.orders["1"].append(LARGE)
            answer = await worker.send("GET", "/orders/1")
        assert (answer.status, answer.header(b"legacy-bridge-error")) == (502, b"answer-too-large")
        assert answer.header(b"legacy-bridge-upstream-status") == b"200"

    asyncio.run(check())


@pytest.mark.parametrize("limit", [1_024, None])
def test_the_limit_is_a_setting_of_the_upstream(rig: Rig, limit: int | None) -> None:
    async def check() -> None:
        declared: dict[str, Any] = {"url": f"http://127.0.0.1:{rig.legacy.port}"}
        if limit is not None:
            declared["answer_bytes_max"] = limit
        settings = GatewaySettings.model_validate({"upstreams": {"legacy-app": declared}})
        rig.legacy.orders["1"] = ["x" * 2_000]
        request = HttpRequest(method=b"GET", target=b"/orders/1", headers=(), body=b"")
        with ExitStack() as stack:
            made = clients(open_pools(settings, SilentObserver(), stack), settings)
            if limit is None:
                answer = await made["legacy-app"].exchange(request, timeout_ms=5_000)
                assert answer.status == 200
            else:
                with pytest.raises(AnswerTooLarge, match="1024 bytes") as told:
                    await made["legacy-app"].exchange(request, timeout_ms=5_000)
                assert (told.value.head.status, told.value.head.body) == (200, b"")

    asyncio.run(check())
