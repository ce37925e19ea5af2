"""What the journal in memory holds, and the steps that journal and desk share."""

import dataclasses
from collections.abc import Sequence

from bridge.gateway.dual.ports import TAKEN_ADVICE, IdPair, IdTaken, WriteStateForbidden
from bridge.gateway.dual.states import FINAL, may_follow
from bridge.gateway.translation.ids import lane_of
from bridge.model.entry import EntryDraft
from bridge.model.http import HttpResponse
from bridge.model.stage import GroupState, Side
from bridge.model.warrant import Warrant
from bridge.model.write import JournalledWrite, MadeId, WriteIntent, WriteKind, WriteState
from bridge.storage.journal.entries import is_told, write_entry
from bridge.storage.journal.rows import Clock
from bridge.switching.history import SwitchRecord

_S = WriteState


class JournalState:
    """Groups, writes, pairs and pending entries; used from one thread."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.groups: dict[str, GroupState] = {}
        self.history: list[SwitchRecord] = []
        self.writes: dict[str, JournalledWrite] = {}
        self._revisions: dict[str, int] = {}
        self.pairs: list[tuple[str, IdPair, str | None, str]] = []
        """(group, pair, intent id that made its first half, place in the answer)."""
        self.pending: list[tuple[int, EntryDraft]] = []
        self._pending_number = 0
        self._sequence = 0
        self.nudge = 0

    def settle(
        self,
        intent_id: str,
        state: WriteState,
        response: HttpResponse | None,
        lane: str | None,
        ids: Sequence[MadeId],
        reason: str | None,
        release_key: bool,
        warrant: Warrant | None,
    ) -> int | None:
        known = self.writes.get(intent_id)
        if known is not None and (
            (known.state is state and state is not _S.IN_DOUBT)
            or (state is _S.APPLIED and known.sequence is not None)
        ):
            return known.sequence
        write = self.may(intent_id, state)
        intent = dataclasses.replace(
            write.intent,
            lane=lane or write.intent.lane,
            client_key=None if release_key else write.intent.client_key,
        )
        sequence = None
        if state is _S.APPLIED and intent.kind is WriteKind.COMPENSATION:
            state = _S.DONE
            self._compensate(intent)
        if state is _S.APPLIED:
            self._sequence += 1
            sequence = self._sequence
            for made in ids:
                self._first_half(intent, made)
        self._put(
            write,
            warrant,
            intent=intent,
            state=state,
            sequence=sequence,
            response=response,
            reason=reason,
            settled_at=self.clock(),
        )
        return sequence

    def insert(self, intent: WriteIntent) -> None:
        self.writes[intent.intent_id] = JournalledWrite(
            intent=intent,
            state=_S.INTENT,
            sequence=None,
            response=None,
            attempts=0,
            reason=None,
            settled_at=None,
        )

    def _compensate(self, intent: WriteIntent) -> None:
        undone = self.writes.get(intent.compensates or "")
        if undone is not None and may_follow(undone.state, _S.COMPENSATED):
            self._put(
                undone, None, state=_S.COMPENSATED, reason=f"undone by write {intent.intent_id}"
            )
            self.nudge += 1

    def move(
        self,
        intent_id: str,
        state: WriteState,
        ids: Sequence[MadeId],
        reason: str | None,
        warrant: Warrant | None,
        *,
        attempted: bool,
    ) -> None:
        known = self.writes.get(intent_id)
        if known is not None and known.state is state and state in FINAL:
            return
        write = self.may(intent_id, state)
        self._second_halves(write.intent, ids)
        attempts = write.attempts + int(attempted)
        self._put(write, warrant, state=state, reason=reason, attempts=attempts)

    def lane(self, group: str, lane: str) -> list[JournalledWrite]:
        return [
            write
            for write in self.writes.values()
            if (write.intent.group, write.intent.lane) == (group, lane)
        ]

    def queue(self, group: str, lane: str) -> list[JournalledWrite]:
        waiting = [
            write for write in self.lane(group, lane) if write.state in (_S.APPLIED, _S.PARKED)
        ]
        return sorted(waiting, key=lambda write: write.sequence or 0)

    def may(self, intent_id: str, following: WriteState) -> JournalledWrite:
        write = self.writes.get(intent_id)
        if write is None or not may_follow(write.state, following):
            now = "not in the journal" if write is None else write.state.value
            raise WriteStateForbidden(
                f"cannot make write {intent_id} {following.value}: it is {now}"
            )
        return write

    def _put(self, before: JournalledWrite, warrant: Warrant | None, **changes: object) -> None:
        after = dataclasses.replace(before, **changes)  # type: ignore[arg-type]  # by field name
        intent = after.intent
        self.writes[intent.intent_id] = after
        revision = self._revisions.get(intent.intent_id, 0) + 1
        self._revisions[intent.intent_id] = revision
        if not is_told(before.state, after.state, warrant):
            return
        self.wait_for_log(
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
                warrant=warrant,
                reason=after.reason,
                at=self.clock(),
                kind=intent.kind,
                compensates=intent.compensates,
            )
        )

    def _first_half(self, intent: WriteIntent, made: MadeId) -> None:
        side = intent.authority
        if self.pair_on(intent.group, made.entity, side, made.id) is None:
            legacy = made.id if side is Side.LEGACY else None
            modern = made.id if side is Side.MODERN else None
            pair = IdPair(made.entity, legacy, modern, lane_of(made.entity, made.id))
            self.pairs.append((intent.group, pair, intent.intent_id, made.place))

    def _second_halves(self, intent: WriteIntent, ids: Sequence[MadeId]) -> None:
        side = intent.authority.other
        completed = {}
        for made in ids:
            fitting = [
                index
                for index, (_, pair, intent_id, _) in enumerate(self.pairs)
                if intent_id == intent.intent_id
                and pair.entity == made.entity
                and pair.on(side) is None
            ]
            exact = [index for index in fitting if self.pairs[index][3] == made.place] or fitting
            if len(exact) != 1:
                continue
            if self.pair_on(intent.group, made.entity, side, made.id) is not None:
                raise IdTaken(
                    f"cannot pair {made.entity!r} of group {intent.group!r}: {side.value} answered "
                    f"with an id that belongs to another {made.entity!r}; {TAKEN_ADVICE}"
                )
            completed[exact[0]] = made.id
        for index, other_id in completed.items():
            group, pair, intent_id, place = self.pairs[index]
            if side is Side.LEGACY:
                pair = pair._replace(legacy_id=other_id)
            else:
                pair = pair._replace(modern_id=other_id)
            self.pairs[index] = (group, pair, intent_id, place)

    def wait_for_log(self, draft: EntryDraft) -> None:
        self._pending_number += 1
        self.pending.append((self._pending_number, draft))

    def pair_on(self, group: str, entity: str, side: Side, known_id: str) -> IdPair | None:
        """See `IdMap.pair_on`."""
        for owner, pair, _, _ in self.pairs:
            if owner == group and pair.entity == entity and pair.on(side) == known_id:
                return pair
        return None
