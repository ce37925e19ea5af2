"""Compare two answers: bytes first, then what they mean, by the route's rules."""

import dataclasses
import math
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from orjson import JSONEncodeError

from bridge.gateway.comparison import lists
from bridge.gateway.comparison.canonical import canonical
from bridge.gateway.comparison.contents import Content, content_of
from bridge.gateway.comparison.difference import (
    Comparison,
    DifferenceKind,
    FindOtherId,
    Outcome,
)
from bridge.gateway.comparison.documents import (
    Document,
    document_of,
    is_json,
    is_read_slowly,
    same_json,
)
from bridge.gateway.comparison.header_fields import compare_headers
from bridge.gateway.comparison.places import PlaceTree
from bridge.gateway.comparison.walk import Walk
from bridge.gateway.comparison.work import Work
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.gateway.routes.sections.comparison_rules import AnyRule, IdsRule, IgnoreRule, StatusRule
from bridge.model.http import Headers, HttpResponse

_IDENTICAL: Final = Comparison(Outcome.IDENTICAL)
_EQUAL: Final = Comparison(Outcome.EQUAL)


class _Agreed(NamedTuple):
    """Header fields of two answers in which nothing differs."""

    mine: Headers
    theirs: Headers
    types: list[Content] | None
    """What the bodies are; None where they have to be decoded."""
    same_types: bool
    """Whether equal bytes mean the same on both sides."""
    plain_json: bool
    """Whether both are JSON into which no rule reaches."""


