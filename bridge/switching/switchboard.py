"""Change the stage of a route group: one commit, then wait until every replica follows.

The commit is the switch: from then on no write decided under the old epoch can be opened in the
write journal. Waiting for the replicas only tells the caller when reads follow as well. Nothing
here needs either side to be alive.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Final, NamedTuple

from bridge.eventlog.records.action_record import action_draft
from bridge.eventlog.records.attempt import refusals_told
from bridge.model.entry import EntryKind
from bridge.model.errors import NotKnown, StaleEpoch, StepForbidden
from bridge.model.observer import Observer, SilentObserver
from bridge.model.stage import GroupState, Place, Side, Stage, Switch
from bridge.model.warrant import Warrant
from bridge.switching.ports import AdoptionBoard, SwitchStore
from bridge.switching.stages import BUILT, check_step, is_back

# A replica that has not followed by then is stuck; it is reported, and its writes are fenced.
ADOPTION_WAIT_S_DEFAULT: Final = 2.0

# Replicas check at each request, and every 10 ms when idle: looking more often shows nothing.
_LOOK_AGAIN_S: Final = 0.0005

# Somebody else's switch in between is read and decided anew; a third in a row is a quarrel.
_ROLLBACK_TRIES: Final = 3

_TWO_SIDED_STAGES: Final = frozenset({Stage.SHADOW, Stage.DUAL, Stage.CANARY, Stage.MODERN})
"""Stages at which both sides answer something."""


class Adoption(NamedTuple):
    """When one replica followed a switch."""

    slot: int
    owner: str
    took_ms: float | None
    """Milliseconds after the commit; None when it did not within the wait."""


class SwitchReport(NamedTuple):
    """What a switch did, and how long it took to be everywhere."""

    switch: Switch
    took_ms: float
    """From the call to the last replica's adoption (or the end of the wait)."""
    adopted: tuple[Adoption, ...]

    @property
    def epoch(self) -> int:
        """The epoch that the switch began."""
        return self.switch.epoch

    @property
    def complete(self) -> bool:
        """Whether every live replica follows."""
        return all(adoption.took_ms is not None for adoption in self.adopted)


