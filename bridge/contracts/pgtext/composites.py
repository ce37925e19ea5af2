"""Rows: `(1,"a, b",)` (PostgreSQL documentation, 8.16.6). Nothing between commas is NULL."""

import re
from collections.abc import Sequence

_FIELD = re.compile(r'"((?:[^"\\]|""|\\\\)*)"|([^",()\\]*)', re.DOTALL)
_ESCAPED = re.compile(r'""|\\\\')


def unquoted(text: str) -> str:
    """Return what stands in quotes: there, a quote and a backslash are doubled."""
    return _ESCAPED.sub(lambda match: match[0][0], text)


def quoted(text: str) -> str:
    """Return `text` in quotes."""
    doubled = text.replace("\\", "\\\\").replace('"', '""')
    return f'"{doubled}"'


def parse_composite(text: str) -> list[str | None]:
    """Return the texts of the attributes; raises `ValueError` when `text` is not a row."""
    if text[:1] != "(":
        raise ValueError
    fields: list[str | None] = []
    at = 1
    while True:
        match = _FIELD.match(text, at)
        assert match is not None, "an empty field always matches"
        if match[1] is not None:
            fields.append(unquoted(match[1]))
        else:
            fields.append(match[2] or None)
        at = match.end()
        if text[at : at + 1] == ",":
            at += 1
        elif text[at:] == ")":
            return fields
        else:
            raise ValueError


def format_composite(fields: Sequence[str | None]) -> str:
    """Return the text of a row."""
    return "(" + ",".join("" if field is None else quoted(field) for field in fields) + ")"
