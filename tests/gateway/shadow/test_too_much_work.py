"""A pair whose comparison would stall the worker is counted and left out."""

import orjson

from bridge.gateway.comparison.work import WORK_MAX
from tests.gateway.http.upstream import replies
from tests.gateway.http.wire import GET
from tests.gateway.shadow.rig import EVERYTHING, ShadowGateway, all_of, json_answer, ports_of, sides


def test_what_costs_too_much_is_uncompared_and_said_so() -> None:
    once = EVERYTHING.model_copy(update={"probes_per_s": 1e-9})
    with (
        sides() as (legacy, modern),
        ShadowGateway(ports_of(legacy, modern), routes=[all_of(once)]) as gateway,
        gateway.connect() as client,
    ):
        legacy.default = replies(json_answer(orjson.dumps({"a": [0] * WORK_MAX * 2})))
        modern.default = replies(json_answer(orjson.dumps({"a": [1] * WORK_MAX * 2})))
        client.send(GET % b"/orders")
        assert client.message().status == 200
        gateway.await_count("all.uncompared.too_much_work")
        # The next pair is as ever.
        modern.default = legacy.default
        client.send(GET % b"/orders")
        client.message()
        counts = gateway.await_count("all.compared.identical")
    assert not counts["all.uncompared.comparison_failed"]
