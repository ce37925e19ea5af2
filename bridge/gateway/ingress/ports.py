"""What the asynchronous ingress asks of its store, and what stands in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from bridge.model.entry import EntryDraft
from bridge.model.http import HttpRequest, HttpResponse


class QueueState(Enum):
    """Where a queued request stands."""

    WAITING = "waiting"  # Set when it is accepted, and when it could not be sent: not begun.
    BEGUN = "begun"  # Set before it is handed to the write path.
    DONE = "done"  # Set with the answer. Final.
    IN_DOUBT = "in_doubt"  # Set when it was sent and its answer was lost. Final for the queue.
    CANCELLED = "cancelled"  # Set by its client, before it was begun. Final.
    EXPIRED = "expired"  # Set when the answer was kept long enough; only its name is left.


UNFINISHED = frozenset({QueueState.WAITING, QueueState.BEGUN})


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRequest:
    """A request that was answered 202."""

    request_id: str
    """Unguessable: whoever knows it and shows the same credentials gets the answer."""
    group: str
    route: str
    lane: str
    """Requests of one lane are sent in the order in which they were accepted."""
    client_key: str | None
    """The client's `Idempotency-Key` in its own scope."""
    fingerprint: str
    """What must be equal when the client repeats its key."""
    caller: str
    """Digest of the credentials; the status is shown to no other."""
    request: HttpRequest
    """As it is sent: with an `Idempotency-Key`, without the preference."""
    accepted_at: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A queued request as the book knows it now."""

    queued: QueuedRequest
    state: QueueState
    guarded: bool
    """Begun through the write journal, which knows whether it was sent."""
    epoch: int
    """Of its group, when it was begun."""
    response: HttpResponse | None


class Accepted(NamedTuple):
    """What became of an acceptance."""

    request_id: str
    """Its own, or that of the earlier request with the same `Idempotency-Key`."""
    fingerprint: str


class Backlog(NamedTuple):
    """What waits or runs of one route."""

    requests: int
    body_bytes: int


class IngressBook(Protocol):
    """Requests that were accepted, until their answers were kept long enough.

    The waiting methods (`async`) return once their effect is durable, or raise `StorageUnavailable`
    and may then be called again; the plain ones are indexed reads.
    """

    async def accept(self, queued: QueuedRequest) -> Accepted:
        """Keep `queued`, unless its client's key is there already: then return that one's id."""

    async def begin(self, request_id: str, *, guarded: bool, epoch: int) -> bool:
        """Make a WAITING request BEGUN; return False when it has ended.

        One that is BEGUN already stays so: the caller, who is the only sender, lost an answer.
        """

    async def put_back(self, request_id: str) -> None:
        """Make a BEGUN request WAITING again: nothing was sent."""

    async def end(
        self,
        request_id: str,
        state: QueueState,
        response: HttpResponse | None,
        draft: EntryDraft,
    ) -> None:
        """End a BEGUN request, and leave `draft` for the event log in the same commit."""

    async def cancel(self, request_id: str, draft: EntryDraft) -> bool:
        """Make a WAITING request CANCELLED; return False when it is not waiting any more."""

    async def expire(self, route: str, ended_before: float, at: float, count_max: int) -> int:
        """Drop requests and answers of a route that ended before `ended_before`; keep names.

        Names that expired as long ago again are forgotten. Return how many were dropped.
        """

    def find(self, request_id: str) -> Kept | None:
        """Return a request by its id."""

    def unfinished(self, count_max: int) -> Sequence[Kept]:
        """Return what waits or was begun, oldest first."""

    def is_unfinished(self, group: str, lane: str) -> bool:
        """Whether anything of a lane waits or was begun, of whatever route of the group."""

    def backlog(self, group: str, route: str) -> Backlog:
        """Return how much of a route waits or runs."""
