"""What a route's requests and answers are not, of what its documents declare: counted and judged.

Counted apart from comparisons, under the digest of the documents: an answer may be as declared and
wrong, and two equal answers may both be undeclared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bridge.gateway.comparison.evidence import lower_bound, upper_bound
from bridge.gateway.comparison.ports import RouteNews
from bridge.gateway.comparison.samples import Sample, Sampler
from bridge.gateway.comparison.tally import Tally
from bridge.gateway.openapi.checking import Fault
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side

REQUEST: Final = "request"
LEGACY: Final = Side.LEGACY.value
MODERN: Final = Side.MODERN.value

# Names of counts, in a series of their own.
CHECKED: Final = "document.checked"  # of: who.
DRIFTED: Final = "document.drifted"  # of: who; messages with at least one fault.
FAULT: Final = "document.fault"  # of: WHO RULE PLACE

# A document that fits at all is broken in some dozen places.
FAULTS_COUNT_MAX: Final = 256
_OTHERS: Final = "(others) /"
# Between two times of telling the store.
_SAMPLES_WAITING_MAX: Final = 20


class DriftState(Enum):
    """What can be said of one side."""

    CONFORMS = "conforms"  # The share of answers that drift is below the tolerance.
    DRIFTS = "drifts"  # At least one answer was not as declared.
    OPEN = "not-enough-data"  # None was, and too few were looked at.


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFinding:
    """A rule that was broken at a place."""

    rule: str
    place: str
    request: int
    """Requests that broke it."""
    legacy: int
    """Answers of legacy that did."""
    modern: int

    @property
    def where(self) -> str:
        """Who broke it: `request`, `legacy`, `modern` or `both`."""
        if self.request:
            return REQUEST
        if self.legacy and self.modern:
            return "both"
        return LEGACY if self.legacy else MODERN


@dataclass(frozen=True, slots=True, kw_only=True)
class SideDrift:
    """One side, against its document."""

    who: str
    """`request`, `legacy` or `modern`."""
    state: DriftState
    checked: int
    drifted: int
    at_least: float
    """Lower bound of the share that drifts."""
    at_most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDrift:
    """What can be said of a route's documents now."""

    documents: Mapping[str, str]
    """Side → the file's name."""
    sides: tuple[SideDrift, ...]
    findings: tuple[DriftFinding, ...]
    """Modern's first, then by how often."""

    @property
    def verdict(self) -> str:
        """Who drifts: `none`, `legacy`, `modern` or `both`; `not-enough-data` before that."""
        states = {one.who: one.state for one in self.sides}
        drifting = [side for side in (LEGACY, MODERN) if states[side] is DriftState.DRIFTS]
        if drifting:
            return "both" if len(drifting) == 2 else drifting[0]
        enough = all(states[side] is DriftState.CONFORMS for side in (LEGACY, MODERN))
        return "none" if enough else DriftState.OPEN.value

    @property
    def modern(self) -> SideDrift:
        """The side that a route is to move to."""
        return next(one for one in self.sides if one.who == MODERN)


def judge_drift(counts: Tally, rules: ComparisonRules, documents: Mapping[str, str]) -> RouteDrift:
    """Return what can be said by `counts`; the bounds hold at every look (see `evidence`)."""
    sides = tuple(_side(who, counts, rules) for who in (LEGACY, MODERN, REQUEST))
    places: dict[tuple[str, str], dict[str, int]] = {}
    for (name, of), count in counts.items():
        if name == FAULT and count:
            who, rule, place = of.split(" ", 2)
            places.setdefault((rule, place), {})[who] = count
    findings = [
        DriftFinding(
            rule=rule, place=place, request=by.get(REQUEST, 0), legacy=by.get(LEGACY, 0),
            modern=by.get(MODERN, 0),
        )
        for (rule, place), by in places.items()
    ]  # fmt: skip
    findings.sort(key=lambda one: (-one.modern, -one.legacy, -one.request, one.place, one.rule))
    return RouteDrift(documents=documents, sides=sides, findings=tuple(findings))


def _side(who: str, counts: Tally, rules: ComparisonRules) -> SideDrift:
    checked, drifted = counts[CHECKED, who], counts[DRIFTED, who]
    alpha = 1 - rules.confidence
    seen = {1.0: drifted, 0.0: checked - drifted}
    at_most = upper_bound(seen, alpha)
    state = DriftState.OPEN
    if drifted:
        state = DriftState.DRIFTS
    elif at_most <= rules.tolerance:
        state = DriftState.CONFORMS
    return SideDrift(
        who=who, state=state, checked=checked, drifted=drifted,
        at_least=lower_bound(seen, alpha, 0.0), at_most=at_most,
    )  # fmt: skip


class DriftBook:
    """One worker's findings on one route under one pair of documents."""

    def __init__(self, route: str, digest: str, known: Tally | None, sampler: Sampler) -> None:
        """`known` are the counts so far, of all workers."""
        self.route = route
        self.digest = digest
        self._kinds = {of for name, of in known or () if name == FAULT}
        self._news: Tally = Tally()
        self._sampler = sampler
        self._waiting: list[Sample] = []

    def add(self, who: str, faults: Sequence[Fault]) -> None:
        """Count one message that was looked at."""
        self._news[CHECKED, who] += 1
        if not faults:
            return
        self._news[DRIFTED, who] += 1
        for kind in dict.fromkeys(self._known(f"{who} {one.rule} {one.place}") for one in faults):
            self._news[FAULT, kind] += 1

    def keep(
        self,
        found: Mapping[str, Sequence[Fault]],
        authority: HttpResponse,
        other: HttpResponse,
        made_at: float,
        request: HttpRequest | None = None,
    ) -> None:
        """Perhaps keep a sample of a pair with faults, by who broke which rule."""
        if any(found.values()) and len(self._waiting) < _SAMPLES_WAITING_MAX:
            sample = self._sampler.drift_sample(found, authority, other, made_at, request)
            if sample is not None:
                self._waiting.append(sample)

    def drain(self) -> RouteNews | None:
        """Return what is new since the last call, or None."""
        if not self._news:
            return None
        counts, self._news = self._news, Tally()
        samples, self._waiting = tuple(self._waiting), []
        return RouteNews(self.route, self.digest, counts, samples)

    def _known(self, kind: str) -> str:
        if kind not in self._kinds:
            if len(self._kinds) >= FAULTS_COUNT_MAX:
                return f"{kind.partition(' ')[0]} {_OTHERS}"
            self._kinds.add(kind)
        return kind
