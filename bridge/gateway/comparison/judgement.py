"""What the counts of a route come to: which fields differ for good, and whether the sides agree.

Of n comparisons, r differ at a field; of m probes of the authority against itself, s do. The share
that is the other side's doing is p = r/n - s/m. It is estimated from triples (authority, other,
authority again) rather than from the two shares apart: a triple counts +1 when the other side
differs and the authority agrees with itself, and -1/w when the reverse happened in one of the
probes, which are drawn with chance w. Its mean is p, and it varies far less than the two shares,
since what differs by itself differs in both. Every mismatch that is not known noise gets its second
answer of the authority, so that the first case is seen wherever it happens.

Fields that are noise are not part of the route's share: what another system does to them is told
by rules, or by the test of the field itself, which is then blunt.

A field is *wrong* when the capital against "p ≤ tolerance" is a discovery (`evidence`), *noise*
when the authority alone shows it, else *open*. The route is a *mismatch* when a field is wrong or
its own p is above the tolerance, a *match* when it is below with at least the minimum of
comparisons, else there is *not enough data*. Mismatches that nobody looked at again count fully
against a match and not at all for a mismatch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bridge.gateway.comparison import tally as names
from bridge.gateway.comparison.evidence import (
    discoveries,
    log_capital_above,
    lower_bound,
    upper_bound,
)
from bridge.gateway.comparison.latency import quantile_ms
from bridge.gateway.comparison.tally import FIELDS_COUNT_MAX, Tally
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.model.stage import Side

# A rule that hides more is shown as a warning: it may hide what it was not made for.
HIDDEN_PART_WARNED: Final = 0.05
_QUANTILES: Final = (0.5, 0.9, 0.99)


class Agreement(Enum):
    """What a route's comparisons come to."""

    MATCH = "match"  # The share of wrong answers is below the tolerance.
    MISMATCH = "mismatch"  # It is above.
    OPEN = "not-enough-data"  # Neither can be said yet.


class FieldState(Enum):
    """What is known of a field."""

    WRONG = "wrong"  # The other side differs, more often than the tolerance allows.
    NOISE = "noise"  # The authority differs from itself.
    OPEN = "open"  # Neither can be said yet.


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldVerdict:
    """One field that differed at least once."""

    field: str
    state: FieldState
    differs: int
    """Comparisons in which it differed (r), of `RouteVerdict.compared` (n)."""
    noisy: int
    """Probes in which the authority differed from itself (s), of `RouteVerdict.probes` (m)."""
    confirmed: int
    """Comparisons in which the other side differed and the authority agreed with itself."""
    at_least: float
    """Lower bound of p, for this field alone."""
    kinds: tuple[tuple[str, int], ...]
    """How it differed, most frequent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleUse:
    """What a rule hid."""

    name: str
    answers: int
    differences: int
    warned: bool
    """Whether that is more of the answers than a rule should hide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideLatency:
    """How long a side took."""

    side: Side
    cohort: str
    """`all`, or one of its parts at stage `canary`: `in` and `out`."""
    count: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUse:
    """Pairs whose calls were made in one order, which is drawn for each."""

    order: str
    """`together`, or `after` the authority's answer."""
    same: int
    different: int
    skew_p50_ms: float | None
    """From the authority's call to the copy's."""
    skew_p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteVerdict:
    """What can be said of a route now."""

    agreement: Agreement
    compared: int
    probes: int
    at_least: float
    """Lower bound of the share of wrong answers."""
    at_most: float
    """Upper bound."""
    outcomes: tuple[tuple[str, int], ...]
    """Outcome → comparisons."""
    noise: int
    flapping: int
    unconfirmed: int
    requests: int
    """Requests that could have been compared."""
    sampled: float | None
    """The part of them that was; None when that was not counted."""
    shed: tuple[tuple[str, int], ...]
    """Why others were not."""
    fields: tuple[FieldVerdict, ...]
    """Wrong ones first, then by how often they differ."""
    rules: tuple[RuleUse, ...]
    latencies: tuple[SideLatency, ...]
    orders: tuple[OrderUse, ...]
    """What the order of the calls had to do with it."""

    @property
    def wrong(self) -> tuple[str, ...]:
        """The fields that are wrong."""
        return tuple(one.field for one in self.fields if one.state is FieldState.WRONG)


