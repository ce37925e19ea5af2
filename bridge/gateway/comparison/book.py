"""One worker's comparisons of all routes: compared, counted, sampled, and told to the store.

Nothing here waits: `drain` gives what is to be stored, and whoever owns the book has a thread store
it.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

from bridge.gateway.comparison.canonical import canonical
from bridge.gateway.comparison.comparing import Comparer
from bridge.gateway.comparison.difference import Comparison
from bridge.gateway.comparison.drift import DriftBook
from bridge.gateway.comparison.ports import RouteNews
from bridge.gateway.comparison.redaction import Redactor
from bridge.gateway.comparison.samples import Sample, Sampler
from bridge.gateway.comparison.sealed_request import RequestSeal
from bridge.gateway.comparison.tally import Tally
from bridge.gateway.comparison.verdicts import Finding, Verdicts
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.model.http import HttpRequest, HttpResponse

# Between two times of telling the store; a few kilobytes each.
_SAMPLES_WAITING_MAX: Final = 50

# What a person may change without making the counts another thing.
_NOT_OF_THE_COUNTS: Final = frozenset({"show", "samples_count_max", "openapi", "openapi_gate"})


def rules_digest(rules: ComparisonRules) -> str:
    """Return what tells versions of a route's rules apart: counts of two are never added up."""
    tree = rules.model_dump(mode="json", exclude=set(_NOT_OF_THE_COUNTS))
    return hashlib.sha256(canonical(tree)).hexdigest()[:16]


class RouteBook:
    """The comparisons of one route."""

    def __init__(
        self, route: str, rules: ComparisonRules, counts: Tally | None, sampler: Sampler
    ) -> None:
        self.route = route
        self.rules = rules
        self.digest = rules_digest(rules)
        self.comparer = Comparer(rules)
        self.verdicts = Verdicts(rules, counts)
        self._sampler = sampler
        self._waiting: list[Sample] = []

    def add(
        self,
        comparison: Comparison,
        authority: HttpResponse,
        other: HttpResponse,
        *,
        made_at: float,
        again: Comparison | None = None,
        by_chance: bool = False,
        second: Comparison | None = None,
        request: HttpRequest | None = None,
    ) -> Finding:
        """Count a comparison (see `Verdicts.add`) and perhaps keep a sample of it.

        `made_at` is in seconds since 1970; `request` is what was answered, as the client sent it.
        """
        finding = self.verdicts.add(comparison, again=again, by_chance=by_chance, second=second)
        self.keep(comparison, finding, authority, other, made_at, request)
        return finding

    def keep(
        self,
        comparison: Comparison,
        finding: Finding,
        authority: HttpResponse,
        other: HttpResponse,
        made_at: float,
        request: HttpRequest | None = None,
    ) -> None:
        """Perhaps keep a sample of a comparison that is counted already."""
        if finding is not Finding.EQUAL and len(self._waiting) < _SAMPLES_WAITING_MAX:
            sample = self._sampler.sample(comparison, finding, authority, other, made_at, request)
            if sample is not None:
                self._waiting.append(sample)

    def drain(self) -> RouteNews | None:
        """Return what is new since the last call, or None."""
        counts = self.verdicts.drain()
        if not counts and not self._waiting:
            return None
        samples, self._waiting = tuple(self._waiting), []
        return RouteNews(self.route, self.digest, counts, samples)


class ComparisonBook:
    """The books of one worker, made when a route is first compared."""

    def __init__(
        self,
        *,
        key: bytes,
        chance: Callable[[], float],
        new_id: Callable[[], str],
        known: Mapping[tuple[str, str], Tally] | None = None,
        seal: RequestSeal | None = None,
    ) -> None:
        """`key` redacts samples; `known` are the counts so far, by route and the digest of its
        rules or documents. `seal` lets samples be sent again."""
        self._key = key
        self._chance = chance
        self._new_id = new_id
        self._known = known or {}
        self._seal = seal
        self._books: dict[str, RouteBook] = {}
        self._drifts: dict[str, DriftBook] = {}
        self._left: list[RouteNews] = []

    def of(self, route: str, rules: ComparisonRules) -> RouteBook:
        """Return the route's book; a new one when its rules are others than before."""
        book = self._books.get(route)
        if book is not None and book.rules is not rules and book.rules == rules:
            book.rules = rules  # The table was built anew, with the same rules.
        if book is None or book.rules is not rules:
            if book is not None and (left := book.drain()) is not None:
                self._left.append(left)
            known = self._known.get((route, rules_digest(rules)))
            book = RouteBook(route, rules, known, self._sampler(route, rules))
            self._books[route] = book
        return book

    def drift_of(self, route: str, rules: ComparisonRules, digest: str) -> DriftBook:
        """Return what the route's documents are held against; `digest` names them."""
        book = self._drifts.get(route)
        if book is None or book.digest != digest:
            if book is not None and (left := book.drain()) is not None:
                self._left.append(left)
            known = self._known.get((route, digest))
            book = DriftBook(route, digest, known, self._sampler(route, rules))
            self._drifts[route] = book
        return book

    def _sampler(self, route: str, rules: ComparisonRules) -> Sampler:
        return Sampler(
            route,
            rules,
            Redactor(rules, self._key),
            chance=self._chance,
            new_id=self._new_id,
            seal=self._seal,
        )

    def drain(self) -> tuple[RouteNews, ...]:
        """Return what is new on all routes since the last call."""
        left, self._left = self._left, []
        books: tuple[RouteBook | DriftBook, ...] = (
            *self._books.values(),
            *self._drifts.values(),
        )
        found = [news for book in books if (news := book.drain()) is not None]
        return (*left, *found)
