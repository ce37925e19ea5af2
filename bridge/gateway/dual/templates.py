"""Fill the templates of a route's dual rules from one write.

`{name}` is a parameter of the route's path, `{request:/pointer}` and `{answer:/pointer}` are values
of the two bodies, `{idempotency_key}` and `{intent_id}` name the write. A template that names what
the write does not have is not filled at all: half a path would name another entity.
"""

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from bridge.gateway.routes.route import Route
from bridge.gateway.translation.json_text import find_value, id_at
from bridge.model.write import JournalledWrite

_PLACE: Final = re.compile(r"\{(?:(request:|answer:)(/[^{}\"\s]*)|([A-Za-z_][A-Za-z0-9_]*))\}")


class Value(NamedTuple):
    """What one placeholder stands for."""

    text: str
    raw: bytes
    """As JSON."""


class Facts:
    """What the templates of one write may name, by the ids of one side."""

    def __init__(
        self,
        route: Route,
        write: JournalledWrite,
        *,
        client_id: Callable[[str, str], str | None],
        made_id: Callable[[str, str], str | None],
    ) -> None:
        """`client_id` and `made_id` find (entity, id) on the side that is asked.

        The first is given ids as the client knows them, the second those that the authority gave.
        """
        self._route = route
        self._write = write
        self._client_id = client_id
        self._made_id = made_id

    def target(self, template: str) -> bytes | None:
        """Return the filled path and query, or None when something is missing."""
        return self._filled(template, lambda value: quote(value.text, safe="").encode("ascii"))

    def body(self, template: str | None) -> bytes | None:
        """Return the filled JSON text, or None when something is missing."""
        return b"" if template is None else self._filled(template, lambda value: value.raw)

    def _filled(self, template: str, shown: Callable[[Value], bytes]) -> bytes | None:
        parts: list[bytes] = []
        at = 0
        for place in _PLACE.finditer(template):
            value = self._value(place[1], place[2] or place[3])
            if value is None:
                return None
            parts += [template[at : place.start()].encode(), shown(value)]
            at = place.end()
        return b"".join([*parts, template[at:].encode()])

    def _value(self, part: str | None, name: str) -> Value | None:
        if part == "request:":
            body, entities, find = (
                self._write.intent.request.body,
                self._route.ids.request,
                self._client_id,
            )
            return _value_at(body, name, entities.get(name), find)
        if part == "answer:":
            if self._write.response is None:
                return None
            body, entities = self._write.response.body, self._route.ids.response
            return _value_at(body, name, entities.get(name), self._made_id)
        if name == "idempotency_key":
            return _text(self._write.intent.idempotency_key)
        if name == "intent_id":
            return _text(self._write.intent.intent_id)
        given = path_values(self._route.path, self._write.intent.request.target).get(name)
        entity = self._route.ids.path.get(name)
        if given is not None and entity is not None:
            given = self._client_id(entity, given)
        return None if given is None else _text(given)


def path_values(template: str, target: bytes) -> dict[str, str]:
    """Return the path parameters of a request that matched `template`, percent-decoded."""
    raw = target.partition(b"?")[0].split(b"/")
    values = {}
    for index, segment in enumerate(template.split("/")[: len(raw)]):
        if segment.startswith("{") and not segment.endswith("...}"):
            decoded = unquote_to_bytes(raw[index]).decode("utf-8", "surrogateescape")
            values[segment[1:-1]] = decoded
    return values


def _value_at(
    body: bytes, pointer: str, entity: str | None, find: Callable[[str, str], str | None]
) -> Value | None:
    span = find_value(body, pointer)
    if span is None:
        return None
    raw = body[span[0] : span[1]]
    text = id_at(body, span)
    if entity is not None and text is not None:
        found = find(entity, text)
        if found is None:
            return None
        if found != text:
            return _text(found)
    return Value(raw.decode("utf-8", "replace") if text is None else text, raw)


def _text(text: str) -> Value:
    return Value(text, json.dumps(text).encode("ascii"))
