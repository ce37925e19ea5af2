"""Where the last writes of what a read asks for are: with the authority, or on the other side.

Right after a switch some writes are on their way to the new authority. Their keys are read where
they were written; a client's token says the same of what it wrote, whatever the key.
"""

from collections.abc import Sequence
from typing import Protocol

from bridge.gateway.dual.admission import Admission
from bridge.gateway.dual.ports import Behind, LaneState
from bridge.gateway.dual.quiet_groups import QuietGroups
from bridge.gateway.dual.states import FINAL
from bridge.gateway.dual.write_tokens import WriteTokens, Written
from bridge.gateway.routes.decision import Decision
from bridge.model.http import HttpRequest
from bridge.model.stage import Side, Stage
from bridge.model.write import WriteState


class Standing(Protocol):
    """The write journal, as far as reads ask it."""

    def lane_state(self, group: str, lane: str) -> LaneState:
        """Return what stands in the lane's way now."""

    def behind(self, group: str, side: Side) -> Behind:
        """Return whether `side` may lack writes of any lane of the group now."""

    def state_of(self, intent_id: str) -> WriteState | None:
        """Return where the write stands; None when the journal does not have it."""


class LastWrites:
    """Asked by one worker's reads."""

    def __init__(
        self, journal: Standing, admission: Admission, tokens: WriteTokens | None = None
    ) -> None:
        self._journal = journal
        self._admission = admission
        self._tokens = tokens
        self._quiet = QuietGroups(journal)

    def brought(self, decision: Decision, request: HttpRequest) -> Sequence[Written]:
        """Return the writes that the client's token says it made, where its route asks for it."""
        if self._tokens is None or not decision.route.dual.has_tokens:
            return ()
        if len(decision.route.upstreams) < 2 or decision.stage is Stage.COMPLETE:
            return ()
        return self._tokens.brought(request)

    def side(
        self,
        decision: Decision,
        request: HttpRequest | None,
        brought: Sequence[Written] = (),
    ) -> Side:
        """Return the side to read from; without its request only the path of a read is known.

        Raises:
            StorageUnavailable: the journal cannot be read; see `told_side`.
        """
        group, authority = decision.route.group, decision.authority
        if decision.forced or not decision.epoch:
            return authority
        if not brought and self._quiet.is_quiet(decision):
            return authority
        lane = self._admission.lane_of_read(decision, request)
        if lane is not None and self._journal.lane_state(group, lane).unreplayed_to is authority:
            return authority.other
        for written in brought:
            if (
                written.side is not authority
                and written.concerns(group, lane)
                # A write that this journal does not know is another gateway's: who took it has it.
                and self._journal.state_of(written.intent_id) not in FINAL
            ):
                return authority.other
        return authority

    def told_side(self, decision: Decision, brought: Sequence[Written]) -> Side:
        """Return the side that took the client's newest write, as far as its token tells."""
        group = decision.route.group
        told = [written.side for written in brought if written.concerns(group, None)]
        return told[-1] if told else decision.authority