def judge(counts: Tally, rules: ComparisonRules) -> RouteVerdict:
    """Return the verdict on `counts`."""
    compared, probes = counts[names.COMPARED, ""], _probes(counts)
    fields = _fields(counts, rules)
    at_least, at_most = _bounds(counts, rules, fields)
    agreement = Agreement.OPEN
    if at_least > rules.tolerance or any(one.state is FieldState.WRONG for one in fields):
        agreement = Agreement.MISMATCH
    elif at_most <= rules.tolerance and compared >= rules.minimum_count:
        agreement = Agreement.MATCH
    requests = counts[names.REQUESTS, ""]
    return RouteVerdict(
        agreement=agreement,
        compared=compared,
        probes=probes,
        at_least=at_least,
        at_most=at_most,
        outcomes=_of(counts, names.OUTCOME),
        noise=counts[names.NOISE, ""],
        flapping=counts[names.FLAPPING, ""],
        unconfirmed=counts[names.UNCONFIRMED, ""],
        requests=requests,
        sampled=compared / requests if requests else None,
        shed=_of(counts, names.SHED),
        fields=fields,
        rules=_rules(counts, compared),
        latencies=_latencies(counts),
        orders=_orders(counts),
    )


def wrong_fields(counts: Tally, rules: ComparisonRules) -> frozenset[str]:
    """Return the fields that are wrong, as `judge` has it, in a fraction of its time."""
    fields, observed = _observed(counts, rules)
    wrong = _discovered(observed, rules)
    return frozenset(fields[at] for at in wrong)


def noisy_fields(counts: Tally, rules: ComparisonRules) -> frozenset[str]:
    """Return the fields that the authority shows to differ by themselves."""
    probes, alpha = _probes(counts), 1 - rules.confidence
    return frozenset(
        field
        for field, noisy in _of(counts, names.NOISY)
        if _is_noise(noisy, probes, rules.tolerance, alpha)
    )


def _probes(counts: Tally) -> int:
    return counts[names.PROBED, ""] + counts[names.PROBED_ALONE, ""]


def _is_noise(noisy: int, probes: int, tolerance: float, alpha: float) -> bool:
    seen = {1.0: noisy, 0.0: probes - noisy}
    # Tested as many times as there may be fields; a tolerance is never zero.
    return log_capital_above(seen, tolerance, 0.0) >= math.log(FIELDS_COUNT_MAX / alpha)


def _bounds(
    counts: Tally, rules: ComparisonRules, fields: Sequence[FieldVerdict]
) -> tuple[float, float]:
    lowest, alpha = -1 / rules.noise_fraction, 1 - rules.confidence
    noise = {one.field for one in fields if one.state is FieldState.NOISE}
    excess = sum(count for field, count in _of(counts, names.EXCESS) if field not in noise)
    reverse = counts[names.NOISE_EXCESS, ""]
    compared = counts[names.COMPARED, ""]
    at_least = lower_bound(
        {1.0: excess, lowest: reverse, 0.0: max(0, compared - excess - reverse)}, alpha, lowest
    )
    # What speaks for the other side is left away: it could only lower the bound.
    doubted = excess + counts[names.UNCONFIRMED, ""]
    return at_least, upper_bound({1.0: doubted, 0.0: compared - doubted}, alpha)


