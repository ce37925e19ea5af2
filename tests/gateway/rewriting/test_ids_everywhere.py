"""Ids that differ, in queries, in locations, and in every item of an array: both ways."""

import pytest

from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule
from bridge.gateway.translation.ids import (
    ids_made,
    key_of,
    translate_request,
    translate_response,
)
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side, Stage
from tests.gateway.http.rig import route


def find(entity: str, known_id: str) -> str | None:
    """Knows order 7 and customer a/b."""
    return {("order", "7"): "m-7", ("order", "8"): "m-8", ("customer", "a/b"): "x y"}.get(
        (entity, known_id)
    )


def asked(
    target: bytes, body: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()
) -> HttpRequest:
    return HttpRequest(method=b"GET", target=target, headers=headers, body=body)


@pytest.mark.parametrize(
    ("target", "result"),
    [
        (b"/o?order=7&x=%2f", b"/o?order=m-7&x=%2f"),
        (b"/o?x&order=7&order=8&", b"/o?x&order=m-7&order=m-8&"),
        (b"/o?customer=a%2Fb", b"/o?customer=x%20y"),
        (b"/o?customer=a/b", b"/o?customer=x%20y"),
        (b"/o?%6Frder=7", b"/o?%6Frder=m-7"),
        (b"/o?order=9", b"/o?order=9"),
        (b"/o?order", b"/o?order"),
        (b"/o?orders=7", b"/o?orders=7"),
        (b"/o", b"/o"),
    ],
)
def test_in_queries(target: bytes, result: bytes) -> None:
    rules = IdRules(query={"order": "order", "customer": "customer"})
    sent = translate_request("/o", rules, asked(target), find)
    assert sent.request.target == result
    if b"9" in target:
        assert sent.unknown == ("order",)


@pytest.mark.parametrize(
    ("location", "result"),
    [
        (b"/orders/m-7", b"/orders/7"),
        (b"/orders/m-7?x=m-7#m-7", b"/orders/7?x=m-7#m-7"),
        (b"https://host:8080/orders/m-7", b"https://host:8080/orders/7"),
        (b"http://host/customers/x%20y/orders/m-8", b"http://host/customers/a%2Fb/orders/8"),
        (b"/orders/m-9", b"/orders/m-9"),
        (b"/orders/m-7/lines", b"/orders/m-7/lines"),
        (b"http://host", b"http://host"),
        (b"orders/m-7", b"orders/m-7"),
        (b"", b""),
    ],
)
def test_in_locations(location: bytes, result: bytes) -> None:
    rules = IdRules(location=("/orders/{order}", "/customers/{customer}/orders/{order}"))
    used = {("order", "m-7"): "7", ("order", "m-8"): "8", ("customer", "x y"): "a/b"}
    for name in (b"Location", b"content-location"):
        answer = HttpResponse(status=201, reason=b"", headers=((name, location), (b"ETag", b'"1"')))
        translated = translate_response(rules, answer, used)
        assert translated.headers == ((name, result), (b"ETag", b'"1"'))


def test_in_arrays() -> None:
    rules = IdRules(request={"/orders/*/id": "order"}, response={"/orders/*/id": "order"})
    body = b'{"orders": [{"id": 7, "sum": 1.10}, {"id": "8"}, {}, {"id": 9}]}'
    sent = translate_request("/o", rules, asked(b"/o", body), find)
    assert (
        sent.request.body
        == b'{"orders": [{"id": "m-7", "sum": 1.10}, {"id": "m-8"}, {}, {"id": 9}]}'
    )
    answer = HttpResponse(status=200, reason=b"", headers=(), body=sent.request.body)
    back = translate_response(rules, answer, sent.used)
    assert back.body == b'{"orders": [{"id": 7, "sum": 1.10}, {"id": 8}, {}, {"id": 9}]}'
    made = ids_made(rules, answer, {("order", "m-7"): "7"})
    assert [(each.id, each.place) for each in made] == [
        ("m-8", "/orders/1/id"),
        ("9", "/orders/3/id"),
    ]


@pytest.mark.parametrize(
    ("rules", "whole"),
    [
        (IdRules(query={"order": "order"}), True),
        (IdRules(request={"/id": "order"}), True),
        (IdRules(response={"/id": "order"}), False),
    ],
)
def test_reads_with_ids_outside_of_their_path_are_taken_whole(rules: IdRules, whole: bool) -> None:
    decision = Decision(
        route("r", "/o", ids=rules), Stage.MODERN, 3, Side.MODERN, {}, journalled=False
    )
    assert Forwarder(NoIds(), {}).translates(decision) is whole


class NoIds:
    """An empty id map."""

    def pair(self, group: str, entity: str, known_id: str) -> None:
        """Return nothing."""

    def pair_on(self, group: str, entity: str, side: Side, known_id: str) -> None:
        """Return nothing."""


@pytest.mark.parametrize(
    ("place", "name", "key"),
    [
        (KeyPlace.COOKIE, "tenant", "acme"),
        (KeyPlace.COOKIE, "twice", None),
        (KeyPlace.COOKIE, "none", None),
        (KeyPlace.HEADER, "x-tenant", "t"),
        (KeyPlace.HEADER, "x-two", None),
        (KeyPlace.HEADER, "x-same", "1"),
        (KeyPlace.QUERY, "q", "a b"),
        (KeyPlace.QUERY, "r", None),
        (KeyPlace.CLAIM, "sub", "joe"),
        (KeyPlace.CLAIM, "nobody", None),
    ],
)
def test_where_keys_stand(place: KeyPlace, name: str, key: str | None) -> None:
    """Two values in one place are no key: gateway and application could each take another one."""
    request = asked(
        b"/o?q=a+b&r=1&r=2",
        headers=(
            (b"Cookie", b'a=1; tenant="acme"; twice=1'),
            (b"cookie", b"twice=2"),
            (b"X-Tenant", b"t"),
            (b"X-Two", b"1"),
            (b"x-two", b"2"),
            (b"X-Same", b"1"),
            (b"x-same", b"1"),
            (b"Authorization", b"Bearer e30.eyJzdWIiOiJqb2UifQ."),
        ),
    )
    rule = KeyRule(place=place, name=name)
    decision = Decision(route("r", "/o"), Stage.LEGACY, 0, Side.LEGACY, {}, journalled=False)
    assert key_of(rule, decision, request) == key
