"""Change a request for one side, and an answer of it, as the route's rules say.

A changed body loses what describes the bytes that it was: strong validator, digests, ranges (RFC
9110 8.8.1, RFC 9530). What no rule changes is returned as the same object.
"""

import dataclasses
from typing import Final

from bridge.gateway.routes.block_edit import BlockEdit
from bridge.gateway.routes.route import Route
from bridge.gateway.translation.json_edit import edited
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.stage import Side

_OF_THE_BYTES: Final = frozenset(
    {
        b"accept-ranges",
        b"content-digest",
        b"content-length",
        b"content-md5",
        b"digest",
        b"repr-digest",
    }
)
# An answer that is changed cannot be sent in parts, and must be readable: 206 and codings are not
# asked for.
_ASKING_FOR_BYTES: Final = frozenset({b"range", b"if-range"})


def request_for(route: Route, side: Side, request: HttpRequest) -> HttpRequest:
    """Return `request` as the rules have it for `side`; its ids are the side's already."""
    rewriting = route.rewriting[side]
    if rewriting is None:
        return request
    target, headers, body = request.target, request.headers, request.body
    if rewriting.request is not None:
        target = rewriting.request.target(target)
        headers = _edited(headers, rewriting.request)
    for rules in rewriting.request_bodies:
        body = edited(body, rules)
    if rewriting.answer_bodies:
        headers = tuple(
            (name, b"identity" if name.lower() == b"accept-encoding" else value)
            for name, value in headers
            if name.lower() not in _ASKING_FOR_BYTES
        )
    if body != request.body:
        headers = without_bytes_facts(headers)
    return dataclasses.replace(request, target=target, headers=headers, body=body)


def answer_from(route: Route, side: Side, answer: HttpResponse) -> HttpResponse:
    """Return an answer of `side` as the rules have it; its ids are the side's still."""
    rewriting = route.rewriting[side]
    if rewriting is None or (rewriting.answer is None and not rewriting.answer_bodies):
        return answer
    headers, body = answer.headers, answer.body
    for rules in rewriting.answer_bodies:
        body = edited(body, rules)
    if body != answer.body:
        headers = without_bytes_facts(headers)
    if rewriting.answer is not None:
        headers = _edited(headers, rewriting.answer)
    return dataclasses.replace(answer, headers=headers, body=body)


def without_bytes_facts(headers: Headers) -> Headers:
    """Return `headers` without what describes the bytes of a body that was changed.

    A weak ETag stays: it promises the same meaning, and not the same bytes (RFC 9110 8.8.1).
    """
    return tuple(
        (name, value)
        for name, value in headers
        if name.lower() not in _OF_THE_BYTES
        and not (name.lower() == b"etag" and not value.startswith(b"W/"))
    )


def _edited(headers: Headers, edit: BlockEdit) -> Headers:
    lines = edit.lines([b"%b: %b" % pair for pair in headers])
    pairs = (line.partition(b":") for line in lines)
    return tuple((name, value.strip(b" \t")) for name, _, value in pairs)