class Switchboard:
    """The one path by which a group changes its stage, for CLI, API and guardrails alike."""

    def __init__(
        self,
        *,
        store: SwitchStore,
        board: AdoptionBoard,
        two_sided: Collection[str] | None = None,
        undealt: Callable[[], Mapping[str, str]] = dict,
        adoption_wait_s: float = ADOPTION_WAIT_S_DEFAULT,
        observer: Observer | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`two_sided` names the groups that have a modern side; None leaves that unchecked.

        `undealt` says why groups have no cohorts: by group, in words.
        """
        self._store = store
        self._board = board
        self._two_sided = two_sided
        self._undealt = undealt
        self._adoption_wait_s = adoption_wait_s
        self._observer = observer or SilentObserver()
        self._pause = pause

    def groups(self) -> Sequence[GroupState]:
        """Return where every group stands."""
        return self._store.groups()

    def switch(
        self,
        group: str,
        to: Stage,
        warrant: Warrant,
        *,
        expected_epoch: int | None = None,
        share_percent: float = 0.0,
    ) -> SwitchReport:
        """Move `group` to stage `to` and wait until the live replicas follow.

        `share_percent` is that of the keys whose reads come from modern, at `canary`. A switch that
        is refused or fails leaves an entry in the event log as one that is done.

        Raises:
            StepForbidden: not a legal step, or the group has one side only.
            StaleEpoch: the group is not at `expected_epoch`, or was switched meanwhile.
            NotKnown: the group is unknown.
        """
        place = Place(to, float(share_percent))
        with self._told("switch", group, warrant, place):
            return self._switch(group, place, warrant, expected_epoch)

    def _switch(
        self, group: str, to: Place, warrant: Warrant, expected_epoch: int | None
    ) -> SwitchReport:
        began = time.monotonic()
        state = self._state(group)
        if expected_epoch is not None and state.epoch != expected_epoch:
            raise StaleEpoch(
                f"cannot change group {group!r} to {to}: expected epoch {expected_epoch}, "
                f"found {state.epoch}; reload and decide again"
            )
        check_step(group, state.place, to)
        self._refuse_one_sided(f"cannot change group {group!r} to {to}", group)
        if to.stage is Stage.CANARY and (why := self._undealt().get(group)) is not None:
            raise StepForbidden(f"cannot change group {group!r} to {to}: {why}")
        switch = self._store.switch(
            group,
            to.stage,
            expected_epoch=state.epoch,
            warrant=warrant,
            share_percent=to.share_percent,
        )
        return self._announce(switch, began)

    def rollback(
        self,
        group: str,
        warrant: Warrant,
        *,
        to: Stage = Stage.LEGACY,
        share_percent: float = 0.0,
    ) -> SwitchReport:
        """Take `group` back to the earlier stage `to`, or a smaller share, whatever its epoch.

        A switch that comes in between is read and rolled back as well.
        """
        place = Place(to, float(share_percent))
        with self._told("rollback", group, warrant, place):
            return self._rollback(group, warrant, place)

    def _rollback(self, group: str, warrant: Warrant, to: Place) -> SwitchReport:
        for tries_left in reversed(range(_ROLLBACK_TRIES)):
            state = self._state(group)
            built = state.stage in BUILT and to.stage in BUILT
            if built and not is_back(state.place, to):
                raise StepForbidden(
                    f"cannot roll back group {group!r} to {to}: it is at {state.place}, which is "
                    "not later"
                )
            try:
                return self._switch(group, to, warrant, state.epoch)
            except StaleEpoch:
                if not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    def hold_lanes(self, group: str, warrant: Warrant) -> GroupState:
        """Stop replaying the group's writes to the other side; they are still journalled."""
        return self._hold(group, warrant, held=True)

    def resume_lanes(self, group: str, warrant: Warrant) -> GroupState:
        """Go on replaying, from where it was held."""
        return self._hold(group, warrant, held=False)

    def force(self, group: str, side: Side, until: datetime, warrant: Warrant) -> GroupState:
        """Let tokens that force reads of `group` to `side` be heeded until `until`.

        The replicas look for tokens from now on; whoever calls this makes the token.

        Raises:
            StepForbidden: the group has one side, or stands at a stage where one side is asked.
            NotKnown: the group is unknown.
        """
        fields = {"side": side.value, "until": until.isoformat(timespec="seconds")}
        with self._told("side-force", group, warrant, fields=fields):
            stage = self._state(group).stage
            cannot = f"cannot force group {group!r} to {side.value}"
            self._refuse_one_sided(cannot, group)
            if stage not in _TWO_SIDED_STAGES:
                raise StepForbidden(f"{cannot}: at stage {stage.value} one side alone is asked")
            draft = action_draft(
                EntryKind.ROUTE,
                "side-force",
                warrant,
                at=datetime.now(UTC),
                fields={"group": group, **fields},
            )
            state = self._store.force(group, until.timestamp(), draft)
        self._board.bump()
        self._observer.note("side_forced", group=group, side=side.value)
        return state

    def _refuse_one_sided(self, cannot: str, group: str) -> None:
        if self._two_sided is not None and group not in self._two_sided:
            raise StepForbidden(
                f"{cannot}: its routes name no modern side; add `sides: modern` to its route file"
            )

    def _hold(self, group: str, warrant: Warrant, *, held: bool) -> GroupState:
        with self._told("lanes-hold" if held else "lanes-resume", group, warrant):
            self._state(group)
            state = self._store.hold_lanes(group, held=held, warrant=warrant)
        self._board.bump()
        self._observer.note("lanes_held" if held else "lanes_resumed", group=group)
        return state

    def _state(self, group: str) -> GroupState:
        state = self._store.group(group)
        if state is None:
            known = ", ".join(sorted(found.group for found in self._store.groups())) or "none"
            raise NotKnown(f"cannot find route group {group!r}: known groups are {known}")
        return state

    def _told(
        self,
        action: str,
        group: str,
        warrant: Warrant,
        to: Place | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[None]:
        # What is no name of a group of ours may be anything that somebody typed.
        told = {"group": group} if self._store.group(group) is not None else {}
        if to is not None:
            told["to"] = to.stage.value
            if to.share_percent:
                told["share"] = f"{to.share_percent:g}"
        return refusals_told(
            self._store.tell, EntryKind.ROUTE, action, warrant, fields={**told, **(fields or {})}
        )

    def _announce(self, switch: Switch, began: float) -> SwitchReport:
        committed = time.monotonic()
        generation = self._board.bump()
        followed: dict[tuple[int, str], float | None] = {}
        while True:
            now = time.monotonic()
            waiting = False
            live = self._board.live_slots()
            for view in live:
                seat = (view.slot, view.owner)
                if followed.get(seat) is None:
                    adopted = view.adopted >= generation
                    followed[seat] = (now - committed) * 1000 if adopted else None
                    waiting = waiting or not adopted
            if not waiting or now - committed > self._adoption_wait_s:
                break
            self._pause(_LOOK_AGAIN_S)
        # A replica that died while we waited decides nothing any more.
        alive = {(view.slot, view.owner) for view in live}
        report = SwitchReport(
            switch,
            (time.monotonic() - began) * 1000,
            tuple(
                Adoption(slot, owner, took_ms)
                for (slot, owner), took_ms in followed.items()
                if took_ms is not None or (slot, owner) in alive
            ),
        )
        self._observer.note(
            "switched",
            group=switch.group,
            epoch=switch.epoch,
            stage=switch.to_stage.value,
            share_percent=switch.to_share_percent,
            took_ms=report.took_ms,
            replicas=len(report.adopted),
        )
        return report
