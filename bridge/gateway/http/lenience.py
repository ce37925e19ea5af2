"""Rewrite a head that is refused into the strict one that its old client meant.

There is one parser, and it is strict. A lenience never bends it: it rewrites the head's text, names
what it rewrote, and the strict parser judges the result, which is also what is forwarded. So the
back end never sees the lenient form, and gateway and back end cannot read it differently.
"""

import re
from typing import Final, NamedTuple

from bridge.gateway.http.fields import (
    CODING,
    IMITATION,
    LENGTH,
    UNDERSCORE,
    kind_of_line,
)
from bridge.gateway.http.framing import HEAD_BYTES_MAX, name_of, value_of

BARE_LF: Final = "bare_lf"
OBS_FOLD: Final = "obs_fold"
EQUAL_LENGTHS: Final = "equal_content_lengths"
LENGTH_WITH_CHUNKED: Final = "content_length_with_chunked"
UNDERSCORES: Final = "underscore_imitations"

_END: Final = re.compile(rb"\r?\n\r?\n")
_LINE_END: Final = re.compile(rb"\r?\n")


class Rewritten(NamedTuple):
    """A head as strict text."""

    head: bytes
    """Without its final empty line."""
    used: frozenset[str]
    """Names of the leniences without which it would have been refused."""


def head_end(data: bytes, start: int, allowed: frozenset[str]) -> tuple[int, int]:
    """Return where a head ends and where what follows it begins; (-1, -1) if not there yet.

    Only what came after the first `start` bytes is looked at.
    """
    if BARE_LF not in allowed:
        end = data.find(b"\r\n\r\n", max(0, start - 3))
        return end, end + 4 if end >= 0 else -1
    found = _END.search(data, max(0, start - 3))
    return found.span() if found is not None else (-1, -1)


def rewritten(head: bytes, allowed: frozenset[str]) -> Rewritten | None:
    """Return the strict head that `head` means under the `allowed` leniences; None without any.

    Whatever else is wrong with it stays, for the strict parser to refuse.
    """
    if len(head) > HEAD_BYTES_MAX:
        return None
    used: set[str] = set()
    lines = head.split(b"\r\n")
    if BARE_LF in allowed and any(b"\n" in line for line in lines):
        lines = _LINE_END.split(head)
        used.add(BARE_LF)
    if OBS_FOLD in allowed:
        lines = _unfolded(lines, used)
    lines = _one_length(lines, allowed, used)
    if UNDERSCORES in allowed:
        lines = _without_imitations(lines, used)
    return Rewritten(b"\r\n".join(lines), frozenset(used)) if used else None


def _unfolded(lines: list[bytes], used: set[str]) -> list[bytes]:
    """A folded line is its field's value, after one space (RFC 9112 5.2)."""
    kept = lines[:1]
    for line in lines[1:]:
        # White space after the request line folds no field, and is refused (RFC 9112 2.2).
        if line[:1] in (b" ", b"\t") and len(kept) > 1:
            kept[-1] = kept[-1].rstrip(b" \t") + b" " + line.strip(b" \t")
            used.add(OBS_FOLD)
        else:
            kept.append(line)
    return kept


def _one_length(lines: list[bytes], allowed: frozenset[str], used: set[str]) -> list[bytes]:
    """Leave one Content-Length of several equal ones (RFC 9110 8.6), or none beside chunked."""
    kinds = [kind_of_line(line) if index else 0 for index, line in enumerate(lines)]
    lengths = [index for index, kind in enumerate(kinds) if kind == LENGTH]
    values = {
        part.strip(b" \t") for index in lengths for part in value_of(lines[index]).split(b",")
    }
    if len(values) != 1 or not next(iter(values)).isdigit():
        return lines
    if len(lengths) > 1 or value_of(lines[lengths[0]]) not in values:
        if EQUAL_LENGTHS not in allowed:
            return lines
        used.add(EQUAL_LENGTHS)
        lines[lengths[0]] = b"Content-Length: " + next(iter(values))
        for index in reversed(lengths[1:]):
            del lines[index]
            del kinds[index]
    if CODING in kinds and LENGTH_WITH_CHUNKED in allowed:
        # Whether the coding is chunked alone is for the strict parser to say (RFC 9112 6.3).
        used.add(LENGTH_WITH_CHUNKED)
        del lines[lengths[0]]
    return lines


def _without_imitations(lines: list[bytes], used: set[str]) -> list[bytes]:
    kept = []
    for index, line in enumerate(lines):
        kind = kind_of_line(line) if index else 0
        if kind == UNDERSCORE:
            twin = name_of(line).lower().replace("_", "-")
            if any(name_of(other).lower() == twin for other in lines[1:]):
                kind = IMITATION
        if kind == IMITATION:
            used.add(UNDERSCORES)
        else:
            kept.append(line)
    return kept
