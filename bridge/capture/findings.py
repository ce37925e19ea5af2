"""What looking at a source found, before anything is touched: values, and how they add up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How much a finding matters; a higher one is worse."""

    OK = 0  # Looked at, and right.
    NOTICE = 1  # Right, and worth knowing: an effect, a cost, something that was not visible.
    WARNING = 2  # Capture runs, but something will hurt some day.
    ERROR = 3  # Capture does not start, or the application's own statements fail.

    @property
    def word(self) -> str:
        """The level as tables and JSON show it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at in a source."""

    level: Level
    check: str
    """Which check, a stable word for programs: `wal-level`, `replica-identity`, …"""
    table: str | None = None
    """`schema.table`, or None for what concerns the whole source."""
    what: str
    """What was found, with the values."""
    why: str = ""
    """Why it matters; empty where `what` says it all."""
    fix: str = ""
    """What to do, in words; empty when nothing is to be done."""
    sql: str = ""
    """The exact statements of the fix, each ending with `;`: for a person, never run here."""

    @property
    def scope(self) -> str:
        """The table, or `source`."""
        return self.table or "source"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupStep:
    """One statement that setting up, or taking leave, would run."""

    sql: str
    """Exact, ending with `;`: a person may run it instead."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """How taking leave of a source ended."""

    removed: tuple[SetupStep, ...]
    """What was run."""
    looked_at: tuple[str, ...]
    """What was looked through afterwards, each with its count: `replication slots: 0 of ours`."""
    left: tuple[str, ...]
    """What is left of ours; empty when the source is as it was before we came."""


def worst(findings: Iterable[Finding]) -> Level:
    """Return the highest level; `OK` when there are none."""
    return max((finding.level for finding in findings), default=Level.OK)


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return the source's findings, then each table's; the worst first, else as they came."""
    return sorted(findings, key=lambda found: (found.table or "", -found.level))


def count_levels(findings: Sequence[Finding]) -> dict[str, int]:
    """Return how many findings there are of each level, by its word."""
    return {level.word: sum(found.level is level for found in findings) for level in Level}
