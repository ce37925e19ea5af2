"""What the cohort of a drill saw in one process, in numbers that add up over processes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.model.ages import BUCKETS_MS

_BEYOND: Final = "more"
_FAILED: Final = frozenset({"5xx", "refused", "cut", "late", "open"})
_CHANGES_MAX: Final = 100
"""Changes of the breaker that are kept: a drill of an hour has fewer, and the first tell most."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of one drill; times are seconds since 1970."""

    drill_id: str
    process: str
    """Name of the role, and its process id."""
    touched: Counter[str] = field(default_factory=Counter)
    """By what was touched: reads, replays, writes."""
    heard: Counter[str] = field(default_factory=Counter)
    """How the chosen side's part of them ended, by what was touched: `reads.2xx` … `reads.5xx`,
    `reads.refused`, `.cut`, `.late`, `.open` (the breaker let it not through), `.gone`."""
    fell_back: Counter[str] = field(default_factory=Counter)
    """Reads that the other side answered in its place, by status class."""
    took: dict[str, Counter[str]] = field(default_factory=dict)
    """`answered`, `failed` and `fell_back` → bound in milliseconds → requests."""
    took_ms_max: float = 0.0
    """Of what clients were answered."""
    breaker: list[tuple[float, str]] = field(default_factory=list)
    """When the cohort's breaker changed, and to what."""
    ended_at: float | None = None
    ended_why: str = ""

    def note_took(self, what: str, seconds: float) -> None:
        """Count how long a client waited."""
        took_ms = seconds * 1000
        bound = next((str(each) for each in BUCKETS_MS if took_ms <= each), _BEYOND)
        self.took.setdefault(what, Counter())[bound] += 1
        if what != "failed":
            self.took_ms_max = max(self.took_ms_max, took_ms)

    def note_breaker(self, at: float, state: str) -> None:
        """Remember a change of the breaker."""
        if len(self.breaker) < _CHANGES_MAX:
            self.breaker.append((at, state))

    def as_json(self) -> dict[str, Any]:
        """Return it as its file has it."""
        return {
            "drill_id": self.drill_id,
            "process": self.process,
            "touched": dict(self.touched),
            "heard": dict(self.heard),
            "fell_back": dict(self.fell_back),
            "took": {what: dict(counts) for what, counts in self.took.items()},
            "took_ms_max": round(self.took_ms_max, 1),
            "breaker": [list(change) for change in self.breaker],
            "ended_at": self.ended_at,
            "ended_why": self.ended_why,
        }


def tally_from(value: Mapping[str, Any]) -> Tally:
    """Return the tally of a file; raises `ValueError`, `KeyError` or `TypeError` for another."""
    return Tally(
        drill_id=str(value["drill_id"]),
        process=str(value["process"]),
        touched=Counter(value["touched"]),
        heard=Counter(value["heard"]),
        fell_back=Counter(value["fell_back"]),
        took={what: Counter(counts) for what, counts in value["took"].items()},
        took_ms_max=float(value["took_ms_max"]),
        breaker=[(float(at), str(state)) for at, state in value["breaker"]],
        ended_at=None if value["ended_at"] is None else float(value["ended_at"]),
        ended_why=str(value["ended_why"]),
    )


def percentile_ms(counts: Mapping[str, int], share: float) -> int | None:
    """Return the bound below which `share` of the requests stayed; None without, or beyond all."""
    total = sum(counts.values())
    passed = 0
    for bound in BUCKETS_MS:
        passed += counts.get(str(bound), 0)
        if total and passed >= share * total:
            return bound
    return None


def summed(tallies: Iterable[Tally]) -> dict[str, Any]:
    """Return what all processes saw together."""
    touched: Counter[str] = Counter()
    heard: Counter[str] = Counter()
    fell_back: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    longest_ms = 0.0
    for each in tallies:
        touched += each.touched
        heard += each.heard
        fell_back += each.fell_back
        answered += each.took.get("answered", Counter())
        answered += each.took.get("fell_back", Counter())
        longest_ms = max(longest_ms, each.took_ms_max)
    failed = sum(
        count
        for name, count in heard.items()
        if name.partition(".")[2] in _FAILED and not name.startswith("replays.")
    )
    return {
        "touched": dict(sorted(touched.items())),
        "side_heard": dict(sorted(heard.items())),
        "fell_back": dict(sorted(fell_back.items())),
        "errors": max(0, failed - sum(fell_back.values())),
        "latency_ms": {
            "p50": percentile_ms(answered, 0.50),
            "p99": percentile_ms(answered, 0.99),
            "max": round(longest_ms, 1) if answered else None,
        },
    }
