"""Whether an entity is the same on both sides: a difference counts when it cannot be otherwise.

It counts when both sides were read twice and agreed with themselves, when nothing of its lane was
under way before, between and after, and when the two still differ. A write that comes in between is
seen in one of these.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from bridge.gateway.comparison.difference import Difference
from bridge.gateway.dual.ports import GroupReader, WriteJournal
from bridge.gateway.reconciliation.findings import Divergence, Finding
from bridge.gateway.reconciliation.ports import FindingStore
from bridge.gateway.reconciliation.rules import EntityRule
from bridge.gateway.reconciliation.sides import Look, Readers
from bridge.gateway.routes.table import AUTHORITY
from bridge.model.errors import NotKnown
from bridge.model.stage import GroupState, Side

BY_HTTP: Final = frozenset({"walk", "write", "person"})
BY_TABLE: Final = frozenset({"capture"})


class Verdict(Enum):
    """What one check came to."""

    EQUAL = "equal"  # Both sides have the same, or neither has it.
    DIFFERENT = "different"  # A finding.
    BUSY = "busy"  # Writes of its lane are under way, or came in between.
    FLAPPING = "flapping"  # A side did not agree with itself.
    UNREADABLE = "unreadable"  # A side could not be asked.


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Both sides of an entity, read once."""

    authority: Look
    other: Look

    @property
    def readable(self) -> bool:
        """Whether both answered."""
        return self.authority.readable and self.other.readable

    @property
    def digests(self) -> tuple[str | None, str | None]:
        """What each has."""
        return self.authority.digest, self.other.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check came to."""

    verdict: Verdict
    pair: Pair | None = None
    finding: Finding | None = None
    differences: tuple[Difference, ...] = ()


class Checker:
    """Checks one entity at a time; several may run at once."""

    def __init__(
        self,
        *,
        sides: Readers,
        journal: WriteJournal,
        groups: GroupReader,
        store: FindingStore,
        now: Callable[[], datetime],
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        origins: frozenset[str] = BY_HTTP,
    ) -> None:
        """`origins` are those of findings that this checker may forget: it sees what they saw."""
        self._origins = origins
        self.sides = sides
        self._journal = journal
        self._groups = groups
        self._store = store
        self._now = now
        self._wait = wait

    def state(self, rule: EntityRule) -> GroupState:
        """Return where the group stands; raises `NotKnown`."""
        for state in self._groups.groups():
            if state.group == rule.group:
                return state
        raise NotKnown(f"cannot reconcile group {rule.group!r}: the journal does not know it")

    def authority(self, rule: EntityRule) -> Side:
        """Return the side whose data is the truth."""
        return AUTHORITY[self.state(rule).stage]

    def quiet(self, rule: EntityRule, key: str) -> bool:
        """Return whether no write of the entity is under way."""
        state = self._journal.lane_state(rule.group, self.sides.lane(rule, key))
        return state.in_flight is None and not state.in_doubt and state.unreplayed_to is None

    async def read(self, rule: EntityRule, key: str) -> Pair:
        """Read an entity on both sides at once."""
        side = self.authority(rule)
        mine, theirs = await asyncio.gather(
            self.sides.read(rule, key, side, authority=True),
            self.sides.read(rule, key, side.other, authority=False),
        )
        return Pair(authority=mine, other=theirs)

    async def check(
        self, rule: EntityRule, key: str, *, origin: str, first: Pair | None = None
    ) -> Checked:
        """Check an entity, and keep or forget its finding.

        `first` are answers that were read while the lane was quiet before and is now.

        Raises:
            StorageUnavailable: the journal or the findings cannot be read or written.
        """
        if first is None:
            if not self.quiet(rule, key):
                return Checked(verdict=Verdict.BUSY)
            first = await self.read(rule, key)
        epoch = self.state(rule).epoch
        if not first.readable:
            return Checked(verdict=Verdict.UNREADABLE, pair=first)
        differences = self.differences(rule, first)
        if differences is None:
            self.agrees(rule, key)
            return Checked(verdict=Verdict.EQUAL, pair=first)
        await self._wait(rule.route.reconcile.wait_ms / 1_000)
        if not self.quiet(rule, key):
            return Checked(verdict=Verdict.BUSY)
        second = await self.read(rule, key)
        if not second.readable:
            return Checked(verdict=Verdict.UNREADABLE, pair=second)
        if not self.quiet(rule, key) or self.state(rule).epoch != epoch:
            return Checked(verdict=Verdict.BUSY)
        differences = self.differences(rule, second)
        if differences is None:
            self.agrees(rule, key)
            return Checked(verdict=Verdict.EQUAL, pair=second)
        if first.digests != second.digests:
            return Checked(verdict=Verdict.FLAPPING, pair=second)
        finding = self._finding(rule, key, second, differences, origin)
        self._store.found(finding)
        return Checked(
            verdict=Verdict.DIFFERENT, pair=second, finding=finding, differences=differences
        )

    def agrees(self, rule: EntityRule, key: str) -> None:
        """Forget the finding of an entity that is the same on both sides."""
        self._store.agrees(rule.group, rule.entity, key, self._origins)

    def differences(self, rule: EntityRule, pair: Pair) -> tuple[Difference, ...] | None:
        """Return where the two differ; None when they do not, empty when only one has it."""
        mine, theirs = pair.authority.answer, pair.other.answer
        if mine is None or theirs is None:
            return None if mine is theirs else ()
        if pair.authority.digest == pair.other.digest:
            return None
        ids = self.sides.other_ids(rule, self.authority(rule).other)
        found = rule.comparer.compare(mine, theirs, ids=ids)
        return None if found.equal else found.differences

    def _finding(
        self,
        rule: EntityRule,
        key: str,
        pair: Pair,
        differences: tuple[Difference, ...],
        origin: str,
    ) -> Finding:
        divergence = Divergence.CHANGED
        if pair.other.answer is None:
            divergence = Divergence.MISSING
        elif pair.authority.answer is None:
            divergence = Divergence.EXTRA
        now = self._now()
        return Finding(
            group=rule.group,
            entity=rule.entity,
            key=key,
            divergence=divergence,
            authority=self.authority(rule),
            digest_authority=pair.authority.digest,
            digest_other=pair.other.digest,
            fields=tuple(sorted({one.field for one in differences})),
            found_at=now,
            seen_at=now,
            origin=origin,
        )
