"""Change members of JSON text by their pointers, and leave every other byte as it is.

What a rule names and the text does not have is left: a rule is about messages that have it. Text
that is no JSON stays as it is. Each rule is one pass over the text, however many items it names.
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from bridge.gateway.routes.sections.rewriting import BodyRules
from bridge.gateway.translation.json_text import (
    find_value,
    find_values,
    items,
    members,
    tokens_of,
    unquoted,
)


class Change(NamedTuple):
    """Bytes to put in the place of others."""

    start: int
    end: int
    new: bytes


class _Part(NamedTuple):
    """A member of an object, or an item of an array."""

    start: int
    """Of a member, where its key starts."""
    key_end: int
    value: int
    end: int


def changed(text: bytes, changes: Iterable[Change]) -> bytes:
    """Return `text` with `changes` made, which do not overlap."""
    parts, at = [], 0
    for change in sorted(changes):
        assert change.start >= at, "changes overlap"
        parts += [text[at : change.start], change.new]
        at = change.end
    return b"".join((*parts, text[at:])) if parts else text


def edited(text: bytes, rules: BodyRules) -> bytes:
    """Return `text` with `rules` done: renamed, moved, removed, set."""
    for pointer, name in rules.rename.items():
        new = _written(name)
        text = changed(
            text,
            [
                Change(part.start, part.key_end, new)
                for _, parts, named in _named(text, pointer)
                for part in (parts[index] for index in named)
                if part.key_end > part.start
            ],
        )
    for source, target in rules.move.items():
        span = find_value(text, source)
        if span is not None:
            value = text[span[0] : span[1]]
            text = _with(_without(text, source), target, value)
    for pointer in rules.remove:
        text = _without(text, pointer)
    for pointer, given in rules.set.items():
        text = _with(text, pointer, _written(given))
    return text


def _written(value: JsonValue) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _named(text: bytes, pointer: str) -> list[tuple[int, list[_Part], list[int]]]:
    """Return each container above `pointer`: its start, its parts, and which of them are named."""
    parent, last = _split(pointer)
    found = []
    for place in find_values(text, parent):
        parts = _parts(text, place.start)
        if text[place.start : place.start + 1] == b"[":
            here = [at for at in range(len(parts)) if last in ("*", str(at))]
        else:
            # Every member of the name: readers differ about which of several counts.
            here = [
                at
                for at, part in enumerate(parts)
                if unquoted(text[part.start : part.key_end]) == last
            ]
        found.append((place.start, parts, here))
    return found


def _parts(text: bytes, at: int) -> list[_Part]:
    if text[at : at + 1] == b"{":
        return [_Part(*member) for member in members(text, at)]
    if text[at : at + 1] == b"[":
        return [_Part(start, start, start, end) for start, end in items(text, at)]
    return []


def _without(text: bytes, pointer: str) -> bytes:
    cuts: list[Change] = []
    for _, parts, named in _named(text, pointer):
        cuts += _cuts(parts, named)
    return changed(text, cuts)


def _cuts(parts: Sequence[_Part], named: Sequence[int]) -> list[Change]:
    """Return what removes the named parts, and the commas that they leave."""
    gone = set(named)
    tail = len(parts)
    while tail and tail - 1 in gone:
        tail -= 1
    cuts = [Change(parts[at].start, parts[at + 1].start, b"") for at in sorted(gone) if at < tail]
    if tail < len(parts):
        start = parts[tail - 1].end if tail else parts[0].start
        cuts.append(Change(start, parts[-1].end, b""))
    return cuts


def _with(text: bytes, pointer: str, value: bytes) -> bytes:
    """Return `text` with `value` at `pointer`; missing objects on the way are made."""
    changes = []
    containers = _named(text, pointer)
    last = _split(pointer)[1]
    for start, parts, named in containers:
        changes += [Change(parts[at].value, parts[at].end, value) for at in named]
        if not named and text[start : start + 1] == b"{":
            changes.append(_put(start, parts, last, value))
    if containers or "*" in pointer.split("/"):
        return changed(text, changes)
    parent, missing = _split(pointer)
    while parent:
        value = b"{" + _written(missing) + b":" + value + b"}"
        parent, missing = _split(parent)
        span = find_value(text, parent)
        if span is not None:
            start = span[0]
            if text[start : start + 1] != b"{":
                return text
            return changed(text, [_put(start, _parts(text, start), missing, value)])
    return text


def _put(start: int, parts: Sequence[_Part], name: str, value: bytes) -> Change:
    """Return what adds a last member to the object at `start`."""
    member = _written(name) + b":" + value
    if parts:
        end = parts[-1].end
        return Change(end, end, b"," + member)
    return Change(start + 1, start + 1, member)


def _split(pointer: str) -> tuple[str, str]:
    return pointer.rpartition("/")[0], tokens_of(pointer)[-1]
