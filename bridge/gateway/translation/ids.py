"""Translate the ids that differ between the two sides, in request targets and JSON bodies.

A request goes to a side with that side's ids; the answer comes back with the ids that the client
used. What holds no declared id that differs is passed on byte for byte.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import quote, unquote_to_bytes

from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule
from bridge.gateway.translation.json_text import find_value, id_at, replace_id
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.write import MadeId

FindId: TypeAlias = Callable[[str, str], str | None]
"""(entity, id as the client knows it) → id on the side that is asked, or None when unknown."""

# These describe the bytes of a body that we changed, or its length, and would be false afterwards.
_FALSE_AFTER_CHANGE: Final = frozenset(
    {b"content-length", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"etag"}
)

MARKER_PREFIX: Final = b"legacy-bridge-"
"""Fields of our own; what a client sends under this prefix is not passed on."""


class Translated(NamedTuple):
    """A request as one side understands it."""

    request: HttpRequest
    used: Mapping[tuple[str, str], str]
    """(entity, id that was sent) → id that the client used, for every declared id."""
    unknown: tuple[str, ...]
    """Entities of ids that the side is not known to have; they were left as they are."""


def translate_request(path: str, rules: IdRules, request: HttpRequest, find: FindId) -> Translated:
    """Return `request` with each declared id as `find` names it. `path` is the route's template."""
    if not rules.path and not rules.request:
        return Translated(request, {}, ())
    used: dict[tuple[str, str], str] = {}
    unknown: list[str] = []

    def swap(entity: str, known_id: str) -> str:
        found = find(entity, known_id)
        if found is None:
            unknown.append(entity)
            found = known_id
        used[entity, found] = known_id
        return found

    target = _translate_target(path, rules.path, request.target, swap, unknown)
    body = request.body
    for pointer, entity in rules.request.items():
        body = _swap_at(body, pointer, entity, swap)
    if target is request.target and body is request.body:
        return Translated(request, used, tuple(unknown))
    headers = request.headers if body is request.body else _true_headers(request.headers)
    changed = dataclasses.replace(request, target=target, headers=headers, body=body)
    return Translated(changed, used, tuple(unknown))


def translate_response(
    rules: IdRules, response: HttpResponse, used: Mapping[tuple[str, str], str]
) -> HttpResponse:
    """Return `response` with declared ids as the client named them in its request."""
    body = response.body
    for pointer, entity in rules.response.items():
        body = _swap_at(body, pointer, entity, lambda entity, made: used.get((entity, made), made))
    if body is response.body:
        return response
    return dataclasses.replace(response, headers=_true_headers(response.headers), body=body)


def ids_made(
    rules: IdRules, response: HttpResponse, used: Mapping[tuple[str, str], str]
) -> tuple[MadeId, ...]:
    """Return the declared ids that an answer holds and that its request did not name."""
    found = []
    for pointer, entity in rules.response.items():
        made = json_id(response.body, pointer)
        if made is not None and (entity, made) not in used:
            found.append(MadeId(entity, made, pointer))
    return tuple(found)


def json_id(body: bytes, pointer: str) -> str | None:
    """Return the id at `pointer`, or None."""
    span = find_value(body, pointer)
    return None if span is None else id_at(body, span)


def key_of(rule: KeyRule, decision: Decision, request: HttpRequest) -> str | None:
    """Return the key of the data that a request touches; None when the request has none."""
    if rule.place is KeyPlace.PATH:
        return decision.params.get(rule.name)
    if rule.place is KeyPlace.JSON:
        return json_id(request.body, rule.name)
    if rule.place is KeyPlace.HEADER:
        value = request.header(rule.name.encode("latin-1"))
        return None if value is None else value.decode("latin-1")
    if rule.place is KeyPlace.QUERY:
        return _query_value(request.target, rule.name)
    return None


def lane_of(entity: str | None, key: str) -> str:
    """Return the lane of a key; an entity's name keeps order 7 and customer 7 apart."""
    return key if entity is None else f"{entity}:{key}"


def without_markers(headers: Headers) -> Headers:
    """Return `headers` without fields under our own prefix."""
    if not any(name.lower().startswith(MARKER_PREFIX) for name, _ in headers):
        return headers
    return tuple(field for field in headers if not field[0].lower().startswith(MARKER_PREFIX))


def readable(request: HttpRequest, rules: IdRules) -> HttpRequest:
    """Return `request` asking for an answer whose declared ids can be read: not compressed."""
    if not rules.response or request.header(b"accept-encoding") is None:
        return request
    headers = tuple(
        (name, b"identity" if name.lower() == b"accept-encoding" else value)
        for name, value in request.headers
    )
    return dataclasses.replace(request, headers=headers)


def _swap_at(body: bytes, pointer: str, entity: str, swap: Callable[[str, str], str]) -> bytes:
    span = find_value(body, pointer)
    known_id = None if span is None else id_at(body, span)
    if span is None or known_id is None:
        return body
    new_id = swap(entity, known_id)
    return body if new_id == known_id else replace_id(body, span, new_id)


def _translate_target(
    path: str,
    entities: Mapping[str, str],
    target: bytes,
    swap: Callable[[str, str], str],
    unknown: list[str],
) -> bytes:
    if not entities:
        return target
    raw_path, question, query = target.partition(b"?")
    raw = raw_path.split(b"/")
    template = path.split("/")
    if b"." in raw or b".." in raw:
        # Matched without its dot segments: it does not stand beside the template.
        unknown.extend(entities.values())
        return target
    changed = False
    # A last `{name...}` takes the rest of the path, which is no single id.
    for index, segment in enumerate(template[: len(raw)]):
        entity = entities.get(segment[1:-1]) if segment[:1] == "{" and segment[-1:] == "}" else None
        if entity is None:
            continue
        known_id = unquote_to_bytes(raw[index]).decode("utf-8", "surrogateescape")
        new_id = swap(entity, known_id)
        if new_id != known_id:
            raw[index] = quote(new_id, safe="").encode("ascii")
            changed = True
    return b"/".join(raw) + question + query if changed else target


def _true_headers(headers: Headers) -> Headers:
    return tuple(field for field in headers if field[0].lower() not in _FALSE_AFTER_CHANGE)


def _query_value(target: bytes, name: str) -> str | None:
    for part in target.partition(b"?")[2].split(b"&"):
        field, equals, value = part.partition(b"=")
        if equals and _query_text(field) == name:
            return _query_text(value)
    return None


def _query_text(raw: bytes) -> str:
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8", "surrogateescape")