def _fields(counts: Tally, rules: ComparisonRules) -> tuple[FieldVerdict, ...]:
    probes, alpha, lowest = _probes(counts), 1 - rules.confidence, -1 / rules.noise_fraction
    fields, observed = _observed(counts, rules)
    wrong = _discovered(observed, rules)
    kinds: dict[str, list[tuple[str, int]]] = {}
    for text, count in _of(counts, names.KIND):
        kind, _, field = text.partition(" ")
        kinds.setdefault(field, []).append((kind, count))
    found = []
    for at, field in enumerate(fields):
        noisy = counts[names.NOISY, field]
        state = FieldState.OPEN
        if at in wrong:
            state = FieldState.WRONG
        elif _is_noise(noisy, probes, rules.tolerance, alpha):
            state = FieldState.NOISE
        found.append(
            FieldVerdict(
                field=field,
                state=state,
                differs=counts[names.DIFFERS, field],
                noisy=noisy,
                confirmed=counts[names.CONFIRMED, field],
                at_least=lower_bound(observed[at], alpha, lowest),
                kinds=tuple(sorted(kinds.get(field, ()), key=lambda pair: (-pair[1], pair[0]))),
            )
        )
    order = {FieldState.WRONG: 0, FieldState.OPEN: 1, FieldState.NOISE: 2}
    return tuple(sorted(found, key=lambda one: (order[one.state], -one.differs, one.field)))


def _observed(counts: Tally, rules: ComparisonRules) -> tuple[list[str], list[dict[float, int]]]:
    """Return the fields that ever differed, and the triples seen of each."""
    lowest = -1 / rules.noise_fraction
    fields = sorted({of for name, of in counts if name in (names.DIFFERS, names.NOISY)})
    observed = []
    for field in fields:
        confirmed = counts[names.CONFIRMED, field]
        reverse = counts[names.NOISE_ONLY, field]
        rest = max(0, counts[names.COMPARED, ""] - confirmed - reverse)
        observed.append({1.0: confirmed, lowest: reverse, 0.0: rest})
    return fields, observed


def _discovered(observed: list[dict[float, int]], rules: ComparisonRules) -> set[int]:
    lowest = -1 / rules.noise_fraction
    capitals = [log_capital_above(seen, rules.tolerance, lowest) for seen in observed]
    # Several workers together may have seen more fields than one of them tells apart.
    return discoveries(capitals, 1 - rules.confidence, max(FIELDS_COUNT_MAX, len(observed)))


def _rules(counts: Tally, compared: int) -> tuple[RuleUse, ...]:
    return tuple(
        RuleUse(
            name=rule,
            answers=answers,
            differences=counts[names.RULE_DIFFERENCES, rule],
            warned=answers > HIDDEN_PART_WARNED * compared,
        )
        for rule, answers in _of(counts, names.RULE_ANSWERS)
    )


def _latencies(counts: Tally) -> tuple[SideLatency, ...]:
    sides: dict[str, dict[int, int]] = {}
    for text, count in _of(counts, names.LATENCY):
        side, _, bucket = text.partition(" ")
        sides.setdefault(side, {})[int(bucket)] = count
    return tuple(
        SideLatency(
            side=Side(side.partition("/")[0]),
            cohort=side.partition("/")[2] or names.EVERYBODY,
            count=sum(buckets.values()),
            p50_ms=quantile_ms(buckets, _QUANTILES[0]),
            p90_ms=quantile_ms(buckets, _QUANTILES[1]),
            p99_ms=quantile_ms(buckets, _QUANTILES[2]),
        )
        for side, buckets in sorted(sides.items())
    )


def _orders(counts: Tally) -> tuple[OrderUse, ...]:
    skews: dict[str, dict[int, int]] = {}
    for text, count in _of(counts, names.SKEW):
        order, _, bucket = text.partition(" ")
        skews.setdefault(order, {})[int(bucket)] = count
    known = {text.partition(" ")[0] for text, _ in _of(counts, names.ORDER)}
    return tuple(
        OrderUse(
            order=order,
            same=counts[names.ORDER, f"{order} same"],
            different=counts[names.ORDER, f"{order} different"],
            skew_p50_ms=quantile_ms(skews.get(order, {}), _QUANTILES[0]),
            skew_p99_ms=quantile_ms(skews.get(order, {}), _QUANTILES[2]),
        )
        for order in sorted(known | skews.keys())
    )


def _of(counts: Tally, name: str) -> tuple[tuple[str, int], ...]:
    """Return what is counted under `name`, most first."""
    found = [(of, count) for (named, of), count in counts.items() if named == name and count]
    return tuple(sorted(found, key=lambda pair: (-pair[1], pair[0])))
