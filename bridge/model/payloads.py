"""Cut an event's payload into its members without reading their values: every byte stays as it is.

A JSON reader would lose digits of numbers; what is remembered of an event must be exactly what the
event said. Only our own payloads come here: objects whose names need no escapes.
"""

import re
from typing import Final

_TOKEN: Final = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)|[^\s\[\]{},"]+|\s+',
    re.DOTALL,
)
_NAME: Final = re.compile(r'"([^"\\]*)":')


def members(text: str) -> dict[str, str]:
    """Return the members of the object `text` as JSON texts.

    Raises:
        ValueError: it is not an object as we write them.
    """
    if text[:1] != "{" or text[-1:] != "}":
        raise ValueError
    found: dict[str, str] = {}
    at, end = 1, len(text) - 1
    while at < end:
        name = _NAME.match(text, at)
        if name is None:
            raise ValueError
        start = name.end()
        at = _value_end(text, start, end)
        found[name[1]] = text[start:at]
        at += 1  # The comma.
    return found


def _value_end(text: str, at: int, end: int) -> int:
    """Return where the value that begins at `at` ends: at a comma, or at the object's end."""
    depth = 0
    while at < end:
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError
        kind = token.lastgroup
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
            if depth < 0:
                raise ValueError
        elif kind == "comma" and depth == 0:
            return at
        at = token.end()
    if depth:
        raise ValueError
    return end


def elements(text: str) -> list[str]:
    """Return the elements of the list `text` as JSON texts; raises `ValueError` as `members`."""
    if text[:1] != "[" or text[-1:] != "]":
        raise ValueError
    found: list[str] = []
    at, end = 1, len(text) - 1
    while at < end:
        start = at
        at = _value_end(text, start, end)
        found.append(text[start:at])
        at += 1  # The comma.
    return found
