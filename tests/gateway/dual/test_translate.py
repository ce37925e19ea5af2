"""Ids change, and not one other byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.routes.route import IdRules
from bridge.gateway.translation.ids import ids_made, translate_request, translate_response
from bridge.gateway.translation.json_text import find_value, id_at, replace_id
from bridge.model.http import HttpRequest, HttpResponse

PAIRS = {("order", "7"): "m-7", ("customer", "5"): "c-5", ("order", "a/b"): "x y"}


def find(entity: str, known_id: str) -> str | None:
    return PAIRS.get((entity, known_id))


def request(target: bytes, body: bytes = b"") -> HttpRequest:
    headers = ((b"Content-Length", b"9"), (b"X-Keep", b"1"))
    return HttpRequest(method=b"PUT", target=target, headers=headers, body=body)


def test_path_and_body_get_the_other_sides_ids() -> None:
    rules = IdRules(path={"order_id": "order"}, request={"/customer/id": "customer"})
    body = b'{"price": 12.50, "customer": {"id" : 5}, "note": "5 \\u00e9"}'
    sent = translate_request(
        "/orders/{order_id}/x", rules, request(b"/orders/7/x?a=%2F", body), find
    )
    assert sent.request.target == b"/orders/m-7/x?a=%2F"
    assert sent.request.body == (
        b'{"price": 12.50, "customer": {"id" : "c-5"}, "note": "5 \\u00e9"}'
    )
    assert sent.request.headers == ((b"X-Keep", b"1"),)
    assert sent.used == {("order", "m-7"): "7", ("customer", "c-5"): "5"}
    assert sent.unknown == ()


def test_ids_are_decoded_and_encoded_in_the_path() -> None:
    rules = IdRules(path={"order_id": "order"})
    sent = translate_request("/orders/{order_id}", rules, request(b"/orders/a%2Fb"), find)
    assert sent.request.target == b"/orders/x%20y"


def test_what_is_not_known_stays_and_is_told() -> None:
    rules = IdRules(path={"order_id": "order"})
    original = request(b"/orders/8")
    sent = translate_request("/orders/{order_id}", rules, original, find)
    assert sent.request is original
    assert sent.unknown == ("order",)


def test_dot_segments_are_not_guessed_at() -> None:
    rules = IdRules(path={"order_id": "order"})
    sent = translate_request("/orders/{order_id}", rules, request(b"/7/../orders/7"), find)
    assert sent.request.target == b"/7/../orders/7"
    assert sent.unknown == ("order",)


def test_answers_come_back_with_the_clients_ids() -> None:
    rules = IdRules(response={"/order_id": "order", "/item": "item"})
    body = b'{"order_id":"m-7","total":1.10,"item":3}'
    response = HttpResponse(status=200, reason=b"OK", headers=((b"ETag", b'"1"'),), body=body)
    used = {("order", "m-7"): "7"}
    answer = translate_response(rules, response, used)
    assert answer.body == b'{"order_id":7,"total":1.10,"item":3}'
    assert answer.headers == ()
    assert translate_response(rules, response, {}) is response
    assert [(made.entity, made.id) for made in ids_made(rules, response, used)] == [("item", "3")]


@pytest.mark.parametrize(
    ("text", "pointer", "found"),
    [
        (b'{"a": 1, "a": 2}', "/a", b"2"),
        (b'{"a/b": {"~": "x"}}', "/a~1b/~0", b'"x"'),
        (b"[10, [20, 30]]", "/1/0", b"20"),
        (b'{"\\u0061": 1}', "/a", b"1"),
        (b' "whole" ', "", b'"whole"'),
        (b'{"a": [1, {"b": "]}\\""}]}', "/a/1/b", b'"]}\\""'),
        (b"[1]", "/1", None),
        (b"[]", "/0", None),
        (b'{"a": 1', "/b", None),
        (b"", "/a", None),
        (b"\xff\xfe", "/a", None),
        (b'{"a"', "/a", None),
        (b"5", "/a", None),
    ],
)
def test_values_are_found_where_they_stand(text: bytes, pointer: str, found: bytes | None) -> None:
    span = find_value(text, pointer)
    assert (None if span is None else text[slice(*span)]) == found


@pytest.mark.parametrize("text", [b"1.5", b"true", b"null", b"{}", b"1e3", b"[1]"])
def test_only_strings_and_integers_are_ids(text: bytes) -> None:
    assert id_at(text, (0, len(text))) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def _paths(value: Any, pointer: str = "") -> list[tuple[str, Any]]:
    found = [(pointer, value)]
    if isinstance(value, dict):
        for name, inner in value.items():
            step = name.replace("~", "~0").replace("/", "~1")
            found += _paths(inner, f"{pointer}/{step}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _paths(inner, f"{pointer}/{index}")
    return found


@given(value=JSON, ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
def test_every_value_of_any_document_is_found(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(errors="surrogatepass")
    for pointer, wanted in _paths(value):
        span = find_value(text, pointer)
        assert span is not None
        assert json.loads(text[slice(*span)]) == wanted


@given(text=st.binary(max_size=60), pointer=st.sampled_from(["", "/a", "/0", "/a/b/0"]))
def test_no_bytes_are_too_strange(text: bytes, pointer: str) -> None:
    span = find_value(text, pointer)
    if span is not None:
        id_at(text, span)


@given(new_id=st.text(min_size=1))
def test_a_replaced_id_reads_back(new_id: str) -> None:
    text = b'{"a":"old","b":2.50}'
    span = find_value(text, "/a")
    assert span is not None
    changed = replace_id(text, span, new_id)
    again = find_value(changed, "/a")
    assert again is not None
    assert id_at(changed, again) == new_id
    assert changed.endswith(b',"b":2.50}')
