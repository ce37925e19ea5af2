"""Stage `shadow` in the running gateway: switched, counted in `status`, kept in a store."""

import itertools
import socket
import time
from pathlib import Path

import yaml

from bridge.gateway.comparison.ports import RouteNews
from bridge.gateway.comparison.samples import Sample
from bridge.gateway.comparison.tally import Tally
from bridge.runtime.wiring.shadowing import open_comparisons
from tests.cli.deployment import Deployment
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import Message, Wire
from tests.gateway.shadow.rig import json_answer, sides
from tests.runtime.running import answer_of, running
from tests.waiting import wait_until

WHY = ("--reason", "compare reads", "--ticket", "T-1")


def answers(upstream: Upstream, wrong_every: int) -> None:
    """Answer orders as JSON; every so many of them is wrong."""
    numbers = itertools.count(1)

    def behave(wire: Wire, request: Message) -> None:
        total = 1 if wrong_every and next(numbers) % wrong_every == 0 else 0
        wire.send(json_answer(b'{"order_id": "7", "total": %d}' % total))

    upstream.default = behave


DOCUMENT = """
openapi: 3.0.3
info: {title: Orders, version: '1'}
paths:
  /orders/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses:
        '200':
          description: An order.
          content:
            application/json:
              schema:
                type: object
                properties: {order_id: {type: string}, total: {type: integer, maximum: 0}}
"""


def test_reads_are_copied_compared_and_told(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    with sides() as (legacy, modern):
        answers(legacy, 0)
        answers(modern, 1)
        upstreams = deployment.settings["gateway"]["upstreams"]
        for name, side in (("legacy-app", legacy), ("modern-orders", modern)):
            upstreams[name]["url"] = f"http://127.0.0.1:{side.port}"
        deployment.write()
        routes = tmp_path / "routes"
        (routes / "openapi").mkdir()
        (routes / "openapi" / "orders.yaml").write_text(DOCUMENT)
        tree = yaml.safe_load((routes / "orders.yaml").read_text())
        tree["routes"][-1]["comparison"] = {"openapi": "openapi/orders.yaml"}
        (routes / "orders.yaml").write_text(yaml.safe_dump(tree))
        with deployment.stores() as stores:
            old = Sample(
                sample_id="old", route="order-read", difference="value /a", document=b"{}",
                made_at=time.time() - 31 * 86_400,
            )  # fmt: skip
            store = stores.comparisons().store
            store.add([RouteNews("order-read", "before", Tally(), (old,))])
            assert store.sample("old") is not None
        with running(deployment, "run", "gateway") as gateway:
            gateway.await_roles("gateway:0")
            wait_until(lambda: answer_of(deployment.gateway_port), 30, "the gateway to listen")
            assert deployment.call("switch", "orders", "shadow", *WHY).code == 0
            with Wire(socket.create_connection(("127.0.0.1", deployment.gateway_port))) as client:
                for number in range(20):
                    client.send(b"GET /orders/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
                    assert client.message().body == b'{"order_id": "7", "total": 0}'
                client.send(b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
                assert client.message().status == 200

            def differed() -> int:
                copies = deployment.call("status", "--json").json()["copies"]
                return int(copies[0]["differed"]) if copies else 0

            wait_until(lambda: differed() >= 10, 30, "differences to be told")
            said = deployment.call("status").out

            def drifted() -> int:
                told = deployment.call("compare", "show", "order-read", "--json").json()
                return sum(int(one["modern"]) for one in told["drift"]["findings"])

            wait_until(lambda: drifted() >= 10, 30, "drift to be told")
            drift = deployment.call("compare", "show", "order-read")
            assert gateway.stop() == 0
        assert {message.start.split()[0] for message in modern.received} == {b"GET"}
    assert "Copied for comparison" in said
    assert "drift from openapi/orders.yaml: modern" in drift.out
    assert "/total" in drift.out
    with deployment.stores() as stores:
        api = stores.comparisons().route("order-read").api
        documents = "" if api is None else api.digest
        store = open_comparisons(stores.settings)
        series = next(one for one in store.series() if one.rules not in ("before", documents))
        counts = store.counts(series.route, series.rules)
        samples = store.samples(route="order-read", count_max=1_000)
        assert store.sample("old") is None, "kept for thirty days"
        store.close()
    assert series.route == "order-read"
    assert counts["field.differs", "/total"] == counts["compared", ""] > 0
    assert counts["requests", ""] == 20
    assert samples
