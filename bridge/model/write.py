"""Dual writes: a promise, its outcome, and its replay to the other side."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side


class WriteState(Enum):
    """Where a dual write stands; legal transitions: `bridge.gateway.dual_write_states`."""

    INTENT = "intent"  # Set by the journal before the authority is called.
    IN_DOUBT = "in_doubt"  # Set when the authority was called and its answer was lost.
    APPLIED = "applied"  # Set with the authority's success: waits in its lane for replay.
    REJECTED = "rejected"  # Set when the authority refused (4xx): nothing to replay. Final.
    FAILED = "failed"  # Set when the authority provably never got it. Final.
    DONE = "done"  # Set when the other side has it too. Final.
    PARKED = "parked"  # Set when the other side refused: holds its lane until somebody decides.
    SKIPPED = "skipped"  # Set by a person with a reason: the other side goes without it. Final.


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteIntent:
    """A promise to apply one HTTP write to both sides.

    Durable before either side is called: after a crash, an intent without an outcome is the only
    trace that a side *may* have been written.
    """

    intent_id: str
    group: str
    route: str
    epoch: int
    """The switch epoch this write was decided under; the journal refuses an older one."""
    authority: Side
    lane: str
    """The key's lane. A create gets its own until its id is known."""
    idempotency_key: str
    request: HttpRequest
    """As the client sent it, with the ids that the client uses."""
    owner: str
    """Incarnation of the replica that calls the authority; when it dies, the intent is in doubt."""
    opened_at: datetime
    client_key: str | None = None
    """The client's own `Idempotency-Key`; None when the gateway made one for its replays."""
    fingerprint: str = ""
    """What must be equal when the client repeats its key (method, target, body, credentials)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalledWrite:
    """An intent as the journal knows it now."""

    intent: WriteIntent
    state: WriteState
    sequence: int | None
    """Place in its lane, given when the authority's answer became durable."""
    response: HttpResponse | None
    """The authority's answer, once known."""
    attempts: int
    """Replays tried so far."""
    reason: str | None
    """Why it is in doubt, parked or skipped."""
    settled_at: datetime | None
