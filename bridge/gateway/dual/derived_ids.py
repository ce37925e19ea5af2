"""Ids of the other side that follow from the authority's, where callers may choose them."""

import dataclasses
import json
import uuid
from typing import Final

from bridge.gateway.routes.sections.dual import Chosen, DerivedId
from bridge.gateway.translation.json_text import find_value, replace_id
from bridge.model.http import HttpRequest

# Of our own making (RFC 9562 6.6): names below it are "group/entity/id".
_NAMESPACE: Final = uuid.UUID("6f1c4a53-7c0e-5a0e-9f0b-0d6e2b7f3a11")


def derived_id(rule: Chosen, group: str, entity: str, made: str) -> str:
    """Return the id on the other side of what the authority called `made`.

    It depends on nothing else, so that every repeat asks for the same one.
    """
    if rule.derive is DerivedId.SAME:
        return made
    return str(uuid.uuid5(_NAMESPACE, f"{group}/{entity}/{made}"))


def with_id(rule: Chosen, request: HttpRequest, chosen: str) -> HttpRequest | None:
    """Return `request` asking for id `chosen`; None when its body is no JSON object.

    Only the id is written: every other byte of the body stays.
    """
    body = request.body
    span = find_value(body, rule.place)
    if span is not None:
        return dataclasses.replace(request, body=replace_id(body, span, chosen))
    start = body.find(b"{")
    if start < 0 or body[:start].strip() or find_value(body, "") is None:
        return None
    more = body[start + 1 :].lstrip()
    member = f"{json.dumps(rule.place[1:])}: {json.dumps(chosen)}".encode("ascii")
    comma = b"" if more.startswith(b"}") else b", "
    changed = body[: start + 1] + member + comma + body[start + 1 :]
    return dataclasses.replace(request, body=changed)
