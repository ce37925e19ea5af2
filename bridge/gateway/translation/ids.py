"""Translate the ids that differ between the two sides, in request targets and JSON bodies.

A request goes to a side with that side's ids; the answer comes back with the ids that the client
used. What holds no declared id that differs is passed on byte for byte.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import quote, unquote_to_bytes

from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.path_template import parameters
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule
from bridge.gateway.routes.token_keys import claim_of
from bridge.gateway.translation.json_edit import Change, changed
from bridge.gateway.translation.json_text import find_value, find_values, id_at, written_id
from bridge.gateway.translation.rewriting import without_bytes_facts
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.write import MadeId

FindId: TypeAlias = Callable[[str, str], str | None]
"""(entity, id as the client knows it) → id on the side that is asked, or None when unknown."""

_LOCATIONS: Final = frozenset({b"location", b"content-location"})

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
    if not rules.in_requests:
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
    target = _translate_query(target, rules.query, swap)
    body = request.body
    for pointer, entity in rules.request.items():
        body = _swap_at(body, pointer, entity, swap)
    if target is request.target and body is request.body:
        return Translated(request, used, tuple(unknown))
    headers = request.headers if body is request.body else without_bytes_facts(request.headers)
    translated = dataclasses.replace(request, target=target, headers=headers, body=body)
    return Translated(translated, used, tuple(unknown))


def translate_response(
    rules: IdRules, response: HttpResponse, used: Mapping[tuple[str, str], str]
) -> HttpResponse:
    """Return `response` with declared ids as the client named them in its request."""

    def swap(entity: str, made: str) -> str:
        return used.get((entity, made), made)

    body, headers = response.body, response.headers
    for pointer, entity in rules.response.items():
        body = _swap_at(body, pointer, entity, swap)
    if body is not response.body:
        headers = without_bytes_facts(headers)
    if rules.location:
        headers = _translate_locations(headers, rules.location, swap)
    if body is response.body and headers is response.headers:
        return response
    return dataclasses.replace(response, headers=headers, body=body)


def ids_made(
    rules: IdRules, response: HttpResponse, used: Mapping[tuple[str, str], str]
) -> tuple[MadeId, ...]:
    """Return the declared ids that an answer holds and that its request did not name.

    Items of an array are told apart by their place in it: the sides are to answer a create of
    several in the order in which they were asked.
    """
    found = []
    for pointer, entity in rules.response.items():
        for place in find_values(response.body, pointer):
            made = id_at(response.body, (place.start, place.end))
            if made is not None and (entity, made) not in used:
                found.append(MadeId(entity, made, place.pointer))
    return tuple(found)


def json_id(body: bytes, pointer: str) -> str | None:
    """Return the id at `pointer`, or None."""
    span = find_value(body, pointer)
    return None if span is None else id_at(body, span)


def key_of(rule: KeyRule, decision: Decision, request: HttpRequest) -> str | None:
    """Return the key of the data that a request touches; None when the request has none.

    A request that names two keys in one place has none: the gateway and the application could each
    take another one.
    """
    if rule.place is KeyPlace.PATH:
        return decision.params.get(rule.name)
    if rule.place is KeyPlace.JSON:
        return json_id(request.body, rule.name)
    if rule.place is KeyPlace.HEADER:
        return _only(_values(request, rule.name))
    if rule.place is KeyPlace.QUERY:
        return _only(_query_values(request.target, rule.name))
    if rule.place is KeyPlace.COOKIE:
        return _only(_cookie_values(request, rule.name))
    if rule.place is KeyPlace.CLAIM:
        return claim_of(_only(_values(request, "authorization")), rule.name, rule.token_keys)
    return None


def lane_of(entity: str | None, key: str) -> str:
    """Return the lane of a key; an entity's name keeps order 7 and customer 7 apart."""
    return key if entity is None else f"{entity}:{key}"


def without_markers(headers: Headers) -> Headers:
    """Return `headers` without fields under our own prefix."""
    for name, _ in headers:
        # Nearly every name is told apart by its first letter.
        if name[:1] in b"lL" and name.lower().startswith(MARKER_PREFIX):
            break
    else:
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
    changes = []
    for place in find_values(body, pointer):
        span = (place.start, place.end)
        known_id = id_at(body, span)
        if known_id is not None and (new_id := swap(entity, known_id)) != known_id:
            changes.append(Change(*span, written_id(body, span, new_id)))
    return changed(body, changes)


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


def _translate_query(
    target: bytes, entities: Mapping[str, str], swap: Callable[[str, str], str]
) -> bytes:
    if not entities:
        return target
    path, question, query = target.partition(b"?")
    parts = query.split(b"&")
    swapped = False
    for index, part in enumerate(parts):
        name, equals, value = part.partition(b"=")
        entity = entities.get(query_text(name)) if equals else None
        if entity is None:
            continue
        known_id = query_text(value)
        new_id = swap(entity, known_id)
        if new_id != known_id:
            parts[index] = name + b"=" + quote(new_id, safe="").encode("ascii")
            swapped = True
    return path + question + b"&".join(parts) if swapped else target


def _translate_locations(
    headers: Headers, templates: tuple[str, ...], swap: Callable[[str, str], str]
) -> Headers:
    """Translate the ids in fields that name a resource (RFC 9110 8.7, 10.2.2)."""
    if not any(name.lower() in _LOCATIONS for name, _ in headers):
        return headers
    return tuple(
        (name, _translate_reference(value, templates, swap))
        if name.lower() in _LOCATIONS
        else (name, value)
        for name, value in headers
    )


def _translate_reference(
    value: bytes, templates: tuple[str, ...], swap: Callable[[str, str], str]
) -> bytes:
    start = 0
    scheme = value.find(b"://")
    if 0 < scheme < value.find(b"/") or (scheme > 0 and value.find(b"/") == scheme + 1):
        start = value.find(b"/", scheme + 3)
    if start < 0 or value[start : start + 1] != b"/":
        return value
    path = value[start:]
    end = min((at for at in (path.find(b"?"), path.find(b"#")) if at >= 0), default=len(path))
    raw = path[:end].split(b"/")
    for template in templates:
        wanted = template.split("/")
        if len(wanted) != len(raw) or not all(
            part[:1] == "{" or part.encode("utf-8") == raw[at] for at, part in enumerate(wanted)
        ):
            continue
        entities = {name: name for name in parameters(template)}
        changed_path = _translate_target(template, entities, path[:end], swap, [])
        return value[:start] + changed_path + path[end:]
    return value


def query_text(raw: bytes) -> str:
    """Return a name or value of a query as its text."""
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8", "surrogateescape")


def _only(values: Iterable[str]) -> str | None:
    """Return the one value, however often it is given; None for none and for several."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _values(request: HttpRequest, name: str) -> list[str]:
    wanted = name.lower().encode("latin-1")
    return [value.decode("latin-1") for field, value in request.headers if field.lower() == wanted]


def _query_values(target: bytes, name: str) -> list[str]:
    parts = (part.partition(b"=") for part in target.partition(b"?")[2].split(b"&"))
    return [
        query_text(value) for field, equals, value in parts if equals and query_text(field) == name
    ]


def _cookie_values(request: HttpRequest, name: str) -> list[str]:
    """Return the values of a cookie (RFC 6265 5.4); quotes around one are not part of it."""
    pairs = (
        part.strip(" \t").partition("=")
        for line in _values(request, "cookie")
        for part in line.split(";")
    )
    return [value.strip('"') for field, equals, value in pairs if equals and field == name]
