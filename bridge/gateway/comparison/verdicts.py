"""Count one route's comparisons, each with what the authority said when it was asked again."""

from collections.abc import Iterable
from enum import Enum

from bridge.gateway.comparison import tally as names
from bridge.gateway.comparison.difference import Comparison, Outcome
from bridge.gateway.comparison.judgement import RouteVerdict, judge, noisy_fields
from bridge.gateway.comparison.latency import bucket_of
from bridge.gateway.comparison.tally import FIELDS_COUNT_MAX, OTHER_FIELDS, Tally
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.model.stage import Side

# Noise is learnt once and changes with releases: looking at it at every comparison is of no use.
_LEARN_EVERY = 50
# Most comparisons by far: nothing differs, and no rule had anything to hide.
_WITHOUT_A_WORD = (Outcome.IDENTICAL, Outcome.EQUAL)
_COMPARED = (names.COMPARED, "")


class Finding(Enum):
    """What one comparison comes to, with its second look."""

    EQUAL = "equal"  # Identical, equal, or equal by rules.
    MISMATCH = (
        "mismatch"  # Different where the authority agrees with itself, also when looked again.
    )
    NOISE = "noise"  # Different only where the authority differs from itself.
    FLAPPING = "flapping"  # Different at first, equal when both were asked again.
    UNCONFIRMED = "unconfirmed"  # Different, and nobody looked again.


class Verdicts:
    """What was found on one route since its counts were begun."""

    def __init__(self, rules: ComparisonRules, counts: Tally | None = None) -> None:
        """`counts` are those found before, by other workers too."""
        self.rules = rules
        self.counts: Tally = Tally() if counts is None else counts
        self._told = Tally(self.counts)
        self._fields = {of for name, of in self.counts if name in (names.DIFFERS, names.NOISY)}
        self._noisy: frozenset[str] = frozenset()
        self._learn_in = 0

    def needs_second_look(self, comparison: Comparison) -> bool:
        """Return whether both sides should be asked once more: it differs at a field that is not
        known to differ by itself."""
        if comparison.equal:
            return False
        if self._learn_in <= 0:
            self._noisy = noisy_fields(self.counts, self.rules)
            self._learn_in = _LEARN_EVERY
        self._learn_in -= 1
        return comparison.more > 0 or not comparison.fields <= self._noisy

    def add(
        self,
        comparison: Comparison,
        *,
        again: Comparison | None = None,
        by_chance: bool = False,
        second: Comparison | None = None,
    ) -> Finding:
        """Count a comparison; return what it comes to.

        `again` compares the authority's first answer with its second one to the same request.
        `by_chance` says that this second answer was drawn beforehand, for the part
        `noise_fraction` of all comparisons; False that it was asked because of the mismatch.
        `second` compares the second answers of both sides.
        """
        counts = self.counts
        counts[_COMPARED] += 1
        counts[names.OUTCOME, comparison.outcome.value] += 1
        if again is None and comparison.outcome in _WITHOUT_A_WORD:
            return Finding.EQUAL
        for rule, times in comparison.hidden:
            counts[names.RULE_ANSWERS, rule] += 1
            counts[names.RULE_DIFFERENCES, rule] += times
        differ = self._known(comparison.fields)
        for kind, field in {(found.kind, found.field) for found in comparison.differences}:
            counts[names.KIND, f"{kind.value} {self._known_one(field)}"] += 1
        for field in differ:
            counts[names.DIFFERS, field] += 1
        noise = frozenset() if again is None else self._known(again.fields)
        lasting = differ if second is None else differ & self._known(second.fields)
        self._count_triple(comparison, again, lasting, noise, by_chance=by_chance)
        finding = self._finding(comparison, again, second, lasting - noise)
        if finding not in (Finding.EQUAL, Finding.MISMATCH):
            counts[finding.value, ""] += 1
        return finding

    def add_noise(self, comparison: Comparison) -> None:
        """Count an A/A probe alone: two answers of the authority to one request."""
        self.counts[names.PROBED_ALONE, ""] += 1
        for field in self._known(comparison.fields):
            self.counts[names.NOISY, field] += 1
            self.counts[names.NOISE_ONLY, field] += 1

    def add_latency(
        self, side: Side, took_ms: float, count: int = 1, *, cohort: str = names.EVERYBODY
    ) -> None:
        """Count how long a side took for its answers; those of a cohort are everybody's, too."""
        bucket = bucket_of(took_ms)
        self.counts[names.LATENCY, f"{side.value} {bucket}"] += count
        if cohort != names.EVERYBODY:
            self.counts[names.LATENCY, f"{side.value}/{cohort} {bucket}"] += count

    def add_order(self, order: str, count: int = 1, *, same: bool) -> None:
        """Count pairs by when the copy began, and whether the answers agreed."""
        self.counts[names.ORDER, f"{order} {'same' if same else 'different'}"] += count

    def add_skew(self, order: str, took_ms: float, count: int = 1) -> None:
        """Count how long after the authority's call the copy's began."""
        self.counts[names.SKEW, f"{order} {bucket_of(took_ms)}"] += count

    def add_requests(self, count: int = 1) -> None:
        """Count requests that could have been copied."""
        self.counts[names.REQUESTS, ""] += count

    def add_shed(self, reason: str, count: int = 1) -> None:
        """Count copies that were not made, or not compared."""
        self.counts[names.SHED, reason] += count

    def drain(self) -> Tally:
        """Return what was counted since the last call."""
        told = self._told
        news = Tally(
            {key: count - told[key] for key, count in self.counts.items() if count != told[key]}
        )
        self._told = Tally(self.counts)
        return news

    def verdict(self) -> RouteVerdict:
        """Return what can be said now; may be asked as often as one likes."""
        return judge(self.counts, self.rules)

    def _count_triple(
        self,
        comparison: Comparison,
        again: Comparison | None,
        lasting: frozenset[str],
        noise: frozenset[str],
        *,
        by_chance: bool,
    ) -> None:
        counts = self.counts
        if again is None:
            return
        for field in lasting - noise:
            counts[names.CONFIRMED, field] += 1
        if lasting - noise:
            likely = min(lasting - noise, key=lambda field: (counts[names.NOISY, field], field))
            counts[names.EXCESS, likely] += 1
        if not by_chance:
            return
        counts[names.PROBED, ""] += 1
        differ = self._known(comparison.fields)
        for field in noise:
            counts[names.NOISY, field] += 1
        for field in noise - differ:
            counts[names.NOISE_ONLY, field] += 1
        if noise - differ - self._noisy:
            counts[names.NOISE_EXCESS, ""] += 1

    def _finding(
        self,
        comparison: Comparison,
        again: Comparison | None,
        second: Comparison | None,
        unexplained: frozenset[str],
    ) -> Finding:
        if comparison.equal:
            return Finding.EQUAL
        if second is not None and second.equal:
            return Finding.FLAPPING
        if again is None:
            known = not comparison.more and comparison.fields <= self._noisy
            return Finding.NOISE if known else Finding.UNCONFIRMED
        return Finding.MISMATCH if unexplained else Finding.NOISE

    def _known(self, fields: Iterable[str]) -> frozenset[str]:
        return frozenset(map(self._known_one, fields))

    def _known_one(self, field: str) -> str:
        if field not in self._fields:
            if len(self._fields) >= FIELDS_COUNT_MAX - 1:
                return OTHER_FIELDS
            self._fields.add(field)
        return field
