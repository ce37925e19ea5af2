"""Bring writes out of doubt, by the ways that their routes declare.

Runs beside the replayer. It takes every declared way that only looks, and settles the write when
they agree (`dual.doubt`); when none can tell, it sends the write again where that is harmless; else
the write stays in doubt, with what was found as its reason, until a person decides. Whatever is
found goes with the write's change of state into the event log.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bridge.gateway.dual.doubt import Ruling, rule
from bridge.gateway.dual.ports import ReplayQueue, SeenChanges, WriteJournal, WriteStateForbidden
from bridge.gateway.dual.replay_attempt import Attempts
from bridge.gateway.dual.ways import Ways, is_quiet
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.dual import Way
from bridge.model.errors import BridgeError, StorageUnavailable
from bridge.model.observer import Observer, SilentObserver
from bridge.model.write import JournalledWrite, WriteState

_NEEDS_PERSON: Final = "; needs a person: "


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverLimits:
    """How many writes at once, how often."""

    look_ms: int = 100
    """Between two looks at what is in doubt; a key is held meanwhile."""
    doubtful_count_max: int = 1_000
    """Read at once, whole; the next look goes on behind them, so that writes which wait for a
    person hide none."""
    concurrency: int = 8
    """Questions at once; a side that has just lost answers is not to be stormed."""
    backoff_ms_min: int = 100
    backoff_ms_max: int = 30_000


class Resolver:
    """Decides what can be known about writes in doubt; one at a time over all processes."""

    def __init__(
        self,
        *,
        queue: ReplayQueue,
        journal: WriteJournal,
        attempts: Attempts,
        route: Callable[[str, str], Route | None],
        now: Callable[[], datetime],
        changes: SeenChanges | None = None,
        limits: ResolverLimits | None = None,
        observer: Observer | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._journal = journal
        self._ways = Ways(attempts, changes)
        self._route = route
        self._now = now
        self._limits = limits or ResolverLimits()
        self._observer = observer or SilentObserver()
        self._chance = chance
        self._tries: dict[str, tuple[int, float]] = {}
        """Intent id → looks so far, and the loop's time of the next one."""
        self._said: dict[str, str] = {}
        """Intent id → the reason that the journal has from us."""
        self._after: str | None = None
        """The write behind which the next look goes on; None to begin with the oldest."""
        self._unseen: set[str] = set()
        """Writes that we know something of and have not met since the oldest."""

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            try:
                await self.look_once()
            except StorageUnavailable as exc:
                self._observer.note("doubts_unreadable", error=type(exc).__name__)
            try:
                async with asyncio.timeout(self._limits.look_ms / 1000):
                    await stop.wait()
            except TimeoutError:
                continue

    async def look_once(self) -> None:
        """Take the next writes in doubt one look further, each whose time has come."""
        if self._after is None:
            self._unseen = self._tries.keys() | self._said.keys()
        count_max = self._limits.doubtful_count_max
        found = self._queue.doubtful(count_max, self._after)
        self._unseen.difference_update(write.intent.intent_id for write in found)
        if len(found) == count_max:
            self._after = found[-1].intent.intent_id
        else:
            self._after = None
            for intent_id in self._unseen:
                self._tries.pop(intent_id, None)
                self._said.pop(intent_id, None)
        now = asyncio.get_running_loop().time()
        due = [
            write for write in found if self._tries.get(write.intent.intent_id, (0, 0.0))[1] <= now
        ]
        places = asyncio.Semaphore(self._limits.concurrency)

        async def look(write: JournalledWrite) -> None:
            async with places:
                await self._look(write)

        await asyncio.gather(*(look(write) for write in due))

    async def _look(self, write: JournalledWrite) -> None:
        intent = write.intent
        route = self._route(intent.group, intent.route)
        if route is None:
            ruling = Ruling(None, f"has no route {intent.route!r}", person=True)
        elif not set(route.dual.in_doubt) - {Way.HOLD}:
            return  # The route leaves it to a person, who sees why it is in doubt.
        else:
            try:
                ruling = await self._ruling(write, route)
            except BridgeError as exc:
                ruling = Ruling(None, f"cannot be looked into: {type(exc).__name__}")
        if ruling.state is None:
            await self._hold(write, ruling)
        else:
            await self._settle(write, ruling)

    async def _ruling(self, write: JournalledWrite, route: Route) -> Ruling:
        declared = route.dual.in_doubt
        quiet = is_quiet(write, route, self._now())
        findings = []
        for way in declared:
            found = await self._ways.look(way, write, route, quiet=quiet)
            if found is not None:
                findings.append(found)
        ruling = rule(findings)
        if not ruling.replay or Way.REPLAY not in declared:
            return ruling
        if not self._ways.may_replay(write, route, quiet=quiet):
            return Ruling(None, f"{ruling.reason}; it may still be carried out")
        return rule([*findings, await self._ways.replay(write, route)])

    async def _settle(self, write: JournalledWrite, ruling: Ruling) -> None:
        found, state = ruling.finding, ruling.state
        assert found is not None, "a ruling with a state rests on a finding"
        assert state is not None, "the caller looked"
        try:
            await self._journal.settle(
                write.intent.intent_id,
                state,
                response=found.response,
                lane=found.lane if state is WriteState.APPLIED else None,
                ids=found.ids if state is WriteState.APPLIED else (),
                reason=ruling.reason,
                release_key=state is WriteState.FAILED,
            )
        except WriteStateForbidden:
            return  # A person, or the process that made the call, was faster.
        self._observer.note(
            "doubt_resolved",
            group=write.intent.group,
            intent=write.intent.intent_id,
            state=state.value,
            way=found.way.value,
        )

    async def _hold(self, write: JournalledWrite, ruling: Ruling) -> None:
        intent_id = write.intent.intent_id
        tries = self._tries.get(intent_id, (0, 0.0))[0]
        limits = self._limits
        most_ms = min(limits.backoff_ms_max, limits.backoff_ms_min << min(tries, 20))
        # At least half of it, so that a hundred held writes are not asked about all the time.
        pause_s = most_ms * (0.5 + self._chance() / 2) / 1000
        now = asyncio.get_running_loop().time()
        self._tries[intent_id] = tries + 1, now + pause_s
        if not ruling.person or self._said.get(intent_id) == ruling.reason:
            return
        self._said[intent_id] = ruling.reason
        lost = (write.reason or "").partition(_NEEDS_PERSON)[0]
        reason = f"{lost}{_NEEDS_PERSON}{ruling.reason}"
        if write.reason == reason:
            return  # Said before we were started.
        try:
            await self._journal.settle(intent_id, WriteState.IN_DOUBT, reason=reason)
        except WriteStateForbidden:
            return
        self._observer.note("doubt_needs_person", group=write.intent.group, intent=intent_id)
