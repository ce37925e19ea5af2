"""Header, path and body rules, both ways and per side, as values."""

from typing import Any

import pytest
from pydantic import ValidationError

from bridge.gateway.routes.loader import read_group
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.rewriting import AnswerRewriting, RequestRewriting
from bridge.gateway.translation.rewriting import answer_from, request_for
from bridge.model.errors import ConfigInvalid
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.stage import Side


def a_route(path: str = "/orders/{id}", **sections: Any) -> Route:
    """Return a route that the loader has read."""
    tree = {
        "group": "g",
        "sides": {"legacy": "old", "modern": "new"},
        "routes": [{"id": "r", "methods": ["GET"], "path": path, **sections}],
    }
    (found,) = read_group("g.yaml", tree, ("old", "new"))
    return found


def a_request(
    *headers: tuple[bytes, bytes], target: bytes = b"/orders/7", body: bytes = b""
) -> Any:
    return HttpRequest(method=b"GET", target=target, headers=headers)


def an_answer(*headers: tuple[bytes, bytes], body: bytes = b"") -> HttpResponse:
    """Return an answer."""
    return HttpResponse(status=200, reason=b"OK", headers=headers, body=body)


def test_without_rules_everything_is_the_same_object() -> None:
    route, request, answer = a_route(), a_request(), an_answer()
    assert request_for(route, Side.LEGACY, request) is request
    assert answer_from(route, Side.MODERN, answer) is answer


def test_each_side_gets_its_own_after_those_of_both() -> None:
    route = a_route(
        request={
            "both": {"headers": {"set": {"X-Shop": "7"}, "remove": ["x-old"]}},
            "modern": {"headers": {"rename": {"X-Shop": "Shop"}, "add": {"X-Tag": "m"}}},
        }
    )
    sent = a_request((b"X-OLD", b"1"), (b"X-Keep", b" as is"), (b"x-shop", b"1"), (b"X-Tag", b"c"))
    assert request_for(route, Side.LEGACY, sent).headers == (
        (b"X-Keep", b"as is"),
        (b"X-Tag", b"c"),
        (b"X-Shop", b"7"),
    )
    assert request_for(route, Side.MODERN, sent).headers == (
        (b"X-Keep", b"as is"),
        (b"X-Tag", b"c"),
        (b"Shop", b"7"),
        (b"X-Tag", b"m"),
    )


@pytest.mark.parametrize(
    ("prefix", "to", "target", "result"),
    [
        ("/orders", "/v2/items", b"/orders/7?a=%2f&b", b"/v2/items/7?a=%2f&b"),
        ("/orders", "/", b"/orders/7", b"/7"),
        ("/", "/api", b"/orders/7", b"/api/orders/7"),
        ("/orders/", "/x", b"/orders/%41//b", b"/x/%41//b"),
        ("/orders", "/x", b"/%6frders/7", b"/%6frders/7"),
    ],
)
def test_the_beginning_of_a_path(prefix: str, to: str, target: bytes, result: bytes) -> None:
    route = a_route(request={"legacy": {"path": {"prefix": prefix, "to": to}}})
    assert request_for(route, Side.LEGACY, a_request(target=target)).target == result
    assert request_for(route, Side.MODERN, a_request(target=target)).target == target


def test_a_path_that_is_the_prefix_becomes_the_root() -> None:
    route = a_route("/orders", request={"legacy": {"path": {"prefix": "/orders", "to": "/"}}})
    assert request_for(route, Side.LEGACY, a_request(target=b"/orders?x")).target == b"/?x"


ENDS: Headers = (
    (b"ETag", b'"1"'),
    (b"Content-Digest", b"sha-256=:x:"),
    (b"Repr-Digest", b"sha-256=:x:"),
    (b"Content-MD5", b"x"),
    (b"Accept-Ranges", b"bytes"),
    (b"Content-Length", b"9"),
)


def test_a_changed_answer_loses_what_describes_its_bytes() -> None:
    """RFC 9110 8.8.1: a strong validator is for these bytes and no others."""
    route = a_route(response={"legacy": {"body": {"set": {"/a": 2}}}})
    kept = ((b"Content-Type", b"application/json"), (b"Last-Modified", b"x"))
    answer = answer_from(route, Side.LEGACY, an_answer(*kept, *ENDS, body=b'{"a": 1, "b": 1.10}'))
    assert (answer.headers, answer.body) == (kept, b'{"a": 2, "b": 1.10}')
    weak = an_answer((b"ETag", b'W/"1"'), body=b'{"a": 1}')
    assert answer_from(route, Side.LEGACY, weak).headers == weak.headers
    same = an_answer(*ENDS, body=b'{"a": 2}')
    assert answer_from(route, Side.LEGACY, same).headers == ENDS, "nothing was changed"
    assert answer_from(route, Side.MODERN, same) is same


def test_an_answer_that_will_change_is_not_asked_for_in_parts_or_packed() -> None:
    route = a_route(response={"legacy": {"body": {"remove": ["/a"]}}})
    sent = a_request((b"Range", b"bytes=0-1"), (b"If-Range", b'"1"'), (b"Accept-Encoding", b"br"))
    assert request_for(route, Side.LEGACY, sent).headers == ((b"Accept-Encoding", b"identity"),)
    assert request_for(route, Side.MODERN, sent) is sent


@pytest.mark.parametrize(
    "rules",
    [
        {"legacy": {"headers": {"set": {"Content-Length": "1"}}}},
        {"legacy": {"headers": {"remove": ["Host"]}}},
        {"legacy": {"headers": {"rename": {"A": "Transfer-Encoding"}}}},
        {"legacy": {"headers": {"set": {"X": "a\r\nB: c"}}}},
        {"legacy": {"headers": {"set": {"X": " a"}}}},
        {"legacy": {"body": {"move": {"/a/*": "/b"}}}},
        {"legacy": {"body": {"move": {"/a": "/a/b"}}}},
        {"legacy": {"body": {"set": {"a": 1}}}},
        {"legacy": {"path": {"prefix": "a", "to": "/"}}},
        {"legacy": {"path": {"prefix": "/a", "to": "/../b"}}},
        {"old": {}},
    ],
)
def test_rules_that_cannot_be_meant(rules: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RequestRewriting.model_validate(rules)


def test_answers_have_no_path() -> None:
    with pytest.raises(ValidationError):
        AnswerRewriting.model_validate({"legacy": {"path": {"prefix": "/a", "to": "/b"}}})
    with pytest.raises(ConfigInvalid, match="rewrites prefix '/carts', which its path"):
        a_route(request={"legacy": {"path": {"prefix": "/carts", "to": "/b"}}})
