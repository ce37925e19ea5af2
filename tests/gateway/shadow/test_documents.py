"""Both sides of shadowed requests, held to the route's OpenAPI document while clients go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import brotli
import orjson
import pytest

from bridge.gateway.comparison.book import ComparisonBook
from bridge.gateway.comparison.drift import FAULTS_COUNT_MAX, RouteDrift, judge_drift
from bridge.gateway.comparison.samples import Sample
from bridge.gateway.comparison.tally import Tally
from bridge.gateway.openapi.checking import Fault
from bridge.gateway.openapi.document import ApiDocument, ApiDocuments
from bridge.gateway.routes.route import Route
from bridge.gateway.shadow import drift_check
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import Message, Wire
from tests.gateway.openapi.generated import SHOP, Shop
from tests.gateway.shadow.rig import QUIET, ShadowGateway, all_of, ports_of, sides

TARGET = b"/api/v2/orders/17"
SECRET = "canary-4711"


@pytest.fixture(autouse=True)
def time_for_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no check be left out on a busy machine."""
    monkeypatch.setattr(drift_check, "_BURST_S", 60.0)


def documents(other: ApiDocument = SHOP) -> ApiDocuments:
    return ApiDocuments(legacy=SHOP, modern=other)


def held(**changes: Any) -> Route:
    return all_of(**{"api": documents(), **changes})


def answers(
    upstream: Upstream, body: Any, *, status: bytes = b"200 OK", fields: bytes = b'ETag: "1"\r\n'
) -> None:
    """Answer everything like this."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)

    def behave(wire: Wire, request: Message) -> None:
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
        wire.send(head % (status, fields, len(raw)) + raw)

    upstream.default = behave


def order(**changes: Any) -> dict[str, Any]:
    return {**Shop(5).order(1), **changes}


@contextmanager
def shadowed(
    legacy_body: Any, modern_body: Any, route: Route | None = None, **rig: Any
) -> Iterator[ShadowGateway]:
    with sides() as (legacy, modern):
        answers(legacy, legacy_body)
        answers(modern, modern_body)
        routes = [held() if route is None else route]
        with ShadowGateway(ports_of(legacy, modern), routes=routes, seed=1, **rig) as gateway:
            yield gateway


def send(gateway: ShadowGateway, count: int = 5, target: bytes = TARGET) -> None:
    before = sum(n for name, n in gateway.counts().items() if ".document.checked.request" in name)
    with gateway.connect() as client:
        for _ in range(count):
            client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            client.message()
    gateway.await_count("all.document.checked.request", round(before) + count)


def found(gateway: ShadowGateway, digest: str | None = None) -> tuple[RouteDrift, list[Sample]]:
    """Return what is told of the route's drift, and the samples of it."""
    news: list[Any] = []
    gateway.in_loop(lambda: news.extend(gateway.book.drain()))
    counts = Tally()
    samples: list[Sample] = []
    for one in news:
        if one.rules == (digest or documents().digest):
            counts += one.counts
            samples += one.samples
    return judge_drift(counts, QUIET, {"legacy": "a", "modern": "a"}), samples


def told(drift: RouteDrift) -> set[tuple[str, str, str]]:
    return {(one.where, one.rule, one.place) for one in drift.findings}


def test_what_conforms_on_both_sides_is_told_as_such() -> None:
    with shadowed(order(), order(comment=None)) as gateway:
        send(gateway, 20)
        drift, samples = found(gateway)
    assert not drift.findings
    assert not samples
    assert {one.who: one.checked for one in drift.sides} == {
        "legacy": 20, "modern": 20, "request": 20
    }  # fmt: skip
    assert drift.verdict == "not-enough-data"


@pytest.mark.parametrize(
    ("legacy", "modern", "verdict"),
    [
        ({"comment": 5}, {}, "legacy"),
        ({}, {"comment": 5}, "modern"),
        ({"comment": 5}, {"comment": 5}, "both"),
    ],
)
def test_drift_is_told_of_the_side_that_has_it(
    legacy: dict[str, Any], modern: dict[str, Any], verdict: str
) -> None:
    with shadowed(order(**legacy), order(**modern)) as gateway:
        send(gateway)
        drift, samples = found(gateway)
    assert drift.verdict == verdict
    assert told(drift) == {(verdict, "type", "/comment")}
    assert samples
    assert samples[0].difference.startswith("drift ")


def test_samples_of_drift_hold_no_values() -> None:
    wrong = order(status=SECRET)
    with shadowed(order(), wrong) as gateway:
        send(gateway)
        _, samples = found(gateway)
        notes = repr(gateway.observer.notes("shadow"))
    (sample, *_) = samples
    assert sample.difference == "drift modern enum /status"
    tree = sample.read()
    assert tree["faults"] == [{"who": "modern", "rule": "enum", "place": "/status"}]
    assert tree["bodies"][1]["value"]["status"].startswith("text:11:")
    assert SECRET.encode() not in sample.document
    assert SECRET not in notes
    assert gateway.seal.unseal(tree["request"], sample.sample_id).target == TARGET


