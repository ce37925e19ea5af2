"""Find one value in JSON text by its pointer (RFC 6901), and put another in its place.

Only the bytes of the value change. Parsing and writing the document again would turn `12.50` into
`12.5`, reorder nothing but rewrite every escape, and lose digits of large numbers: an id must be
changed without touching the money beside it.
"""

import json
import re
from typing import Final

_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SCALAR: Final = re.compile(rb"[-+0-9.eE]+|true|false|null")
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]|[^"{}\[\]]+', re.DOTALL)
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")


def find_value(text: bytes, pointer: str) -> tuple[int, int] | None:
    """Return start and end of the value at `pointer`, or None (absent, or not JSON).

    Of repeated member names the last counts, as most readers have it.
    """
    at = _after_space(text, 0)
    for token in _tokens(pointer):
        found = _step(text, at, token)
        if found is None:
            return None
        at = found
    end = _end_of_value(text, at)
    return None if end is None else (at, end)


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
    """Return `text` with the value at `span` replaced.

    An integer is written as a number unless it replaces a string of digits: a side whose ids are
    numbers shows them as numbers, and one that writes digits as a string means a string.
    """
    start, end = span
    old_id = id_at(text, span)
    was_digits = text[start : start + 1] == b'"' and _INTEGER.fullmatch(old_id or "")
    if _INTEGER.fullmatch(new_id) and not was_digits:
        written = new_id.encode("ascii")
    else:
        written = json.dumps(new_id).encode("ascii")
    return text[:start] + written + text[end:]


def _tokens(pointer: str) -> list[str]:
    if not pointer:
        return []
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


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
    for match in _TOKEN.finditer(text, at):
        token = match.group()
        if token in (b"{", b"["):
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return match.end()
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
    at = _after_space(text, at + 1)
    while text[at : at + 1] == b'"':
        key = _STRING.match(text, at)
        if key is None:
            return None
        colon = _after_space(text, key.end())
        if text[colon : colon + 1] != b":":
            return None
        start = _after_space(text, colon + 1)
        end = _end_of_value(text, start)
        if end is None:
            return None
        if _unquoted(key.group()) == name:
            found = start
        at = _after_space(text, end)
        if text[at : at + 1] != b",":
            break
        at = _after_space(text, at + 1)
    return found


def _unquoted(raw: bytes) -> str | None:
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _item(text: bytes, at: int, index: int) -> int | None:
    at = _after_space(text, at + 1)
    for _ in range(index):
        end = _end_of_value(text, at)
        if end is None:
            return None
        at = _after_space(text, end)
        if text[at : at + 1] != b",":
            return None
        at = _after_space(text, at + 1)
    return None if text[at : at + 1] in (b"]", b"") else at
