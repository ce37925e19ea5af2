"""What the gateway asks of its write journal and of the two sides."""

from collections.abc import Sequence
from typing import Protocol

from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import GroupState, Side
from bridge.model.write import JournalledWrite, WriteIntent, WriteState


class Upstream(Protocol):
    """One side's HTTP application, behind a bounded pool of connections."""

    async def exchange(self, request: HttpRequest, *, timeout_ms: int) -> HttpResponse:
        """Send `request` once and return the whole answer.

        Raises:
            UpstreamUnavailable: provably no byte of the request was sent.
            OutcomeUnknown: bytes were sent and no whole answer came.
        """


class WriteJournal(Protocol):
    """The dual-write book. Every method returns once its effect is durable.

    Implementations: `bridge.storage.sqlite_journal`, `bridge.storage.memory_journal`; one
    conformance suite in `tests/gateway/`.
    """

    async def open(self, intent: WriteIntent) -> None:
        """Make the promise durable.

        Raises:
            StaleEpoch: the group was switched since `intent.epoch`.
            LaneBusy: the lane has a write in flight or in doubt, or replays still on their way
                *to* `intent.authority`, which must be applied there first.
        """

    async def settle(
        self,
        intent_id: str,
        state: WriteState,
        *,
        response: HttpResponse | None = None,
        lane: str | None = None,
        ids: Sequence[tuple[str, str]] = (),
        reason: str | None = None,
    ) -> JournalledWrite:
        """Record how the authority's call ended: APPLIED, REJECTED, FAILED or IN_DOUBT.

        APPLIED gives the write its sequence number in its lane; `lane` renames the lane of a
        create, whose key was not known before; `ids` are (entity, id on the authority) it made.
        """

    async def finish(
        self,
        intent_id: str,
        state: WriteState,
        *,
        ids: Sequence[tuple[str, str]] = (),
        reason: str | None = None,
    ) -> JournalledWrite:
        """Record how the replay ended: DONE, PARKED, SKIPPED (or APPLIED for one more try).

        `ids` are (entity, id on the other side), which complete the id map.
        """


class GroupReader(Protocol):
    """Reads where the groups stand."""

    def groups(self) -> Sequence[GroupState]:
        """Return every known group."""


class IdMap(Protocol):
    """Which id on one side is which on the other."""

    def translate(self, group: str, entity: str, known_id: str, to: Side) -> str | None:
        """Return the id on side `to`, or None when the pair is not known."""
