"""hstore: `"a"=>"1", "b"=>NULL` (PostgreSQL documentation, F.17)."""

import re
from collections.abc import Mapping

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_PAIR = re.compile(rf"{_QUOTED}=>(?:{_QUOTED}|NULL)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_UNSAFE = re.compile(r'["\\]')


def parse_hstore(text: str) -> dict[str, str | None]:
    """Return the pairs; raises `ValueError` when `text` is no hstore."""
    pairs: dict[str, str | None] = {}
    at = 0
    while at < len(text):
        if pairs:
            if text[at : at + 2] != ", ":
                raise ValueError
            at += 2
        match = _PAIR.match(text, at)
        if match is None:
            raise ValueError
        pairs[_plain(match[1])] = None if match[2] is None else _plain(match[2])
        at = match.end()
    return pairs


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def format_hstore(pairs: Mapping[str, str | None]) -> str:
    """Return the text of an hstore."""
    return ", ".join(
        f"{_quoted(key)}=>{'NULL' if value is None else _quoted(value)}"
        for key, value in pairs.items()
    )


def _quoted(text: str) -> str:
    escaped = _UNSAFE.sub(r"\\\g<0>", text)
    return f'"{escaped}"'
