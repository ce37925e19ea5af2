"""Reconciliation as it runs beside the replay: samples after writes, walks, captured changes.

One at a time over all groups, at each entity's own rate: what is read here is read from systems
that have users.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from bridge.gateway.reconciliation.after_writes import WriteSampler
from bridge.gateway.reconciliation.captured import CapturedReader
from bridge.gateway.reconciliation.checking import Checker
from bridge.gateway.reconciliation.rules import EntityRule
from bridge.gateway.reconciliation.scrubbing import Scrubber
from bridge.model.errors import BridgeError
from bridge.model.observer import Observer
from bridge.model.stage import Stage

# Where both sides should be the same: writes are replayed.
_TWO_SIDED: Final = frozenset({Stage.DUAL, Stage.CANARY, Stage.HANDOVER, Stage.MODERN})
TURN_S: Final = 0.5
# Between two rounds over the same keys.
_ROUND_PAUSE_S: Final = 60.0


class Patrol:
    """Runs until it is stopped."""

    def __init__(
        self,
        *,
        rules: Callable[[], Sequence[EntityRule]],
        checker: Checker,
        scrubber: Scrubber,
        sampler: WriteSampler,
        captured: CapturedReader | None,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`captured` is None where nothing is captured."""
        self._rules = rules
        self._checker = checker
        self._scrubber = scrubber
        self._sampler = sampler
        self._captured = captured
        self._observer = observer
        self._clock = clock
        self._due: dict[tuple[str, str, str], float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Patrol until `stop`; what cannot be read now is tried again in the next turn."""
        while not stop.is_set():
            try:
                await self.turn()
            except BridgeError as exc:
                self._observer.note("reconcile_failed", error=f"{type(exc).__name__}: {exc}")
            try:
                async with asyncio.timeout(TURN_S):
                    await stop.wait()
            except TimeoutError:
                continue

    async def turn(self) -> None:
        """Do what is due.

        Raises:
            BridgeError: something cannot be read or written now.
        """
        if self._captured is not None:
            while await asyncio.to_thread(self._captured.step):
                await asyncio.sleep(0)
        for rule in self._rules():
            if self._checker.state(rule).stage not in _TWO_SIDED:
                continue
            sampled = await self._sampler.step(rule)
            if sampled.differing:
                self._note(rule, "write", sampled.looked, sampled.differing)
            for origin in self._scrubber.origins(rule):
                await self._walk(rule, origin)

    async def _walk(self, rule: EntityRule, origin: str) -> None:
        place = (rule.group, rule.entity, origin)
        if self._clock() < self._due.get(place, 0.0):
            return
        count = await self._scrubber.step(rule, origin)
        pause_s = count / rule.route.reconcile.keys_per_s if count else _ROUND_PAUSE_S
        self._due[place] = self._clock() + pause_s
        if not count:
            standing = self._scrubber.standing(rule, origin)
            self._note(rule, origin, standing.looked, standing.differing)

    def _note(self, rule: EntityRule, origin: str, looked: int, differing: int) -> None:
        self._observer.note(
            "reconciled",
            group=rule.group,
            entity=rule.entity,
            origin=origin,
            keys=looked,
            differing=differing,
        )
