"""What is copied, to whom, and how: over real sockets."""

import pytest

from bridge.gateway.routes.sections.shadow import ShadowRules
from bridge.model.stage import Stage
from tests.gateway.http.upstream import replies
from tests.gateway.http.wire import GET, POST
from tests.gateway.shadow.rig import EVERYTHING, ShadowGateway, all_of, json_answer, ports_of, sides


def test_a_read_is_answered_by_legacy_and_copied_to_modern() -> None:
    with sides() as (legacy, modern):
        legacy.default = replies(json_answer(b'{"a": 1}'))
        modern.default = replies(json_answer(b'{"a": 2}'))
        with ShadowGateway(ports_of(legacy, modern), routes=[all_of()]) as gateway:
            with gateway.connect() as client:
                client.send(GET % b"/orders/7?x=%2F")
                assert client.message().body == b'{"a": 1}'
            counts = gateway.await_count("all.compared.mismatch")
        copy = modern.requests_to(b"/orders/7?x=%2F")[0]
        original = legacy.requests_to(b"/orders/7?x=%2F")[0]
    assert counts["all.copied"] == counts["all.seen"] == 1
    assert copy.one(b"Legacy-Bridge-Shadow") == b"copy"
    assert copy.one(b"Host") == b"a"
    assert [field for field in copy.fields if field[0] != b"Legacy-Bridge-Shadow"] == (
        original.fields
    )


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"BREW"])
def test_an_unsafe_method_never_reaches_modern(method: bytes) -> None:
    with sides() as (legacy, modern):
        route = all_of(EVERYTHING)
        with ShadowGateway(ports_of(legacy, modern), routes=[route]) as gateway:
            with gateway.connect() as client:
                client.send(POST.replace(b"POST", method) % b"/orders")
                assert client.message().status == 200
                client.send(GET % b"/after")
                client.message()
            counts = gateway.await_count("all.compared.identical")
        assert [message.target for message in modern.received] == [b"/after"]
    assert counts["all.shed.unsafe_method"] == 1


def test_writes_reach_a_modern_side_that_is_declared_free_of_side_effects() -> None:
    rules = EVERYTHING.model_copy(update={"side_effect_free": True})
    with sides() as (legacy, modern):
        with ShadowGateway(ports_of(legacy, modern), routes=[all_of(rules)]) as gateway:
            with gateway.connect() as client:
                client.send(POST % b"/orders")
                client.message()
            gateway.await_count("all.compared.identical")
            gateway.switch(Stage.DUAL, 2)
            with gateway.connect() as client:
                client.send(POST % b"/later")
                client.message()
            gateway.await_count("all.seen", 2)
        assert modern.requests_to(b"/orders")[0].body == b"abc"
        assert not modern.requests_to(b"/later")


@pytest.mark.parametrize("stage", [Stage.LEGACY, Stage.COMPLETE])
def test_nothing_is_copied_at_a_stage_with_one_side(stage: Stage) -> None:
    with sides() as (legacy, modern):
        with ShadowGateway(ports_of(legacy, modern), routes=[all_of()], stage=stage) as gateway:
            with gateway.connect() as client:
                client.send(GET % b"/x")
                client.message()
            assert gateway.counts()["all.seen"] == 0
        assert len(legacy.received) + len(modern.received) == 1


@pytest.mark.parametrize(("stage", "asked"), [(Stage.DUAL, "legacy"), (Stage.MODERN, "modern")])
def test_later_stages_copy_a_sample_to_the_side_that_does_not_answer(
    stage: Stage, asked: str
) -> None:
    rules = ShadowRules(later_percent=100, copies_per_s=1_000)
    with sides() as (legacy, modern):
        with ShadowGateway(
            ports_of(legacy, modern), routes=[all_of(rules)], stage=stage
        ) as gateway:
            with gateway.connect() as client:
                client.send(GET % b"/x")
                client.message()
            gateway.await_count("all.compared.identical")
        marked = {
            "legacy": legacy.received[0].one(b"Legacy-Bridge-Shadow"),
            "modern": modern.received[0].one(b"Legacy-Bridge-Shadow"),
        }
    assert marked.pop(asked) is None
    assert set(marked.values()) == {b"copy"}
