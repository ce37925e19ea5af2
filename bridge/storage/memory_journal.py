"""The write journal in memory: the twin that says in plain structures what SQLite must do.

For tests and rehearsals: nothing survives the process. Journal and desk are one object here.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from bridge.gateway.dual_write_states import FINAL, HOLDS_LANE, may_follow
from bridge.gateway.ports import (
    IdPair,
    IdTaken,
    KeyInUse,
    LaneCount,
    LaneNews,
    LaneState,
    LaneUnreplayed,
    MadeId,
    WriteStateForbidden,
)
from bridge.gateway.translate import lane_of
from bridge.model.entry import EntryDraft
from bridge.model.errors import LaneBusy, StaleEpoch
from bridge.model.http import HttpResponse
from bridge.model.stage import GroupState, Side, Stage, Switch
from bridge.model.write import JournalledWrite, WriteIntent, WriteState
from bridge.storage.journal_entries import hold_entry, import_entry, switch_entry, write_entry
from bridge.storage.journal_rows import Clock, utc_now
from bridge.switching.history import CHAIN_START, SwitchRecord, link

_S = WriteState
_NEED_DECISION = (_S.IN_DOUBT, _S.PARKED)
_TOLD = (_S.DONE, _S.PARKED, _S.SKIPPED, _S.IN_DOUBT)
_GATEWAY = "gateway"


class MemoryJournal:
    """Every port of the journal over dictionaries; used from one thread."""

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._groups: dict[str, GroupState] = {}
        self._history: list[SwitchRecord] = []
        self._writes: dict[str, JournalledWrite] = {}
        self._revisions: dict[str, int] = {}
        self._pairs: list[tuple[str, IdPair, str | None, str]] = []
        """(group, pair, intent id that made its first half, place in the answer)."""
        self._pending: list[tuple[int, EntryDraft]] = []
        self._pending_number = 0
        self._sequence = 0
        self._nudge = 0

    def close(self) -> None:
        """Nothing is held."""

    # WriteJournal

    async def open(self, intent: WriteIntent) -> None:
        """See `WriteJournal.open`."""
        state = self._groups.get(intent.group)
        if state is None or state.epoch != intent.epoch:
            raise StaleEpoch(f"cannot open write {intent.intent_id}: its epoch is not the group's")
        lane = self.lane_state(intent.group, intent.lane)
        if lane.unreplayed_to is intent.authority:
            raise LaneUnreplayed(f"cannot open write {intent.intent_id}: replays are on their way")
        if intent.client_key is not None:
            earlier = self.keyed(intent.group, intent.route, intent.client_key)
            if earlier is not None:
                raise KeyInUse(f"cannot open write {intent.intent_id}: its key is used", earlier)
        if lane.in_flight is not None:
            raise LaneBusy(f"cannot open write {intent.intent_id}: {lane.in_flight} holds its lane")
        self._writes[intent.intent_id] = JournalledWrite(
            intent=intent,
            state=_S.INTENT,
            sequence=None,
            response=None,
            attempts=0,
            reason=None,
            settled_at=None,
        )

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
        return self._settle(intent_id, state, response, lane, ids, reason, release_key, _GATEWAY)

    def _settle(
        self,
        intent_id: str,
        state: WriteState,
        response: HttpResponse | None,
        lane: str | None,
        ids: Sequence[MadeId],
        reason: str | None,
        release_key: bool,
        actor: str,
    ) -> int | None:
        write = self._may(intent_id, state)
        intent = dataclasses.replace(
            write.intent,
            lane=lane or write.intent.lane,
            client_key=None if release_key else write.intent.client_key,
        )
        sequence = None
        if state is _S.APPLIED:
            self._sequence += 1
            sequence = self._sequence
            for made in ids:
                self._first_half(intent, made)
        self._put(
            write,
            actor,
            intent=intent,
            state=state,
            sequence=sequence,
            response=response,
            reason=reason,
            settled_at=self._clock(),
        )
        return sequence

    def lane_state(self, group: str, lane: str) -> LaneState:
        """See `WriteJournal.lane_state`."""
        holder = next(
            (write for write in self._lane(group, lane) if write.state in HOLDS_LANE), None
        )
        first = next(iter(self._queue(group, lane)), None)
        return LaneState(
            in_flight=None if holder is None else holder.intent.intent_id,
            in_doubt=holder is not None and holder.state is _S.IN_DOUBT,
            unreplayed_to=None if first is None else first.intent.authority.other,
            parked=first is not None and first.state is _S.PARKED,
        )

    def keyed(self, group: str, route: str, client_key: str) -> JournalledWrite | None:
        """See `WriteJournal.keyed`."""
        wanted = (group, route, client_key)
        for write in self._writes.values():
            if (write.intent.group, write.intent.route, write.intent.client_key) == wanted:
                return write
        return None

    # ReplayQueue

    def news(self, after: int, count_max: int) -> LaneNews:
        """See `ReplayQueue.news`."""
        waiting = sorted(
            (write.sequence or 0, write.intent.group, write.intent.lane, write.intent.authority)
            for write in self._writes.values()
            if write.state in (_S.APPLIED, _S.PARKED) and (write.sequence or 0) > after
        )[:count_max]
        return LaneNews(
            [(group, lane, authority.other) for _, group, lane, authority in waiting],
            waiting[-1][0] if waiting else after,
            self._nudge,
        )

    def head(self, group: str, lane: str) -> JournalledWrite | None:
        """See `ReplayQueue.head`."""
        first = next(iter(self._queue(group, lane)), None)
        state = self._groups.get(group)
        if first is None or first.state is _S.PARKED or (state is not None and state.lanes_held):
            return None
        return first

    async def retry_later(self, intent_id: str, reason: str) -> None:
        """See `ReplayQueue.retry_later`."""
        self._move(intent_id, _S.APPLIED, (), reason, _GATEWAY, attempted=True)

    async def finish(
        self,
        intent_id: str,
        state: WriteState,
        *,
        ids: Sequence[MadeId] = (),
        reason: str | None = None,
    ) -> None:
        """See `ReplayQueue.finish`."""
        self._move(intent_id, state, ids, reason, _GATEWAY, attempted=True)

    def _move(
        self,
        intent_id: str,
        state: WriteState,
        ids: Sequence[MadeId],
        reason: str | None,
        actor: str,
        *,
        attempted: bool,
    ) -> None:
        write = self._may(intent_id, state)
        self._second_halves(write.intent, ids)
        attempts = write.attempts + int(attempted)
        self._put(write, actor, state=state, reason=reason, attempts=attempts)

    def open_owners(self) -> Sequence[str]:
        """See `ReplayQueue.open_owners`."""
        return sorted(
            {write.intent.owner for write in self._writes.values() if write.state is _S.INTENT}
        )

    async def orphan(self, owner: str) -> Sequence[str]:
        """See `ReplayQueue.orphan`."""
        orphans = [
            intent_id
            for intent_id, write in self._writes.items()
            if write.state is _S.INTENT and write.intent.owner == owner
        ]
        for intent_id in orphans:
            await self.settle(intent_id, _S.IN_DOUBT, reason="the gateway process died")
        return orphans

    async def prune(self, keep_s: float, count_max: int) -> int:
        """See `ReplayQueue.prune`."""
        now = self._clock()
        old = [
            intent_id
            for intent_id, write in self._writes.items()
            if write.state in FINAL
            and write.settled_at is not None
            and (now - write.settled_at).total_seconds() > keep_s
        ][:count_max]
        for intent_id in old:
            del self._writes[intent_id]
        return len(old)

    # IdMap

    def pair(self, group: str, entity: str, known_id: str) -> IdPair | None:
        """See `IdMap.pair`."""
        return self.pair_on(group, entity, Side.LEGACY, known_id) or self.pair_on(
            group, entity, Side.MODERN, known_id
        )

    def pair_on(self, group: str, entity: str, side: Side, known_id: str) -> IdPair | None:
        """See `IdMap.pair_on`."""
        for owner, pair, _, _ in self._pairs:
            if owner == group and pair.entity == entity and pair.on(side) == known_id:
                return pair
        return None

    # SwitchStore

    def ensure_groups(self, names: Iterable[str]) -> None:
        """See `SwitchStore.ensure_groups`."""
        for name in names:
            new = GroupState(group=name, stage=Stage.LEGACY, epoch=0, lanes_held=False)
            self._groups.setdefault(name, new)

    def group(self, name: str) -> GroupState | None:
        """See `SwitchStore.group`."""
        return self._groups.get(name)

    def groups(self) -> Sequence[GroupState]:
        """See `SwitchStore.groups`."""
        return [self._groups[name] for name in sorted(self._groups)]

    def switch(
        self, group: str, to: Stage, *, expected_epoch: int, actor: str, reason: str
    ) -> Switch:
        """See `SwitchStore.switch`."""
        state = self._groups.get(group)
        if state is None or state.epoch != expected_epoch:
            raise StaleEpoch(f"cannot change group {group!r}: expected epoch {expected_epoch}")
        switch = Switch(
            group=group,
            epoch=expected_epoch + 1,
            from_stage=state.stage,
            to_stage=to,
            actor=actor,
            reason=reason,
            switched_at=self._clock(),
        )
        self._groups[group] = dataclasses.replace(state, stage=to, epoch=switch.epoch)
        record = link(self._history[-1].hash if self._history else CHAIN_START, switch)
        self._history.append(record)
        self._wait_for_log(switch_entry(switch, record.hash))
        return switch

    def hold_lanes(self, group: str, *, held: bool, actor: str, reason: str) -> GroupState:
        """See `SwitchStore.hold_lanes`."""
        state = dataclasses.replace(self._groups[group], lanes_held=held)
        self._groups[group] = state
        self._nudge += 1
        self._wait_for_log(
            hold_entry(
                group,
                state.epoch,
                self._nudge,
                held=held,
                actor=actor,
                reason=reason,
                at=self._clock(),
            )
        )
        return state

    def history(self) -> Sequence[SwitchRecord]:
        """See `SwitchStore.history`."""
        return list(self._history)

    # WriteDesk

    def list_writes(
        self, *, group: str | None = None, state: WriteState | None = None, count_max: int = 100
    ) -> Sequence[JournalledWrite]:
        """See `WriteDesk.list_writes`."""
        wanted = _NEED_DECISION if state is None else (state,)
        found = [
            write
            for write in self._writes.values()
            if write.state in wanted and group in (None, write.intent.group)
        ]
        return found[::-1][:count_max]

    def show(self, intent_id: str) -> JournalledWrite | None:
        """See `WriteDesk.show`."""
        return self._writes.get(intent_id)

    def resolve(
        self,
        intent_id: str,
        outcome: WriteState,
        *,
        actor: str,
        reason: str,
        ids: Mapping[str, str] | None = None,
    ) -> None:
        """See `WriteDesk.resolve`."""
        made = [MadeId(entity, id_, "") for entity, id_ in (ids or {}).items()]
        write = self._may(intent_id, outcome)
        rename = bool(made) and write.intent.lane.startswith("new:")
        lane = lane_of(made[0].entity, made[0].id) if rename else None
        released = outcome is _S.FAILED
        self._settle(intent_id, outcome, None, lane, made, reason, released, actor)

    def replay(self, intent_id: str, *, actor: str, reason: str) -> None:
        """See `WriteDesk.replay`."""
        self._move(intent_id, _S.APPLIED, (), reason, actor, attempted=False)
        self._nudge += 1

    def skip(self, intent_id: str, *, actor: str, reason: str) -> None:
        """See `WriteDesk.skip`."""
        self._move(intent_id, _S.SKIPPED, (), reason, actor, attempted=False)
        self._nudge += 1

    def import_ids(self, group: str, entity: str, pairs: Sequence[tuple[str, str]]) -> int:
        """See `WriteDesk.import_ids`."""
        fresh: list[tuple[str, IdPair, str | None, str]] = []
        for legacy_id, modern_id in pairs:
            new = IdPair(entity, legacy_id, modern_id, lane_of(entity, legacy_id))
            known = {
                self.pair_on(group, entity, Side.LEGACY, legacy_id),
                self.pair_on(group, entity, Side.MODERN, modern_id),
            }
            known |= {
                pair
                for _, pair, _, _ in fresh
                if pair.legacy_id == legacy_id or pair.modern_id == modern_id
            }
            if known == {None}:
                fresh.append((group, new, None, ""))
            elif len(known) > 1:
                raise IdTaken(f"cannot import {entity!r} ids: a pair contradicts one that is known")
        self._pairs += fresh
        if fresh:
            self._nudge += 1
            at = self._clock()
            self._wait_for_log(import_entry(group, entity, self._nudge, count=len(fresh), at=at))
        return len(fresh)

    def lane_counts(self) -> Sequence[LaneCount]:
        """See `WriteDesk.lane_counts`."""
        backlog: dict[tuple[str, Side], list[JournalledWrite]] = {}
        for write in self._writes.values():
            if write.state in (_S.APPLIED, _S.PARKED):
                key = (write.intent.group, write.intent.authority.other)
                backlog.setdefault(key, []).append(write)
        now = self._clock()
        return [
            LaneCount(
                group,
                towards,
                len({write.intent.lane for write in writes}),
                len(writes),
                sum(write.state is _S.PARKED for write in writes),
                max((now - write.intent.opened_at).total_seconds() for write in writes),
            )
            for (group, towards), writes in sorted(
                backlog.items(), key=lambda item: (item[0][0], item[0][1].value)
            )
        ]

    # PendingEntries

    def pending(self, count_max: int) -> list[tuple[int, EntryDraft]]:
        """See `PendingEntries.pending`."""
        return self._pending[:count_max]

    def discard(self, through: int) -> None:
        """See `PendingEntries.discard`."""
        self._pending = [row for row in self._pending if row[0] > through]

    def _lane(self, group: str, lane: str) -> list[JournalledWrite]:
        return [
            write
            for write in self._writes.values()
            if (write.intent.group, write.intent.lane) == (group, lane)
        ]

    def _queue(self, group: str, lane: str) -> list[JournalledWrite]:
        waiting = [
            write for write in self._lane(group, lane) if write.state in (_S.APPLIED, _S.PARKED)
        ]
        return sorted(waiting, key=lambda write: write.sequence or 0)

    def _may(self, intent_id: str, following: WriteState) -> JournalledWrite:
        write = self._writes.get(intent_id)
        if write is None or not may_follow(write.state, following):
            now = "not in the journal" if write is None else write.state.value
            raise WriteStateForbidden(
                f"cannot make write {intent_id} {following.value}: it is {now}"
            )
        return write

    def _put(self, before: JournalledWrite, actor: str, **changes: object) -> None:
        after = dataclasses.replace(before, **changes)  # type: ignore[arg-type]  # by field name
        intent = after.intent
        self._writes[intent.intent_id] = after
        revision = self._revisions.get(intent.intent_id, 0) + 1
        self._revisions[intent.intent_id] = revision
        if after.state not in _TOLD and actor == _GATEWAY:
            return
        self._wait_for_log(
            write_entry(
                intent_id=intent.intent_id,
                revision=revision,
                group=intent.group,
                route=intent.route,
                epoch=intent.epoch,
                authority=intent.authority.value,
                before=before.state,
                after=after.state,
                status=None,
                attempts=before.attempts,
                actor=actor,
                reason=after.reason,
                at=self._clock(),
            )
        )

    def _first_half(self, intent: WriteIntent, made: MadeId) -> None:
        side = intent.authority
        if self.pair_on(intent.group, made.entity, side, made.id) is None:
            legacy = made.id if side is Side.LEGACY else None
            modern = made.id if side is Side.MODERN else None
            pair = IdPair(made.entity, legacy, modern, lane_of(made.entity, made.id))
            self._pairs.append((intent.group, pair, intent.intent_id, made.place))

    def _second_halves(self, intent: WriteIntent, ids: Sequence[MadeId]) -> None:
        side = intent.authority.other
        completed = {}
        for made in ids:
            fitting = [
                index
                for index, (_, pair, intent_id, _) in enumerate(self._pairs)
                if intent_id == intent.intent_id
                and pair.entity == made.entity
                and pair.on(side) is None
            ]
            exact = [index for index in fitting if self._pairs[index][3] == made.place] or fitting
            if len(exact) != 1:
                continue
            if self.pair_on(intent.group, made.entity, side, made.id) is not None:
                raise IdTaken(f"cannot pair {made.entity!r}: its id belongs to another one")
            completed[exact[0]] = made.id
        for index, other_id in completed.items():
            group, pair, intent_id, place = self._pairs[index]
            if side is Side.LEGACY:
                pair = pair._replace(legacy_id=other_id)
            else:
                pair = pair._replace(modern_id=other_id)
            self._pairs[index] = (group, pair, intent_id, place)

    def _wait_for_log(self, draft: EntryDraft) -> None:
        self._pending_number += 1
        self._pending.append((self._pending_number, draft))
