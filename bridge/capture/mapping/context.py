"""Who changed rows, and why, as the application itself says it. Pure.

An application that calls `pg_logical_emit_message(true, 'lb.context', '{"actor": "u-4711", …}')`
says it about the rows that follow in its transaction, up to the next such message. What it says
goes into leaves, which are shown to anybody and kept for ever: so an actor is a pseudonymous id,
never a name or an address, and what does not look like one is refused. A reason is free text: it
stands in the event alone.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from bridge.model.warrant import UNKNOWN, Actor, ActorType, Known

# A context is said again and again, before every few rows; more than this is a payload.
CONTEXT_BYTES_MAX: Final = 4_096

# A reason is a sentence. It stands in the event of every row that it is said about.
_REASON_CHARACTERS_MAX: Final = 500

# No blank and no `@`: names of people and addresses do not fit.
_ID_FORM: Final = re.compile(r"[A-Za-z0-9#][A-Za-z0-9._:/#+=-]{0,127}")
_IDS: Final = ("actor", "ticket", "correlation")
_KEYS: Final = (*_IDS, "reason")


class Context(NamedTuple):
    """What is known about who changes the following rows, as entries carry it."""

    fields: Mapping[str, Any]
    """For the leaf: `actor` always, `ticket`, `correlation`; or why nothing is known."""
    attributes: bytes
    """For the event: CloudEvents attributes as JSON text, each with a comma before it."""


NOBODY_SAID: Final = Context({"actor": UNKNOWN.as_json()}, b"")
"""What is known where nothing was said: that it is not known. A stream of changes names no role."""


class ContextRefused(NamedTuple):
    """Why a message says nothing about who changed what; names keys and rules, never a value."""

    reason: str

    def as_context(self) -> Context:
        """Return the mark on the rows behind the message: the application tried to say it."""
        return Context({**NOBODY_SAID.fields, "context_refused": self.reason}, b"")


def parse_context(content: bytes) -> Context | ContextRefused | None:
    """Return what `content` says; None for an empty object, which takes back what was said."""
    if len(content) > CONTEXT_BYTES_MAX:
        return ContextRefused(f"has {len(content)} bytes; at most {CONTEXT_BYTES_MAX} are read")
    try:
        tree = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return ContextRefused("is not a JSON object with each key once")
    if not isinstance(tree, dict):
        return ContextRefused("is not a JSON object")
    unknown = sum(key not in _KEYS for key in tree)
    if unknown:
        known = ", ".join(_KEYS)
        return ContextRefused(f"has {unknown} unknown keys; known are {known}")
    for key, value in tree.items():
        if not isinstance(value, str) or not _is_fit(key, value):
            return ContextRefused(_form(key))
    return _context(tree) if tree else None


def _context(tree: dict[str, str]) -> Context:
    fields: dict[str, Any] = dict(NOBODY_SAID.fields)
    attributes = b""
    if "actor" in tree:
        said = Actor(id=tree["actor"], type=ActorType.PERSON, known=Known.DECLARED)
        fields["actor"] = said.as_json()
        # CloudEvents "Auth Context" extension; what kind of principal it is was not said.
        attributes += b',"authtype":"unknown","authid":' + orjson.dumps(tree["actor"])
    if "correlation" in tree:
        fields["correlation"] = tree["correlation"]
        attributes += b',"correlationid":' + orjson.dumps(tree["correlation"])
    if "ticket" in tree:
        fields["ticket"] = tree["ticket"]
        attributes += b',"ticket":' + orjson.dumps(tree["ticket"])
    if "reason" in tree:
        attributes += b',"reason":' + orjson.dumps(tree["reason"])
    return Context(fields, attributes)


def _is_fit(key: str, value: str) -> bool:
    if key in _IDS:
        return _ID_FORM.fullmatch(value) is not None
    return 0 < len(value) <= _REASON_CHARACTERS_MAX and value.isprintable()


def _form(key: str) -> str:
    if key in _IDS:
        return f"{key!r} is not an id of 1 to 128 characters out of A-Z a-z 0-9 . _ : / # + = -"
    return f"{key!r} is not a line of 1 to {_REASON_CHARACTERS_MAX} printable characters"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError
    return tree