def test_a_sample_of_a_difference_can_be_sent_again() -> None:
    with shadowed(order(), order(comment="other"), all_of()) as gateway:
        with gateway.connect() as client:
            client.send(b"GET /orders/%b HTTP/1.1\r\nHost: a\r\n\r\n" % SECRET.encode())
            client.message()
        gateway.await_count("all.compared.mismatch")
        news: list[Any] = []
        gateway.in_loop(lambda: news.extend(gateway.book.drain()))
    (sample,) = [one for said in news for one in said.samples]
    assert SECRET.encode() not in sample.document
    opened = gateway.seal.unseal(sample.read()["request"], sample.sample_id)
    assert opened.target == b"/orders/" + SECRET.encode()


def test_equal_answers_that_are_undeclared_are_drift_too() -> None:
    same = orjson.dumps(order(status="lost"))
    with shadowed(same, same) as gateway:
        send(gateway, 8)
        drift, _ = found(gateway)
        counts = gateway.counts()
    assert told(drift) == {("both", "enum", "/status")}
    assert counts["all.compared.identical"] == 8
    assert counts["all.document.drift.modern.enum"] == 8


def test_status_header_and_request_are_looked_at() -> None:
    with sides() as (legacy, modern):
        answers(legacy, order())
        answers(modern, order(), status=b"206 Partial Content", fields=b"")
        with ShadowGateway(ports_of(legacy, modern), routes=[held()], seed=1) as gateway:
            send(gateway)
            answers(modern, order(), fields=b"")
            send(gateway)
            send(gateway, target=b"/api/v2/orders/none")
            send(gateway, target=b"/api/v2/secret/bob")
            drift, _ = found(gateway)
    assert {
        ("modern", "status", "status:206"),
        ("modern", "required", "header:etag"),
        ("request", "type", "path:order_id"),
        ("request", "path", "request"),
    } <= told(drift)


def test_packed_answers_are_read() -> None:
    packed = brotli.compress(orjson.dumps(order(comment=7)))
    with sides() as (legacy, modern):
        answers(legacy, order())
        answers(modern, packed, fields=b'ETag: "1"\r\nContent-Encoding: br\r\n')
        with ShadowGateway(ports_of(legacy, modern), routes=[held()], seed=1) as gateway:
            send(gateway)
            answers(modern, packed[:-5], fields=b'ETag: "1"\r\nContent-Encoding: br\r\n')
            send(gateway)
            drift, _ = found(gateway)
    assert told(drift) == {("modern", "type", "/comment"), ("modern", "coding", "/")}


def test_each_side_may_have_a_document_of_its_own() -> None:
    newer = ApiDocument.parse(
        "newer.json",
        orjson.dumps(
            {
                "openapi": "3.1.0",
                "paths": {
                    "/api/v2/orders/{id}": {
                        "get": {"responses": {"200": {"content": {"application/json": {
                            "schema": {"required": ["reference"]}}}}}}
                    }
                },
            }
        ),
    )  # fmt: skip
    both = documents(newer)
    with shadowed(order(), {"reference": 1}, held(api=both)) as gateway:
        send(gateway)
        drift, _ = found(gateway, both.digest)
    assert not drift.findings
    with shadowed(order(), order(), held(api=both)) as gateway:
        send(gateway)
        drift, _ = found(gateway, both.digest)
    assert told(drift) == {("modern", "required", "/reference")}


def test_checks_are_held_to_their_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_check, "_BURST_S", 1e-9)
    with shadowed(order(), order()) as gateway:
        monkeypatch.setattr(gateway.mirror._judge._drift, "_share", 0.0)
        with gateway.connect() as client:
            for _ in range(10):
                client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % TARGET)
                client.message()
        gateway.await_count("all.compared.identical", 10)
        counts = gateway.counts()
    assert counts["all.document.skipped.time"] >= 9
    assert counts["all.document.checked.legacy"] <= 1


def test_large_answers_are_compared_and_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_check, "_BYTES_MAX", 100)
    with shadowed(order(), order()) as gateway:
        send(gateway)
        counts = gateway.counts()
    assert counts["all.document.skipped.size"] == 10
    assert counts["all.document.checked.modern"] == 0


def test_a_bug_in_a_check_costs_no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(drift_check, "request_faults", bug)
    with shadowed(order(), order()) as gateway:
        with gateway.connect() as client:
            client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % TARGET)
            client.message()
        counts = gateway.await_count("all.compared.identical")
    assert counts["all.document.skipped.failed"] == 1


def test_kinds_of_drift_are_bounded() -> None:
    book = ComparisonBook(key=b"k", chance=lambda: 0.5, new_id=lambda: "s")
    kept = book.drift_of("r", QUIET, "openapi-1")
    for number in range(FAULTS_COUNT_MAX + 50):
        kept.add("modern", [Fault("type", f"/{number}")])
    (news,) = book.drain()
    drift = judge_drift(news.counts, QUIET, {})
    assert len(drift.findings) == FAULTS_COUNT_MAX + 1
    assert next(one for one in drift.findings if one.rule == "(others)").modern == 50
    assert drift.modern.drifted == FAULTS_COUNT_MAX + 50
