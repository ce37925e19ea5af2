"""How strong counts speak for or against a mean, valid at every look.

Whoever looks at a rate again and again, and stops when it pleases, fools any test made for one
look. A *capital* does not: bet on each observation against a hypothesis at odds that are fair if it
is true; under the hypothesis the capital is a nonnegative supermartingale that starts at one, and
by Ville's inequality (1939) the chance that it *ever* reaches 1/e is at most e.

For an observation D in [-a, 1] and the hypothesis "mean of D ≤ m" the capital after a bet λ is
∏ (1 + λ (D - m)), 0 ≤ λ ≤ 1/(a + m); for "mean ≥ m" it is ∏ (1 + λ (m - D)), 0 ≤ λ ≤ 1/(1 - m)
(Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86,
2024, section 4; confidence sequences in general: Howard, Ramdas, McAuliffe and Sekhon, Annals of
Statistics 49, 2021). The mean may be conditional on the past: nothing is asked of independence.
The capital of a mixture of bets is the mean of their capitals. A bet that is fixed in advance
depends on how often each value was seen and not on the order, so that counts of several workers
are added before they are judged.

Many hypotheses at once: e-BH (Wang and Ramdas, "False discovery rate control with e-values",
JRSS B 84, 2022) keeps the share of false findings at e, however the fields depend on one another.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Observations: TypeAlias = Mapping[float, int]
"""Value → how often it was seen; every value in [-a, 1]."""

# The boldest bet wins soonest when nothing speaks against it, which is what is hoped for; the
# others win when something does. Weights add up to one.
_BETS: Final = (
    (0.999, 0.5), (0.9, 0.1), (0.75, 0.1), (0.5, 0.1), (0.3, 0.08), (0.15, 0.06), (0.05, 0.06),
)  # fmt: skip
_STEPS: Final = 24
"""Halvings of a bound: to 10⁻⁷ of its range."""


def log_capital_above(seen: Observations, mean: float, lowest: float) -> float:
    """Return ln of the capital against "mean ≤ `mean`"; `lowest` is -a."""
    return _log_mixture(seen, mean, 1.0, 1.0 / (mean - lowest))


def log_capital_below(seen: Observations, mean: float) -> float:
    """Return ln of the capital against "mean ≥ `mean`", which is below one."""
    return _log_mixture(seen, mean, -1.0, 1.0 / (1.0 - mean))


def lower_bound(seen: Observations, alpha: float, lowest: float) -> float:
    """Return what the mean lies above, with error `alpha` over all looks; at least zero."""
    wanted = -math.log(alpha)
    low, high = 0.0, 1.0
    if log_capital_above(seen, low, min(lowest, -1e-9)) < wanted:
        return 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if log_capital_above(seen, middle, lowest) >= wanted:
            low = middle
        else:
            high = middle
    return low


def upper_bound(seen: Observations, alpha: float) -> float:
    """Return what the mean lies below, with error `alpha` over all looks; at most one."""
    wanted = -math.log(alpha)
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if log_capital_below(seen, middle) >= wanted:
            high = middle
        else:
            low = middle
    return high


def discoveries(log_capitals: Sequence[float], alpha: float, hypotheses_count: int) -> set[int]:
    """Return which of the capitals are findings when `hypotheses_count` fields could be (e-BH)."""
    order = sorted(range(len(log_capitals)), key=lambda at: -log_capitals[at])
    found = 0
    for rank, at in enumerate(order, start=1):
        if log_capitals[at] >= math.log(hypotheses_count / (alpha * rank)):
            found = rank
    return set(order[:found])


def _log_mixture(seen: Observations, mean: float, sign: float, most: float) -> float:
    logs = []
    for part, weight in _BETS:
        bet = part * most
        total = math.log(weight)
        for value, count in seen.items():
            if count:
                total += count * math.log1p(bet * sign * (value - mean))
        logs.append(total)
    peak = max(logs)
    return peak + math.log(sum(math.exp(one - peak) for one in logs))
