"""Dual writes: a promise, its outcome, and its replay to the other side."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side


class WriteState(Enum):
    """Where a dual write stands; legal transitions: `bridge.gateway.dual.states`."""

    __hash__ = object.__hash__  # Members are single; Enum would hash the name anew each time.

    INTENT = "intent"  # Set by the journal before the authority is called.
    IN_DOUBT = "in_doubt"  # Set when the authority was called and its answer was lost.
    APPLIED = "applied"  # Set with the authority's success: waits in its lane for replay.
    REJECTED = "rejected"  # Set when the authority refused (4xx): nothing to replay. Final.
    FAILED = "failed"  # Set when the authority provably never got it. Final.
    DONE = "done"  # Set when the other side has it too. Final.
    PARKED = "parked"  # Set when the other side refused: holds its lane until somebody decides.
    SKIPPED = (
        "skipped"  # Set by a person or a stated policy: the other side goes without it. Final.
    )
    COMPENSATED = "compensated"  # Set when its declared inverse undid it on the authority. Final.


class WriteLevel(Enum):
    """What is durable before the client is answered; a route's choice."""

    __hash__ = object.__hash__  # Members are single; Enum would hash the name anew each time.

    OUTCOME = "L1"  # The outcome alone: a crash may hide a second write, which capture finds later.
    INTENT = (
        "L2"  # Intent before the call and outcome before the answer: nothing can be lost unseen.
    )
    BOTH = "L3"  # As L2, and the answer waits until the other side has it too.


class WriteKind(Enum):
    """Why a write is in the journal."""

    CLIENT = "client"  # A client sent it.
    COMPENSATION = "compensation"  # The gateway undoes a write that the other side refused.
    REPAIR = "repair"  # The gateway copies what the authority has to the other side.


class MadeId(NamedTuple):
    """An id that one side gave in its answer."""

    entity: str
    id: str
    place: str
    """JSON pointer of the answer, which tells several ids of one answer apart."""


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
    level: WriteLevel = WriteLevel.INTENT
    kind: WriteKind = WriteKind.CLIENT
    compensates: str | None = None
    """Intent id of the write that a COMPENSATION undoes."""


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
