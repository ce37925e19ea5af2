"""What the gateway asks of its write journal and of the id map.

The journal's waiting methods (`async`) return once their effect is durable; its plain methods are
indexed reads of a few microseconds, which an event loop may call directly. Implementations:
`bridge.storage.journal.sqlite`, `bridge.storage.journal.memory`; one conformance suite in
`tests/storage/`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple, Protocol, TypeAlias

from bridge.gateway.routes.route import Route
from bridge.model.entry import EntryDraft
from bridge.model.errors import BridgeError, LaneBusy, Remedy
from bridge.model.http import HttpResponse
from bridge.model.stage import GroupState, Side
from bridge.model.warrant import Warrant
from bridge.model.write import JournalledWrite, MadeId, WriteIntent, WriteKind, WriteState


class LaneUnreplayed(LaneBusy):
    """Writes of the lane are still on their way *to* the side that should be the authority."""


class KeyInUse(BridgeError):
    """The client's `Idempotency-Key` already belongs to a write, attached as `write`."""

    remedy: ClassVar[Remedy] = Remedy.REREAD

    def __init__(self, message: str, write: JournalledWrite) -> None:
        super().__init__(message)
        self.write = write


TAKEN_ADVICE: Final = (
    "compare both sides, then `writes skip ID` if that side has this write, else `writes replay ID`"
)


class IdTaken(BridgeError):
    """An id is already paired with another one; following it would touch the wrong entity."""


class WriteStateForbidden(BridgeError):
    """The write is not in a state that this may follow; somebody else settled it first."""

    remedy: ClassVar[Remedy] = Remedy.REREAD


class IdPair(NamedTuple):
    """One entity's ids; None where a side's id is not known yet."""

    entity: str
    legacy_id: str | None
    modern_id: str | None
    lane: str
    """Named after the id by which the entity was first known, at every stage the same."""

    def on(self, side: Side) -> str | None:
        """Return the id on `side`."""
        return self.legacy_id if side is Side.LEGACY else self.modern_id


class LaneState(NamedTuple):
    """What stands in a lane's way."""

    in_flight: str | None = None
    """Intent id of the write that holds the lane (INTENT or IN_DOUBT)."""
    in_doubt: bool = False
    unreplayed_to: Side | None = None
    """Side that still has to receive writes of this lane; never both sides at once."""
    parked: bool = False
    """Whether one of those is parked, so that waiting does not help."""


class Behind(NamedTuple):
    """Whether a side may lack writes of a group."""

    unreplayed: bool
    """Some were acknowledged and are still to be replayed there."""
    open: bool
    """Some have no outcome yet: running, or in doubt."""


class LaneNews(NamedTuple):
    """Lanes that got something to replay, up to queue number `through`."""

    lanes: Sequence[tuple[str, str, Side]]
    """(group, lane, side to replay to)."""
    through: int
    nudge: int
    """Grows when a person changed what may be replayed: look at every lane again."""


class LaneCount(NamedTuple):
    """Backlog of one group towards one side."""

    group: str
    towards: Side
    lanes: int
    writes: int
    parked: int
    oldest_age_s: float


Done: TypeAlias = Callable[[Exception | None, object], None]
"""Hears what the journal raised, or None; the second argument is what it returned."""


class WriteJournal(Protocol):
    """The dual-write book, as the writer uses it."""

    async def open(self, intent: WriteIntent) -> None:
        """Make the promise durable.

        Raises:
            StaleEpoch: the group was switched since `intent.epoch`.
            LaneUnreplayed: replays are still on their way *to* `intent.authority`.
            LaneBusy: the lane has a write in flight or in doubt.
            KeyInUse: the client's key already belongs to a write.
            StorageUnavailable: nothing was written; the authority must not be called.
        """

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
        """Record how the authority's call ended: APPLIED, REJECTED, FAILED or IN_DOUBT.

        APPLIED returns the write's sequence number, by which its lane is replayed; `lane` renames
        the lane of a create, whose key was not known before; `ids` are those the authority made.
        `release_key` lets the client use its `Idempotency-Key` again: nothing was executed.

        A COMPENSATION that is APPLIED is DONE at once (None is returned): the other side never had
        what it undoes. In the same commit the write that it compensates becomes COMPENSATED and
        leaves its lane, unless it was decided otherwise meanwhile.

        Repeated with the same state it changes nothing, so that a caller whose answer was lost may
        call again.

        Raises:
            StorageUnavailable: the outcome is not recorded; call again until it is.
            WriteStateForbidden: the write was settled otherwise (it had been given up as in doubt).
        """

    def open_soon(self, intent: WriteIntent, *, done: Done) -> None:
        """Do as `open` and call `done` from the running loop: no task waits for it.

        Raises:
            StorageUnavailable: as `open`, at once; `done` is not called.
        """

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
        """Do as `settle` and call `done` from the running loop.

        Raises:
            StorageUnavailable: as `settle`, at once; `done` is not called.
        """

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
        """Make an intent and its outcome durable in one commit; return as `settle` does.

        For what needs no promise beforehand: the outcome of a write at level OUTCOME, and a
        REPAIR, which is APPLIED at once. The authority was called already, so an outcome is always
        recorded: whatever the epoch, beside another write that holds the lane, and without its
        client key when that belongs to another write. Repeated with the same intent id it does
        nothing more, so that a caller whose answer was lost may call again.

        Raises:
            StaleEpoch, LaneBusy, LaneUnreplayed: a REPAIR only, as by `open`.
            StorageUnavailable: whether it is recorded is not known; call again.
        """

    def state_of(self, intent_id: str) -> WriteState | None:
        """Return where the write stands; None when the journal does not have it."""

    def lane_state(self, group: str, lane: str) -> LaneState:
        """Return what stands in the lane's way now."""

    def behind(self, group: str, side: Side) -> Behind:
        """Return whether `side` may lack writes of any lane of the group now."""

    def keyed(self, group: str, route: str, client_key: str) -> JournalledWrite | None:
        """Return the write to which the client's key belongs."""


