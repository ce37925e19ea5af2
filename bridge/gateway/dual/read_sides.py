"""Choose the side of single reads: by the cohort of their key, or by a tester's token.

At stage `canary` a key of the cohort is read on modern, unless a write of it is running, in doubt
or still on its way there: then it is read where it is written, so that nobody reads an older value
than one that was acknowledged, or that somebody has read. A key outside is read on legacy, which is
the authority. A key is dealt by the name of its lane, which is the same by either side's id and at
every stage.

Nothing is ever chosen by chance: the same key on the same side, by every worker, until the share
changes. A read without its key is legacy's until all keys are modern's.
"""

from collections import Counter
from enum import Enum
from typing import NamedTuple, Protocol

from bridge.gateway.dual.ports import IdMap, LaneState
from bridge.gateway.dual.side_tokens import SideTokens
from bridge.gateway.http.request_head import RequestHead, end_to_end
from bridge.gateway.routes.cohort import bucket_of, in_cohort
from bridge.gateway.routes.decision import Choice, Decision
from bridge.gateway.routes.route import KeyPlace
from bridge.gateway.translation.ids import key_of, lane_of
from bridge.model.errors import StorageUnavailable
from bridge.model.http import HttpRequest
from bridge.model.observer import Observer
from bridge.model.stage import Side


class Lanes(Protocol):
    """The write journal, as far as reads ask it."""

    def lane_state(self, group: str, lane: str) -> LaneState:
        """Return what stands in the lane's way now."""


class Reason(Enum):
    """Why a read goes where it goes; also what it is counted as."""

    IN_COHORT = "in_cohort"  # Its key is of the cohort.
    OUTSIDE = "outside"  # Its key is not.
    PINNED = "pinned"  # The side that it belongs to may still have to get a write of its key.
    NO_KEY = "no_key"  # The request has not got the key that its route declares.
    ALL_KEYS = "all_keys"  # It is about all keys, and follows at 100 %.
    JOURNAL_AWAY = "journal_away"  # What is on its way cannot be read: the authority has it all.
    FORCED = "forced"  # A token says so.


class Chosen(NamedTuple):
    """Who answers a read, and why."""

    decision: Decision
    reason: Reason
    share_percent: float
    lane: str | None = None
    """The name by which the key is dealt; None without one."""


class ReadSides:
    """`SideChooser` of the data plane, for one worker."""

    def __init__(self, *, journal: Lanes, ids: IdMap, tokens: SideTokens | None = None) -> None:
        """Without `tokens` those that requests bring mean nothing."""
        self._journal = journal
        self._ids = ids
        self._tokens = tokens
        self._counts: Counter[str] = Counter()
        """By route and reason, with a dot between."""
        self._seen_tokens: Counter[str] = Counter()

    # -- the data plane's side ------------------------------------------------------------------

    def choose(self, decision: Decision, head: RequestHead) -> tuple[Decision, RequestHead]:
        """See `SideChooser.choose`."""
        choice = decision.choice
        assert choice is not None, "nothing is to be chosen"
        if choice.forcible and self._tokens is not None:
            brought = self._tokens.brought(decision.route.group, head)
            if brought is not None:
                head = brought.head
                for verdict in brought.verdicts:
                    self._seen_tokens[verdict.value] += 1
                if brought.side is not None and decision.other is not None:
                    return self._forced(decision, brought.side), head
        key = choice.key
        if not choice.share_percent or decision.other is None:
            return decision._replace(choice=None), head
        if key is not None and key.place is KeyPlace.JSON:
            return decision, head
        return self.choose_whole(decision, _request_of(head)), head

    def choose_whole(self, decision: Decision, request: HttpRequest) -> Decision:
        """See `SideChooser.choose_whole`."""
        if decision.choice is None or not decision.choice.share_percent or decision.other is None:
            return decision._replace(choice=None)
        chosen = self.chosen(decision, request)
        self._counts[f"{decision.route.route_id}.{chosen.reason.value}"] += 1
        return chosen.decision

    def home(self, decision: Decision, head: RequestHead) -> Decision:
        """See `SideChooser.home`."""
        choice = decision.choice
        if choice is None or not choice.share_percent or decision.other is None:
            return decision
        return self.chosen(decision, _request_of(head), pinned=False).decision

    def note_counts(self, observer: Observer) -> None:
        """Tell what was chosen since the last time: by route and reason, and of tokens."""
        counts, self._counts = self._counts, Counter()
        tokens, self._seen_tokens = self._seen_tokens, Counter()
        if counts:
            observer.note("sides_chosen", **counts)
        if tokens:
            observer.note("side_tokens", **tokens)

    # -- everybody's ----------------------------------------------------------------------------

    def chosen(self, decision: Decision, request: HttpRequest, *, pinned: bool = True) -> Chosen:
        """Return who answers a read at stage `canary`; without `pinned`, to whom its key belongs.

        Never raises.
        """
        choice = decision.choice
        assert choice is not None, "nothing is to be chosen"
        stays = decision._replace(choice=None)
        everybody = choice.share_percent >= 100
        if choice.key is None:
            there = decision.elsewhere() if everybody else stays
            return Chosen(there, Reason.ALL_KEYS, choice.share_percent)
        key = key_of(choice.key, decision, request)
        if key is None:
            there = decision.elsewhere() if everybody else stays
            return Chosen(there, Reason.NO_KEY, choice.share_percent)
        try:
            return self._dealt(decision, choice, key, stays, pinned=pinned)
        except StorageUnavailable:
            return Chosen(stays, Reason.JOURNAL_AWAY, choice.share_percent)

    # -- inside ---------------------------------------------------------------------------------

    def _dealt(
        self, decision: Decision, choice: Choice, key: str, stays: Decision, *, pinned: bool
    ) -> Chosen:
        route = decision.route
        assert choice.key is not None, "dealt without a key"
        entity = choice.key.entity
        pair = None if entity is None else self._ids.pair(route.group, entity, key)
        lane = lane_of(entity, key) if pair is None else pair.lane
        belongs = in_cohort(bucket_of(route.cohort_salt, lane), choice.share_percent)
        there = decision.elsewhere() if belongs else stays
        reason = Reason.IN_COHORT if belongs else Reason.OUTSIDE
        if pinned:
            state = self._journal.lane_state(route.group, lane)
            lacking = state.unreplayed_to
            if lacking is None and state.in_flight is not None:
                # What legacy may show already must not be unseen again before it is replayed.
                lacking = Side.MODERN
            if lacking is there.authority:
                there = stays if belongs else decision.elsewhere()
                reason = Reason.PINNED
        times = there.times.within("in" if belongs else "out")
        return Chosen(there._replace(times=times), reason, choice.share_percent, lane)

    def _forced(self, decision: Decision, side: Side) -> Decision:
        there = decision if side is decision.authority else decision.elsewhere()
        # A tester asked for this side: it is not compared, and nobody stands in for it.
        return there._replace(choice=None, forced=True, tapped=False, way_back=None)


def _request_of(head: RequestHead) -> HttpRequest:
    """Return a request without its body, which no key but that of `json` is looked up in."""
    return HttpRequest(
        method=head.method, target=head.target, headers=end_to_end(head.lines), body=b""
    )