class Comparer:
    """The comparison of one route's answers; makes its rules ready once.

    Not for several threads at once.
    """

    def __init__(self, rules: ComparisonRules) -> None:
        self.rules = rules
        body: list[tuple[str, AnyRule]] = []
        fields: dict[str, tuple[AnyRule, ...]] = {}
        self._statuses: list[StatusRule] = []
        for rule in rules.rules:
            if isinstance(rule, StatusRule):
                self._statuses.append(rule)
                continue
            for place in rule.at:
                if place[0] == "/":
                    body.append((place, rule))
                else:
                    where, _, name = place.partition(":")
                    place = f"{where}:{name.lower() if where == 'header' else name}"
                    fields[place] = (*fields.get(place, ()), rule)
        self._body = PlaceTree(body)
        self._fields = fields
        # Equal bytes are no equal ids where the two sides count by themselves.
        self._has_ids = any(isinstance(rule, IdsRule) for rule in rules.rules)
        self._bytes_max = rules.body_bytes_max
        self.counts_lengths = "content-length" in {name.lower() for name in rules.headers}
        """Whether two lengths are a difference by themselves."""
        self._agreed: _Agreed | None = None

    def compare(
        self,
        authority: HttpResponse,
        other: HttpResponse,
        *,
        ids: FindOtherId | None = None,
        steps_max: float = math.inf,
    ) -> Comparison:
        """Return how the two answers relate.

        `ids` finds the other side's id for one of the authority's, where a rule says that ids
        stand. `steps_max` bounds what it costs, see `work`.

        Raises:
            TooMuchWork: it would cost more. Nothing else, whatever the answers hold.
        """
        same_status = authority.status == other.status
        same_body = authority.body == other.body
        # No header, no status, no id to look at: what is left is one comparison of bytes.
        if same_status and same_body and authority.headers == other.headers and not self._has_ids:
            return _IDENTICAL
        if same_status and not same_body:
            found = self.alike(authority.headers, other.headers, authority.body, other.body)
            if found is not None:
                return found
        walk = Walk(
            ids=ids,
            numbers_as_text=self.rules.numbers_as_text,
            differences_count_max=self.rules.differences_count_max,
            work=Work(steps_max),
        )
        bodies = True
        if not same_status:
            bodies = self._statuses_differ(walk, authority.status, other.status)
        if not walk.count and self.rules.headers:
            self._headers(walk, authority, other, ids)
        if bodies and not (same_body and not self._has_ids and _same_type(authority, other)):
            self._bodies(walk, authority, other)
        elif bodies and same_status and not walk.count and not walk.hidden:
            return _IDENTICAL
        if not walk.count:
            return Comparison(
                Outcome.BY_RULES if walk.hidden else Outcome.EQUAL,
                hidden=tuple(walk.hidden.items()),
            )
        return Comparison(
            Outcome.MISMATCH, tuple(walk.found), walk.more, tuple(walk.hidden.items())
        )

    def alike(
        self, mine: Headers, theirs: Headers, my_body: bytes, their_body: bytes
    ) -> Comparison | None:
        """Return how two answers of one status relate when that can be told at once, else None.

        At once: their header fields are the very objects that agreed last time, and the bodies are
        equal bytes, or equal JSON that no rule reaches into. `compare` finds the same, later.
        """
        known = self._agreed
        if known is None or mine is not known.mine or theirs is not known.theirs:
            return None
        if my_body == their_body:
            return _IDENTICAL if known.same_types else None
        if not known.plain_json or max(len(my_body), len(their_body)) > self._bytes_max:
            return None
        return _EQUAL if same_json(my_body, their_body) else None

    def _headers(
        self, walk: Walk, authority: HttpResponse, other: HttpResponse, ids: FindOtherId | None
    ) -> None:
        """Compare the header fields, unless the very same ones were found to agree last time.

        A mirror reads the heads of answers of one kind once, so that it shows the same objects.
        """
        if self._known(authority, other) is not None:
            return
        compare_headers(
            walk, authority.headers, other.headers, self.rules.headers, self._fields, ids
        )
        agree = not walk.count and not walk.hidden and not self._has_ids
        # A session is not kept beyond its answer.
        if agree and not any(name.lower() == b"set-cookie" for name, _ in authority.headers):
            empty = dataclasses.replace(authority, body=b""), dataclasses.replace(other, body=b"")
            plain = all(answer.header(b"content-encoding") is None for answer in empty)
            types = [content_of(answer, 0) for answer in empty] if plain else None
            self._agreed = _Agreed(
                authority.headers, other.headers, types,
                same_types=_same_type(authority, other),
                plain_json=types is not None and self._is_plain_json(types),
            )  # fmt: skip

    def _is_plain_json(self, types: list[Content]) -> bool:
        """Whether bodies of these types are JSON, whatever is in them, and no rule is about it."""
        if self._body.patterns:
            return False
        wanted = self.rules.body
        return wanted == "json" or (
            wanted == "auto" and all(is_json(content.media_type) for content in types)
        )

    def _known(self, authority: HttpResponse, other: HttpResponse) -> "_Agreed | None":
        known = self._agreed
        if (
            known is None
            or authority.headers is not known.mine
            or other.headers is not known.theirs
        ):
            return None
        return known

    def digest(self, answer: HttpResponse, *, ids: FindOtherId | None = None) -> str:
        """Return what is equal for answers that differ only where rules about one value let them.

        `ids` translates the authority's ids; None for the other side's answers. Equal digests mean
        equal answers; different ones have to be compared.
        """
        content = content_of(answer, self.rules.body_bytes_max)
        read = document_of(content, self.rules.body)
        raw = read.value if isinstance(read.value, bytes) else b""
        if read.kind != "binary":
            try:
                raw = canonical(lists.normal_form(read.value, self._body.root, ids))
            except (RecursionError, JSONEncodeError):
                raw = content.body
        hashed = blake2b(b"%d %b " % (answer.status, read.kind.encode()), digest_size=16)
        hashed.update(raw)
        return hashed.hexdigest()

    def _statuses_differ(self, walk: Walk, authority: int, other: int) -> bool:
        """Take down what differing statuses mean; return whether the bodies are compared."""
        for rule in self._statuses:
            if rule.covers(authority) and rule.covers(other):
                walk.hide(rule)
                return rule.bodies
        walk.differ_at("status", DifferenceKind.STATUS, authority, other)
        return False

    def _bodies(self, walk: Walk, authority: HttpResponse, other: HttpResponse) -> None:
        for rule in self._body.root.rules:
            if isinstance(rule, IgnoreRule):
                walk.hide(rule)
                return
        most = self.rules.body_bytes_max
        known = self._known(authority, other)
        if known is not None and known.types is not None:
            mine, theirs = known.types
            mine, theirs = mine._replace(body=authority.body), theirs._replace(body=other.body)
        else:
            mine, theirs = content_of(authority, most), content_of(other, most)
        if mine.body == theirs.body and not self._has_ids:
            return
        if max(len(mine.body), len(theirs.body)) > most:
            walk.differ_at("/", DifferenceKind.BYTES, mine.body, theirs.body)
            return
        for body in (mine, theirs):
            slowly = is_read_slowly(body, self.rules.body)
            walk.work.read(len(body.body), slowly=slowly)
        read = document_of(mine, self.rules.body), document_of(theirs, self.rules.body)
        self._documents(walk, *read)

    def _documents(self, walk: Walk, mine: Document, theirs: Document) -> None:
        if mine.kind != theirs.kind:
            # One is JSON and the other an error page, or only one can be read.
            walk.differ_at("/", DifferenceKind.FORM, mine.kind, theirs.kind)
        elif mine.kind == "binary":
            if mine.value != theirs.value:
                walk.differ_at("/", DifferenceKind.BYTES, mine.value, theirs.value)
        else:
            walk.values(mine.value, theirs.value, self._body.root)


def compare(
    authority: HttpResponse,
    other: HttpResponse,
    rules: ComparisonRules,
    *,
    ids: FindOtherId | None = None,
) -> Comparison:
    """Return how two answers relate; who compares many of one route keeps a `Comparer`."""
    return _comparer(rules).compare(authority, other, ids=ids)


@lru_cache(maxsize=256)
def _comparer(rules: ComparisonRules) -> Comparer:
    return Comparer(rules)


def _same_type(authority: HttpResponse, other: HttpResponse) -> bool:
    for name in (b"content-type", b"content-encoding"):
        if authority.header(name) != other.header(name):
            return False
    return True
