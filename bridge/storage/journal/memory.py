"""The write journal in memory: the twin that says in plain structures what SQLite must do.

For tests and rehearsals: nothing survives the process.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from itertools import islice

from bridge.gateway.dual.ports import (
    Behind,
    Done,
    IdPair,
    KeyInUse,
    LaneNews,
    LaneState,
    LaneUnreplayed,
)
from bridge.gateway.dual.states import FINAL, HOLDS_LANE
from bridge.model.errors import BridgeError, LaneBusy, StaleEpoch
from bridge.model.http import HttpResponse
from bridge.model.stage import GroupState, Side
from bridge.model.write import JournalledWrite, MadeId, WriteIntent, WriteKind, WriteState
from bridge.storage.journal.ingress_memory import MemoryIngressBook
from bridge.storage.journal.memory_state import JournalState
from bridge.storage.journal.rows import Clock, utc_now

_S = WriteState


class MemoryJournal:
    """`WriteJournal`, `ReplayQueue`, `IdMap` and `GroupReader` over dictionaries."""

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self.state = JournalState(clock)

    def close(self) -> None:
        """Nothing is held."""

    def ingress(self) -> MemoryIngressBook:
        """Return the queue of requests that are sent later."""
        return MemoryIngressBook(self.state)

    async def open(self, intent: WriteIntent) -> None:
        """See `WriteJournal.open`."""
        self._open(intent)

    def _open(self, intent: WriteIntent) -> None:
        self._check_fences(intent)
        if intent.client_key is not None:
            earlier = self.keyed(intent.group, intent.route, intent.client_key)
            if earlier is not None:
                raise KeyInUse(f"cannot open write {intent.intent_id}: its key is used", earlier)
        self.state.insert(intent)

    def _check_fences(self, intent: WriteIntent) -> None:
        state = self.state.groups.get(intent.group)
        if state is None or state.epoch != intent.epoch:
            raise StaleEpoch(f"cannot open write {intent.intent_id}: its epoch is not the group's")
        lane = self.lane_state(intent.group, intent.lane)
        if lane.unreplayed_to is intent.authority:
            raise LaneUnreplayed(f"cannot open write {intent.intent_id}: replays are on their way")
        if lane.in_flight is not None:
            if intent.client_key is not None:
                earlier = self.keyed(intent.group, intent.route, intent.client_key)
                if earlier is not None:
                    raise KeyInUse(
                        f"cannot open write {intent.intent_id}: its key is used", earlier
                    )
            raise LaneBusy(f"cannot open write {intent.intent_id}: {lane.in_flight} holds its lane")

    async def record(
        self,
        intent: WriteIntent,
        state: WriteState,
        *,
        response: HttpResponse | None = None,
        lane: str | None = None,
        ids: Sequence[MadeId] = (),
        reason: str | None = None,
    ) -> int | None:
        """See `WriteJournal.record`."""
        known = self.state.writes.get(intent.intent_id)
        if known is not None:
            return known.sequence
        if intent.kind is WriteKind.REPAIR:
            self._check_fences(intent)
        if intent.client_key and self.keyed(intent.group, intent.route, intent.client_key):
            intent = dataclasses.replace(intent, client_key=None)
        self.state.insert(intent)
        return self.state.settle(intent.intent_id, state, response, lane, ids, reason, False, None)

    async def settle(
        self,
        intent_id: str,
        state: WriteState,
        *,
        response: HttpResponse | None = None,
        lane: str | None = None,
        ids: Sequence[MadeId] = (),
        reason: str | None = None,
        release_key: bool = False,
    ) -> int | None:
        """See `WriteJournal.settle`."""
        return self.state.settle(intent_id, state, response, lane, ids, reason, release_key, None)

    def open_soon(self, intent: WriteIntent, *, done: Done) -> None:
        """See `WriteJournal.open_soon`."""
        _tell_soon(lambda: self._open(intent), done)

    def settle_soon(
        self,
        intent_id: str,
        state: WriteState,
        *,
        response: HttpResponse,
        reason: str | None,
        release_key: bool,
        done: Done,
    ) -> None:
        """See `WriteJournal.settle_soon`."""
        _tell_soon(
            lambda: self.state.settle(
                intent_id, state, response, None, (), reason, release_key, None
            ),
            done,
        )

    def state_of(self, intent_id: str) -> WriteState | None:
        """See `WriteJournal.state_of`."""
        write = self.state.writes.get(intent_id)
        return None if write is None else write.state

    def lane_state(self, group: str, lane: str) -> LaneState:
        """See `WriteJournal.lane_state`."""
        holder = next(
            (write for write in self.state.lane(group, lane) if write.state in HOLDS_LANE), None
        )
        first = next(iter(self.state.queue(group, lane)), None)
        return LaneState(
            in_flight=None if holder is None else holder.intent.intent_id,
            in_doubt=holder is not None and holder.state is _S.IN_DOUBT,
            unreplayed_to=None if first is None else first.intent.authority.other,
            parked=first is not None and first.state is _S.PARKED,
        )

    def behind(self, group: str, side: Side) -> Behind:
        """See `WriteJournal.behind`."""
        writes = [w for w in self.state.writes.values() if w.intent.group == group]
        return Behind(
            any(
                w.state in (_S.APPLIED, _S.PARKED) and w.intent.authority is not side
                for w in writes
            ),
            any(w.state in HOLDS_LANE for w in writes),
        )

    def keyed(self, group: str, route: str, client_key: str) -> JournalledWrite | None:
        """See `WriteJournal.keyed`."""
        wanted = (group, route, client_key)
        for write in self.state.writes.values():
            if (write.intent.group, write.intent.route, write.intent.client_key) == wanted:
                return write
        return None

    def news(self, after: int, count_max: int) -> LaneNews:
        """See `ReplayQueue.news`."""
        waiting = sorted(
            (write.sequence or 0, write.intent.group, write.intent.lane, write.intent.authority)
            for write in self.state.writes.values()
            if write.state in (_S.APPLIED, _S.PARKED) and (write.sequence or 0) > after
        )[:count_max]
        return LaneNews(
            [(group, lane, authority.other) for _, group, lane, authority in waiting],
            waiting[-1][0] if waiting else after,
            self.state.nudge,
        )

    def head(self, group: str, lane: str) -> JournalledWrite | None:
        """See `ReplayQueue.head`."""
        first = next(iter(self.state.queue(group, lane)), None)
        state = self.state.groups.get(group)
        if first is None or first.state is _S.PARKED or (state is not None and state.lanes_held):
            return None
        return first

    async def retry_later(self, intent_id: str, reason: str) -> None:
        """See `ReplayQueue.retry_later`."""
        self.state.move(intent_id, _S.APPLIED, (), reason, None, attempted=True)

    async def finish(
        self,
        intent_id: str,
        state: WriteState,
        *,
        ids: Sequence[MadeId] = (),
        reason: str | None = None,
    ) -> None:
        """See `ReplayQueue.finish`."""
        self.state.move(intent_id, state, ids, reason, None, attempted=True)

    def doubtful(self, count_max: int, after: str | None = None) -> Sequence[JournalledWrite]:
        """See `ReplayQueue.doubtful`."""
        writes = iter(self.state.writes.values())
        if after in self.state.writes:
            next(write for write in writes if write.intent.intent_id == after)
        found = (write for write in writes if write.state is _S.IN_DOUBT)
        return list(islice(found, count_max))

    def open_owners(self) -> Sequence[str]:
        """See `ReplayQueue.open_owners`."""
        return sorted(
            {write.intent.owner for write in self.state.writes.values() if write.state is _S.INTENT}
        )

    async def orphan(self, owner: str) -> Sequence[str]:
        """See `ReplayQueue.orphan`."""
        orphans = [
            intent_id
            for intent_id, write in self.state.writes.items()
            if write.state is _S.INTENT and write.intent.owner == owner
        ]
        for intent_id in orphans:
            await self.settle(intent_id, _S.IN_DOUBT, reason="the gateway process died")
        return orphans

    async def prune(self, keep_s: float, count_max: int) -> int:
        """See `ReplayQueue.prune`."""
        now = self.state.clock()
        old = [
            intent_id
            for intent_id, write in self.state.writes.items()
            if write.state in FINAL
            and write.settled_at is not None
            and (now - write.settled_at).total_seconds() > keep_s
        ][:count_max]
        for intent_id in old:
            del self.state.writes[intent_id]
        return len(old)

    def pair(self, group: str, entity: str, known_id: str) -> IdPair | None:
        """See `IdMap.pair`."""
        return self.pair_on(group, entity, Side.LEGACY, known_id) or self.pair_on(
            group, entity, Side.MODERN, known_id
        )

    def pair_on(self, group: str, entity: str, side: Side, known_id: str) -> IdPair | None:
        """See `IdMap.pair_on`."""
        return self.state.pair_on(group, entity, side, known_id)

    def groups(self) -> Sequence[GroupState]:
        """Return every known group."""
        return [self.state.groups[name] for name in sorted(self.state.groups)]


def _tell_soon(work: Callable[[], object], done: Done) -> None:
    loop = asyncio.get_running_loop()
    try:
        result = work()
    except BridgeError as exc:
        loop.call_soon(done, exc, None)
    else:
        loop.call_soon(done, None, result)
