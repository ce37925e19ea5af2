"""The write journal in memory, as switching, operators and the sequencer use it."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from bridge.gateway.dual.ports import IdPair, IdTaken, LaneCount
from bridge.gateway.dual.states import check_resolution
from bridge.gateway.translation.ids import lane_of
from bridge.model.entry import EntryDraft
from bridge.model.errors import StaleEpoch
from bridge.model.stage import GroupState, Side, Stage, Switch
from bridge.model.warrant import Warrant
from bridge.model.write import JournalledWrite, MadeId, WriteKind, WriteState
from bridge.storage.journal.entries import hold_entry, import_entry, switch_entry
from bridge.storage.journal.memory_state import JournalState
from bridge.switching.history import CHAIN_START, SwitchRecord, link

_S = WriteState
_NEED_DECISION = (_S.IN_DOUBT, _S.PARKED)


class MemoryJournalDesk:
    """`SwitchStore`, `WriteDesk` and `PendingEntries` over the state of a `MemoryJournal`."""

    def __init__(self, state: JournalState) -> None:
        self.state = state

    def close(self) -> None:
        """Nothing is held."""

    def ensure_groups(self, names: Iterable[str]) -> None:
        """See `SwitchStore.ensure_groups`."""
        for name in names:
            new = GroupState(group=name, stage=Stage.LEGACY, epoch=0, lanes_held=False)
            self.state.groups.setdefault(name, new)

    def group(self, name: str) -> GroupState | None:
        """See `SwitchStore.group`."""
        return self.state.groups.get(name)

    def groups(self) -> Sequence[GroupState]:
        """See `SwitchStore.groups`."""
        return [self.state.groups[name] for name in sorted(self.state.groups)]

    def switch(
        self,
        group: str,
        to: Stage,
        *,
        expected_epoch: int,
        warrant: Warrant,
        share_percent: float = 0.0,
    ) -> Switch:
        """See `SwitchStore.switch`."""
        state = self.state.groups.get(group)
        if state is None or state.epoch != expected_epoch:
            raise StaleEpoch(f"cannot change group {group!r}: expected epoch {expected_epoch}")
        switch = Switch(
            group=group,
            epoch=expected_epoch + 1,
            from_stage=state.stage,
            to_stage=to,
            warrant=warrant,
            switched_at=self.state.clock(),
            from_share_percent=state.share_percent,
            to_share_percent=share_percent,
        )
        self.state.groups[group] = dataclasses.replace(
            state, stage=to, epoch=switch.epoch, share_percent=share_percent
        )
        record = link(self.state.history[-1].hash if self.state.history else CHAIN_START, switch)
        self.state.history.append(record)
        self.state.wait_for_log(switch_entry(switch, record.hash))
        return switch

    def hold_lanes(self, group: str, *, held: bool, warrant: Warrant) -> GroupState:
        """See `SwitchStore.hold_lanes`."""
        state = dataclasses.replace(self.state.groups[group], lanes_held=held)
        self.state.groups[group] = state
        self.state.nudge += 1
        self.state.wait_for_log(
            hold_entry(
                group,
                state.epoch,
                self.state.nudge,
                held=held,
                warrant=warrant,
                at=self.state.clock(),
            )
        )
        return state

    def force(self, group: str, until: float, draft: EntryDraft) -> GroupState:
        """See `SwitchStore.force`."""
        state = self.state.groups[group]
        state = dataclasses.replace(state, forced_until=max(state.forced_until, until))
        self.state.groups[group] = state
        self.state.wait_for_log(draft)
        return state

    def history(self) -> Sequence[SwitchRecord]:
        """See `SwitchStore.history`."""
        return list(self.state.history)

    def list_writes(
        self,
        *,
        group: str | None = None,
        state: WriteState | None = None,
        lane: str | None = None,
        kind: WriteKind | None = None,
        count_max: int = 100,
    ) -> Sequence[JournalledWrite]:
        """See `WriteDesk.list_writes`."""
        wanted: Sequence[WriteState] = tuple(_S) if lane or kind else _NEED_DECISION
        if state is not None:
            wanted = (state,)
        found = [
            write
            for write in self.state.writes.values()
            if write.state in wanted
            and group in (None, write.intent.group)
            and lane in (None, write.intent.lane)
            and kind in (None, write.intent.kind)
        ]
        return found[::-1][:count_max]

    def show(self, intent_id: str) -> JournalledWrite | None:
        """See `WriteDesk.show`."""
        return self.state.writes.get(intent_id)

    def resolve(
        self,
        intent_id: str,
        outcome: WriteState,
        *,
        warrant: Warrant,
        ids: Mapping[str, str] | None = None,
    ) -> None:
        """See `WriteDesk.resolve`."""
        made = [MadeId(entity, id_, "") for entity, id_ in (ids or {}).items()]
        known = self.state.writes.get(intent_id)
        if known is not None:
            check_resolution(intent_id, known.state, outcome)
        write = self.state.may(intent_id, outcome)
        rename = bool(made) and write.intent.lane.startswith("new:")
        lane = lane_of(made[0].entity, made[0].id) if rename else None
        released = outcome is _S.FAILED
        self.state.settle(intent_id, outcome, None, lane, made, warrant.reason, released, warrant)

    def replay(self, intent_id: str, warrant: Warrant) -> None:
        """See `WriteDesk.replay`."""
        self.state.move(intent_id, _S.APPLIED, (), warrant.reason, warrant, attempted=False)
        self.state.nudge += 1

    def skip(self, intent_id: str, warrant: Warrant) -> None:
        """See `WriteDesk.skip`."""
        self.state.move(intent_id, _S.SKIPPED, (), warrant.reason, warrant, attempted=False)
        self.state.nudge += 1

    def import_ids(
        self, group: str, entity: str, pairs: Sequence[tuple[str, str]], warrant: Warrant
    ) -> int:
        """See `WriteDesk.import_ids`."""
        before = list(self.state.pairs)
        try:
            count = sum(self._import(group, entity, *pair) for pair in pairs)
        except IdTaken:
            self.state.pairs = before
            raise
        self.state.nudge += 1
        at = self.state.clock()
        draft = import_entry(group, entity, self.state.nudge, count=count, warrant=warrant, at=at)
        self.state.wait_for_log(draft)
        return count

    def _import(self, group: str, entity: str, legacy_id: str, modern_id: str) -> bool:
        wanted = IdPair(entity, legacy_id, modern_id, lane_of(entity, legacy_id))
        touching = [
            index
            for index, (owner, pair, _, _) in enumerate(self.state.pairs)
            if (owner, pair.entity) == (group, entity)
            and (pair.legacy_id == legacy_id or pair.modern_id == modern_id)
        ]
        if not touching:
            self.state.pairs.append((group, wanted, None, ""))
            return True
        _, known, intent_id, place = self.state.pairs[touching[0]]
        if known[:3] == wanted[:3]:
            return False
        completed = known._replace(
            legacy_id=known.legacy_id or legacy_id, modern_id=known.modern_id or modern_id
        )
        if len(touching) > 1 or completed[:3] != wanted[:3]:
            raise IdTaken(f"cannot import {entity!r} ids: a pair contradicts one that is known")
        self.state.pairs[touching[0]] = (group, completed, intent_id, place)
        return True

    def lane_counts(self) -> Sequence[LaneCount]:
        """See `WriteDesk.lane_counts`."""
        backlog: dict[tuple[str, Side], list[JournalledWrite]] = {}
        for write in self.state.writes.values():
            if write.state in (_S.APPLIED, _S.PARKED):
                key = (write.intent.group, write.intent.authority.other)
                backlog.setdefault(key, []).append(write)
        now = self.state.clock()
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

    def tell(self, draft: EntryDraft) -> None:
        """See `WriteDesk.tell`."""
        self.state.wait_for_log(draft)

    def pending(self, count_max: int) -> list[tuple[int, EntryDraft]]:
        """See `PendingEntries.pending`."""
        return self.state.pending[:count_max]

    def discard(self, through: int) -> None:
        """See `PendingEntries.discard`."""
        self.state.pending = [row for row in self.state.pending if row[0] > through]