class ReplayQueue(Protocol):
    """The dual-write book, as the replayer uses it."""

    def news(self, after: int, count_max: int) -> LaneNews:
        """Return lanes that got entries with a queue number above `after`."""

    def head(self, group: str, lane: str) -> JournalledWrite | None:
        """Return the lane's next write to replay; None when empty, parked, or held."""

    async def retry_later(self, intent_id: str, reason: str) -> None:
        """Count a replay that did not succeed; the write stays APPLIED."""

    async def finish(
        self,
        intent_id: str,
        state: WriteState,
        *,
        ids: Sequence[MadeId] = (),
        reason: str | None = None,
    ) -> None:
        """Record how the replay ended: DONE or PARKED; `ids` complete the id map.

        Raises:
            IdTaken: an id of `ids` is already paired with another one; nothing was recorded.
            WriteStateForbidden: a person decided meanwhile.
        """

    def doubtful(self, count_max: int, after: str | None = None) -> Sequence[JournalledWrite]:
        """Return writes that are in doubt, oldest first.

        `after` is the intent id of the last one that the caller has; from the oldest on, without it
        or when the journal does not have it any more.
        """

    def open_owners(self) -> Sequence[str]:
        """Return the owners that have an intent without an outcome."""

    async def orphan(self, owner: str) -> Sequence[str]:
        """Put every intent of a dead `owner` in doubt; return their ids."""

    async def prune(self, keep_s: float, count_max: int) -> int:
        """Forget up to `count_max` writes that were final for longer than `keep_s`."""


class SeenChanges(Protocol):
    """Changes that were captured from a side's own database; blocking, called from threads."""

    def of(self, write: JournalledWrite, route: Route) -> str | None:
        """Return the captured change that `write` made on its authority; None when none is known.

        It is named so that a person finds it (an entry of the event log). That none is known says
        nothing: capture may be behind, or may not see the table.
        """


class GroupReader(Protocol):
    """Reads where the groups stand."""

    def groups(self) -> Sequence[GroupState]:
        """Return every known group."""


class IdMap(Protocol):
    """Which id on one side is which on the other."""

    def pair(self, group: str, entity: str, known_id: str) -> IdPair | None:
        """Return the pair that `known_id` belongs to, looked up as a legacy id first.

        The order does not depend on the stage, so that an id means the same entity before and
        after a switch even where the two sides' ids overlap.
        """

    def pair_on(self, group: str, entity: str, side: Side, known_id: str) -> IdPair | None:
        """Return the pair whose id on `side` is `known_id`."""


class WriteDesk(Protocol):
    """What a person may look at and decide; blocking, and every decision is audited.

    Raises `WriteStateForbidden` where the write's state does not allow the decision.
    """

    def list_writes(
        self,
        *,
        group: str | None = None,
        state: WriteState | None = None,
        lane: str | None = None,
        kind: WriteKind | None = None,
        count_max: int = 100,
    ) -> Sequence[JournalledWrite]:
        """Return the newest writes first.

        Without `state`, `lane` and `kind`, those that need a decision; else all that fit.
        """

    def show(self, intent_id: str) -> JournalledWrite | None:
        """Return one write."""

    def resolve(
        self,
        intent_id: str,
        outcome: WriteState,
        *,
        warrant: Warrant,
        ids: Mapping[str, str] | None = None,
    ) -> None:
        """Settle a write in doubt as APPLIED (it is then replayed) or FAILED.

        `ids` are entity → id, needed where the lost answer would have named a new entity.
        """

    def replay(self, intent_id: str, warrant: Warrant) -> None:
        """Put a parked write back at the head of its lane."""

    def skip(self, intent_id: str, warrant: Warrant) -> None:
        """Go on without this write on the other side; the lane moves to the next."""

    def import_ids(
        self, group: str, entity: str, pairs: Sequence[tuple[str, str]], warrant: Warrant
    ) -> int:
        """Record known (legacy id, modern id) pairs; return how many were new.

        Raises:
            IdTaken: a pair contradicts one that is known; nothing of its thousand was recorded.
                An import may be repeated: what is known already is passed over.
        """

    def tell(self, draft: EntryDraft) -> None:
        """Leave an entry for the event log that stands for itself, such as of a refusal."""

    def lane_counts(self) -> Sequence[LaneCount]:
        """Return the backlog per group and direction."""
