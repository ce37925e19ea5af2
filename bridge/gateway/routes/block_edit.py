"""Header rules, compiled once: they change the lines of a head, without parsing what they leave.

Body rules are not here: who changes a body must have it whole (see `translation.rewriting`).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from bridge.gateway.routes.sections.rewriting import (
    AnswerRewriting,
    BodyRules,
    HeaderRules,
    PathRule,
    RequestRewriting,
    begins_with,
)
from bridge.model.stage import Side


class _Pass(NamedTuple):
    """The header rules of one section."""

    renamed: dict[bytes, bytes]
    """Lower-case name → name to write."""
    removed: frozenset[bytes]
    """Lower-case names; of set fields, too."""
    added: tuple[bytes, ...]
    unwanted: re.Pattern[bytes]
    """The whole lines of all removed fields; each is found after a CRLF."""

    def block(self, block: bytes) -> bytes:
        """Return a block of lines, each with its CRLF; `lines` does the same more slowly."""
        if self.renamed:
            return b"".join(line + b"\r\n" for line in self.lines(block.split(b"\r\n")[:-1]))
        kept = self.unwanted.sub(b"", b"\r\n" + block[:-2])[2:]
        return b"".join(line + b"\r\n" for line in (kept, *self.added) if line)

    def lines(self, lines: Sequence[bytes]) -> list[bytes]:
        kept = []
        for line in lines:
            name, colon, value = line.partition(b":")
            lower = name.lower()
            new = self.renamed.get(lower)
            if new is not None:
                line, lower = new + colon + value, new.lower()
            if lower not in self.removed:
                kept.append(line)
        kept += self.added
        return kept


class BlockEdit(NamedTuple):
    """What header and path rules change, for one side and one way."""

    passes: tuple[_Pass, ...]
    paths: tuple[tuple[bytes, bytes], ...] = ()
    """(prefix, what takes its place), without a `/` at their ends."""

    def lines(self, lines: Sequence[bytes]) -> list[bytes]:
        """Return field lines (`Name: value`) as the rules have them; their order is kept."""
        kept = [*lines]
        for each in self.passes:
            kept = each.lines(kept)
        return kept

    def block(self, block: bytes) -> bytes:
        """Return a block of field lines, each with its CRLF, as the rules have it."""
        for each in self.passes:
            block = each.block(block)
        return block

    def target(self, target: bytes) -> bytes:
        """Return a request target as the rules have it.

        A path that is spelt so that it does not begin with the prefix, byte for byte, is left: the
        side answers as it does for a path that it does not know.
        """
        for prefix, to in self.paths:
            path, question, query = target.partition(b"?")
            if begins_with(path.decode("latin-1"), prefix.decode("latin-1")):
                target = (to + path[len(prefix) :] or b"/") + question + query
        return target

    def start(self, start: bytes) -> bytes:
        """Return a request line as the rules have it."""
        if not self.paths:
            return start
        method, target, version = start.split(b" ")
        return b"%b %b %b" % (method, self.target(target), version)


def block_edit(
    headers: Sequence[HeaderRules], paths: Sequence[PathRule | None] = ()
) -> BlockEdit | None:
    """Return what does these rules, one section after the other; None when they say nothing."""
    passes = tuple(_pass(each) for each in headers if each != HeaderRules())
    prefixes = tuple(
        (each.prefix.encode("ascii"), each.to.encode("ascii")) for each in paths if each is not None
    )
    return BlockEdit(passes, prefixes) if passes or prefixes else None


def _pass(rules: HeaderRules) -> _Pass:
    pairs = (*rules.set.items(), *rules.add.items())
    names = sorted({_low(name) for name in (*rules.remove, *rules.set)})
    return _Pass(
        {_low(old): new.encode("ascii") for old, new in rules.rename.items()},
        frozenset(_low(name) for name in (*rules.remove, *rules.set)),
        tuple(b"%b: %b" % (name.encode("ascii"), value.encode("ascii")) for name, value in pairs),
        _lines_of(names),
    )


def _lines_of(names: Sequence[bytes]) -> re.Pattern[bytes]:
    """Return what finds the whole lines of fields, each after a CRLF.

    Both cases are spelt out, and first letters are looked at first: half the time of `(?i:…)`.
    """
    if not names:
        return re.compile(b"(?!)")
    firsts = b"".join(sorted({re.escape(name[:1]) + re.escape(name[:1].upper()) for name in names}))
    spelt = b"|".join(b"".join(map(_either_case, name.decode("ascii"))) for name in names)
    return re.compile(rb"\r\n(?=[%b])(?:%b):[^\r\n]*" % (firsts, spelt))


def _either_case(letter: str) -> bytes:
    both = f"[{letter}{letter.upper()}]" if letter.isalpha() else re.escape(letter)
    return both.encode("ascii")


def _low(name: str) -> bytes:
    return name.lower().encode("ascii")


class SideRewriting(NamedTuple):
    """All rules of a route for one side."""

    request: BlockEdit | None
    request_bodies: tuple[BodyRules, ...]
    answer: BlockEdit | None
    answer_bodies: tuple[BodyRules, ...]

    def head(self, start: bytes, block: bytes) -> tuple[bytes, bytes]:
        """Return a request line and its block of fields as the rules have them."""
        if self.request is None:
            return start, block
        return self.request.start(start), self.request.block(block)

    def answer_lines(self, lines: list[bytes]) -> list[bytes]:
        """Return the lines of a response head as the rules have them; the first is its status."""
        return lines if self.answer is None else [lines[0], *self.answer.lines(lines[1:])]

    @property
    def needs_bodies(self) -> bool:
        """Whether a message must be had whole, or nothing may flow through."""
        return bool(self.request_bodies or self.answer_bodies)


def side_rewriting(
    request: RequestRewriting, response: AnswerRewriting, side: Side
) -> SideRewriting | None:
    """Return what the rules of a route do for `side`; None when they say nothing."""
    asked, answered = request.rules_for(side), response.rules_for(side)
    found = SideRewriting(
        block_edit([each.headers for each in asked], [each.path for each in asked]),
        tuple(each.body for each in asked if each.body != BodyRules()),
        block_edit([each.headers for each in answered]),
        tuple(each.body for each in answered if each.body != BodyRules()),
    )
    return found if any(found) else None
