"""Findings, walks and bypasses in memory."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from bridge.gateway.reconciliation.findings import (
    Bypass,
    Finding,
    FindingState,
    Progress,
    RangeDigest,
)
from bridge.gateway.reconciliation.ports import KeyPlace


class MemoryFindingStore:
    """`FindingStore` of one process."""

    def __init__(self) -> None:
        self._findings: dict[tuple[str, str, str], Finding] = {}
        self._progress: dict[tuple[str, str, str], Progress] = {}
        self._ranges: dict[tuple[str, str, str, int], RangeDigest] = {}
        self._cursors: dict[str, int] = {}
        self._keys: dict[tuple[str, str], int] = {}
        self._bypasses: dict[tuple[str, str, str, datetime], Bypass] = {}

    def found(self, finding: Finding) -> None:
        """Keep a finding."""
        place = (finding.group, finding.entity, finding.key)
        known = self._findings.get(place)
        if known is None:
            self._findings[place] = replace(finding, state=FindingState.OPEN)
            return
        same = (known.digest_authority, known.digest_other) == (
            finding.digest_authority,
            finding.digest_other,
        )
        stays = known.state is FindingState.ACCEPTED and same
        self._findings[place] = replace(
            finding,
            found_at=known.found_at,
            state=FindingState.ACCEPTED if stays else FindingState.OPEN,
            repair=known.repair,
            reason=known.reason,
        )

    def agrees(
        self, group: str, entity: str, key: str, origins: Collection[str] | None = None
    ) -> bool:
        """Forget the finding of an entity that no longer differs."""
        known = self._findings.get((group, entity, key))
        if known is not None and origins is not None and known.origin not in origins:
            return False
        return self._findings.pop((group, entity, key), None) is not None

    def finding(self, group: str, entity: str, key: str) -> Finding | None:
        """Return one finding."""
        return self._findings.get((group, entity, key))

    def findings(
        self,
        *,
        group: str | None = None,
        entity: str | None = None,
        state: FindingState | None = None,
        count_max: int = 100,
    ) -> Sequence[Finding]:
        """Return findings, newest first."""
        found = [
            one
            for one in self._findings.values()
            if group in (None, one.group)
            and entity in (None, one.entity)
            and state in (None, one.state)
        ]
        found.sort(key=lambda one: (-one.found_at.timestamp(), one.group, one.entity, one.key))
        return found[:count_max]

    def counts(self) -> Sequence[tuple[str, str, FindingState, int]]:
        """Return how many findings there are by group, entity and state."""
        counts = Counter(
            (one.group, one.entity, one.state.value) for one in self._findings.values()
        )
        return [
            (group, entity, FindingState(state), n)
            for (group, entity, state), n in sorted(counts.items())
        ]

    def mark(
        self,
        group: str,
        entity: str,
        key: str,
        state: FindingState,
        *,
        repair: str | None = None,
        reason: str | None = None,
    ) -> bool:
        """Set a finding's state."""
        known = self._findings.get((group, entity, key))
        if known is None:
            return False
        self._findings[group, entity, key] = replace(
            known, state=state, repair=repair or known.repair, reason=reason or known.reason
        )
        return True

    def progress(self) -> Sequence[Progress]:
        """Return where every walk stands."""
        return [self._progress[place] for place in sorted(self._progress)]

    def move(self, progress: Progress, digest: RangeDigest | None = None) -> None:
        """Keep where a walk stands, and the digest of the range that it has read."""
        self._progress[progress[:3]] = progress
        if digest is not None:
            self._ranges[digest[:4]] = digest

    def ranges(self, group: str, entity: str, count_max: int = 100) -> Sequence[RangeDigest]:
        """Return the newest ranges first."""
        found = [one for one in self._ranges.values() if one[:2] == (group, entity)]
        return sorted(found, key=lambda one: (-one.at.timestamp(), one.first))[:count_max]

    def cursor(self, name: str) -> int:
        """Return a reader's place in the event log."""
        return self._cursors.get(name, 0)

    def seen(
        self, name: str, cursor: int, keys: Sequence[tuple[str, str]], bypasses: Sequence[Bypass]
    ) -> None:
        """Move a reader's place, and with it keep captured keys and bypasses."""
        self._cursors[name] = cursor
        for key in keys:
            self._keys.setdefault(key, len(self._keys) + 1)
        for one in bypasses:
            place = one[:4]
            known = self._bypasses.get(place)
            if known is not None:
                one = one._replace(
                    changes=known.changes + one.changes,
                    first_at=min(known.first_at, one.first_at),
                    last_at=max(known.last_at, one.last_at),
                )
            self._bypasses[place] = one

    def captured_keys(self, subject: str, after: int, count_max: int) -> Sequence[KeyPlace]:
        """Return captured keys of a subject behind the place `after`."""
        found = [
            KeyPlace(place, key)
            for (of, key), place in self._keys.items()
            if of == subject and place > after
        ]
        return sorted(found)[:count_max]

    def bypasses(self, *, group: str | None = None, count_max: int = 100) -> Sequence[Bypass]:
        """Return bypasses, newest first."""
        found = [one for one in self._bypasses.values() if group in (None, one.group)]
        found.sort(key=lambda one: (-one.last_at.timestamp(), one.group, one.entity, one.subject))
        return found[:count_max]

    def prune(self, before: datetime) -> int:
        """Forget bypasses and ranges from before."""
        old = [place for place, one in self._bypasses.items() if one.last_at < before]
        stale = [place for place, one in self._ranges.items() if one.at < before]
        for place in old:
            del self._bypasses[place]
        for where in stale:
            del self._ranges[where]
        return len(old) + len(stale)

    def close(self) -> None:
        """Nothing to release."""
