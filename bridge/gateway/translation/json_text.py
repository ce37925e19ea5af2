"""Find one value in JSON text by its pointer (RFC 6901), and put another in its place.

Only the bytes of the value change. Parsing and writing the document again would turn `12.50` into
`12.5`, reorder nothing but rewrite every escape, and lose digits of large numbers: an id must be
changed without touching the money beside it.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

# A `*` names the items of an array; beyond so many an answer is a dump that nobody reads id by id.
PLACES_COUNT_MAX: Final = 10_000

# Members of one object, or items of one array, that are stepped over on the way to a value: each
# costs some 3 us, in which nobody else is served. What a rule names is found among fewer.
PARTS_COUNT_MAX: Final = 20_000

_SPACE: Final = re.compile(rb"[ \t\n\r]*")
# Possessive, or a long string would be remembered letter by letter for a way back that is no way.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb"[-+0-9.eE]+|true|false|null")
# The next bracket that neither stands in a string nor belongs to a container without others in it.
_BRACKET: Final = re.compile(
    rb'''(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"'''
    rb"""|[{\[](?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+[}\]])*+([{}\[\]])""",
    re.DOTALL,
)
# What is no JSON, or made to keep us busy: a bracket costs some 0.3 us.
_BRACKETS_COUNT_MAX: Final = 1_000_000
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")


def find_value(text: bytes, pointer: str) -> tuple[int, int] | None:
    """Return start and end of the value at `pointer`, or None (absent, or not JSON).

    Of repeated member names the last counts, as most readers have it.
    """
    at = _after_space(text, 0)
    for token in tokens_of(pointer):
        found = _step(text, at, token)
        if found is None:
            return None
        at = found
    end = _end_of_value(text, at)
    return None if end is None else (at, end)


class Found(NamedTuple):
    """One value that a pointer with `*` names."""

    pointer: str
    """With the index in the place of each `*`."""
    start: int
    end: int


def find_values(text: bytes, pointer: str) -> list[Found]:
    """Return the values at `pointer`, where `*` names every item of an array, in their order.

    A `*` where the text has an object names the member called `*`. Nothing is returned when there
    are more than `PLACES_COUNT_MAX`: half of the ids translated would be worse than none.
    """
    if "*" not in pointer:
        span = find_value(text, pointer)
        return [] if span is None else [Found(pointer, *span)]
    found: list[Found] = []
    for place in _expanded(text, _after_space(text, 0), tokens_of(pointer), ""):
        if len(found) == PLACES_COUNT_MAX:
            return []
        found.append(place)
    return found


def id_at(text: bytes, span: tuple[int, int]) -> str | None:
    """Return the value as an id: a string, or an integer's digits; None for anything else."""
    raw = text[span[0] : span[1]]
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return raw.decode("ascii")
    return None


def replace_id(text: bytes, span: tuple[int, int], new_id: str) -> bytes:
    """Return `text` with the id at `span` replaced."""
    return text[: span[0]] + written_id(text, span, new_id) + text[span[1] :]


def written_id(text: bytes, span: tuple[int, int], new_id: str) -> bytes:
    """Return `new_id` as it is written in the place of the id at `span`.

    An integer is written as a number unless it replaces a string of digits: a side whose ids are
    numbers shows them as numbers, and one that writes digits as a string means a string.
    """
    old_id = id_at(text, span)
    was_digits = text[span[0] : span[0] + 1] == b'"' and _INTEGER.fullmatch(old_id or "")
    if _INTEGER.fullmatch(new_id) and not was_digits:
        return new_id.encode("ascii")
    return json.dumps(new_id).encode("ascii")


def tokens_of(pointer: str) -> list[str]:
    """Return the names in a pointer (RFC 6901 4)."""
    if not pointer:
        return []
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def _expanded(text: bytes, at: int, tokens: list[str], so_far: str) -> Iterator[Found]:
    for index, name in enumerate(tokens):
        if name == "*" and text[at : at + 1] == b"[":
            for number, (start, _) in enumerate(items(text, at)):
                yield from _expanded(text, start, tokens[index + 1 :], f"{so_far}/{number}")
            return
        below = _step(text, at, name)
        if below is None:
            return
        at = below
        so_far += "/" + name.replace("~", "~0").replace("/", "~1")
    end = _end_of_value(text, at)
    if end is not None:
        yield Found(so_far, at, end)


def items(text: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each item of the array at `at`; ends early as `members` does."""
    at = _after_space(text, at + 1)
    for _ in range(PARTS_COUNT_MAX):
        if text[at : at + 1] in (b"]", b""):
            return
        end = _end_of_value(text, at)
        if end is None:
            return
        yield at, end
        at = _after_space(text, end)
        if text[at : at + 1] != b",":
            return
        at = _after_space(text, at + 1)


def _after_space(text: bytes, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None, "the pattern matches nothing at all, too"
    return match.end()


def _end_of_value(text: bytes, at: int) -> int | None:
    first = text[at : at + 1]
    if first == b'"':
        match = _STRING.match(text, at)
    elif first in (b"{", b"["):
        return _end_of_container(text, at)
    else:
        match = _SCALAR.match(text, at)
    return None if match is None else match.end()


def _end_of_container(text: bytes, at: int) -> int | None:
    # Counting brackets outside strings needs no stack: deep nesting cannot exhaust ours.
    depth = 0
    following = _BRACKET.match(text, at, at + 1)
    for _ in range(_BRACKETS_COUNT_MAX):
        if following is None:
            return None
        depth += 1 if following[1] in b"{[" else -1
        at = following.end()
        if not depth:
            return at
        following = _BRACKET.match(text, at)
    return None


def _step(text: bytes, at: int, token: str) -> int | None:
    """Return where the member or item `token` of the container at `at` starts."""
    if text[at : at + 1] == b"{":
        return _member(text, at, token)
    if text[at : at + 1] == b"[" and token.isascii() and token.isdigit():
        return _item(text, at, int(token))
    return None


def _member(text: bytes, at: int, name: str) -> int | None:
    found = None
    for key_start, key_end, start, _ in members(text, at):
        if unquoted(text[key_start:key_end]) == name:
            found = start
    return found


def members(text: bytes, at: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield start and end of key and value of each member of the object at `at`.

    Ends early, without an error, where the text is no object any more, or after `PARTS_COUNT_MAX`.
    """
    at = _after_space(text, at + 1)
    for _ in range(PARTS_COUNT_MAX):
        if text[at : at + 1] != b'"':
            return
        key = _STRING.match(text, at)
        if key is None:
            return
        colon = _after_space(text, key.end())
        if text[colon : colon + 1] != b":":
            return
        start = _after_space(text, colon + 1)
        end = _end_of_value(text, start)
        if end is None:
            return
        yield key.start(), key.end(), start, end
        at = _after_space(text, end)
        if text[at : at + 1] != b",":
            return
        at = _after_space(text, at + 1)


def unquoted(raw: bytes) -> str | None:
    """Return a JSON string's text; None for anything else."""
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _item(text: bytes, at: int, index: int) -> int | None:
    found = next(islice(items(text, at), index, None), None)
    return None if found is None else found[0]
