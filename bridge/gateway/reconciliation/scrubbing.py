"""Walk over all known keys at a set rate: a digest for each range, and a closer look on difference.

A range is read on both sides; where its digests are equal, so are its entities. Else each of them
whose own digests differ is checked (`checking`). Where a walk stands is kept after every range, so
that it goes on there after a restart.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Final

from bridge.gateway.reconciliation.checking import Checked, Checker, Pair, Verdict
from bridge.gateway.reconciliation.findings import Progress, RangeDigest
from bridge.gateway.reconciliation.ports import FindingStore, KeyPlace, KnownIds
from bridge.gateway.reconciliation.rules import EntityRule

IDS: Final = "ids"
CAPTURE: Final = "capture"
# A weak legacy system has users of its own: entities read at once on each side.
AT_ONCE: Final = 4


class Scrubber:
    """Walks over the keys of one rule after another."""

    def __init__(
        self,
        *,
        checker: Checker,
        store: FindingStore,
        ids: KnownIds,
        now: Callable[[], datetime],
        tables: Checker | None = None,
    ) -> None:
        """`tables` checks by captured tables; without it their keys are read over HTTP."""
        self._http = checker
        self._tables = tables
        self._store = store
        self._ids = ids
        self._now = now

    def origins(self, rule: EntityRule) -> tuple[str, ...]:
        """Return where keys of the entity are known from."""
        return (IDS,) if rule.route.reconcile.subject is None else (IDS, CAPTURE)

    def standing(self, rule: EntityRule, origin: str) -> Progress:
        """Return where the walk stands."""
        for progress in self._store.progress():
            if progress[:3] == (rule.group, rule.entity, origin):
                return progress
        return Progress(rule.group, rule.entity, origin, 0, 0, 0, 0, 0, None, None)

    async def step(self, rule: EntityRule, origin: str = IDS) -> int:
        """Look at the next range; return how many keys it had, 0 at the end of the round.

        At the end the next step begins a new round.

        Raises:
            StorageUnavailable: the journal or the findings cannot be read or written.
        """
        standing = self.standing(rule, origin)
        keys = self._keys(rule, origin, standing.cursor)
        checker = self._http
        if origin == CAPTURE and self._tables is not None and rule.route.reconcile.fields:
            checker = self._tables
        now = self._now()
        if not keys:
            self._store.move(standing._replace(cursor=0, rounds=standing.rounds + 1, moved_at=now))
            return 0
        if standing.cursor == 0:
            standing = standing._replace(looked=0, differing=0, busy=0, began_at=now)
        gate = asyncio.Semaphore(AT_ONCE)
        pairs = await asyncio.gather(*(_read(checker, rule, place.key, gate) for place in keys))
        digests = _digest(keys, pairs, 0), _digest(keys, pairs, 1)
        differing = busy = 0
        if digests[0] != digests[1] or any(pair is None or not pair.readable for pair in pairs):
            checks = await asyncio.gather(
                *(
                    self._check(checker, rule, place.key, pair, gate)
                    for place, pair in zip(keys, pairs, strict=True)
                )
            )
            differing = sum(check.verdict is Verdict.DIFFERENT for check in checks)
            busy = sum(check.verdict not in (Verdict.DIFFERENT, Verdict.EQUAL) for check in checks)
        else:
            for place in keys:
                checker.agrees(rule, place.key)
        moved = standing._replace(
            cursor=keys[-1].place,
            looked=standing.looked + len(keys),
            differing=standing.differing + differing,
            busy=standing.busy + busy,
            moved_at=self._now(),
        )
        digest = RangeDigest(
            rule.group, rule.entity, origin, keys[0].place, keys[-1].place, len(keys), *digests, now
        )
        self._store.move(moved, digest)
        return len(keys)

    async def _check(
        self,
        checker: Checker,
        rule: EntityRule,
        key: str,
        pair: Pair | None,
        gate: asyncio.Semaphore,
    ) -> Checked:
        async with gate:
            if pair is not None and pair.readable and checker.differences(rule, pair) is None:
                checker.agrees(rule, key)
                return Checked(verdict=Verdict.EQUAL, pair=pair)
            if checker is self._http:
                return await checker.check(rule, key, origin="walk", first=pair)
            # Capture may be behind its database: what a table says alone is no finding.
            return await self._http.check(rule, key, origin="capture")

    def _keys(self, rule: EntityRule, origin: str, after: int) -> Sequence[KeyPlace]:
        rules = rule.route.reconcile
        if origin == IDS:
            entity = rule.id_entity or rule.entity
            return self._ids.id_keys(rule.group, entity, after, rules.range_count)
        assert rules.subject is not None, "only such rules have this origin"
        return self._store.captured_keys(rules.subject, after, rules.range_count)


async def _read(
    checker: Checker, rule: EntityRule, key: str, gate: asyncio.Semaphore
) -> Pair | None:
    """Return both sides; None when writes of the entity are under way."""
    async with gate:
        if not checker.quiet(rule, key):
            return None
        pair = await checker.read(rule, key)
        return pair if checker.quiet(rule, key) else None


def _digest(keys: Sequence[KeyPlace], pairs: Sequence[Pair | None], side: int) -> str:
    hashed = blake2b(digest_size=16)
    for place, pair in zip(keys, pairs, strict=True):
        found = None if pair is None else pair.digests[side]
        hashed.update(f"{place.key}\n{found}\n".encode())
    return hashed.hexdigest()
