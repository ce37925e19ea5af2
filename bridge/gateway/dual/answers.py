"""What the gateway itself answers to a write or a read that it cannot take through."""

from bridge.gateway.http.problems import problem
from bridge.model.http import Headers, HttpResponse
from bridge.model.write import JournalledWrite, WriteState

INTENT_FIELD = b"legacy-bridge-intent"
"""Header that names the write in the journal, for the client's support call."""

STATUS_FIELD = b"legacy-bridge-upstream-status"
"""Header that tells the status of an answer that could not be handed on."""

_SOON: Headers = ((b"Retry-After", b"1"),)
# A resolver needs a route's `quiet_ms` at least, and a person longer.
_LATER: Headers = ((b"Retry-After", b"30"),)
# Most replays are there within a second; one that is not waits for its side.
_REPLAYED: Headers = ((b"Retry-After", b"5"),)

_ASK_AGAIN = "; repeating the request with the same Idempotency-Key returns the outcome"


def _named(intent_id: str) -> Headers:
    return ((INTENT_FIELD, intent_id.encode("ascii")),)


def key_missing(place: str) -> HttpResponse:
    """The request does not hold the key that orders its writes."""
    return problem(400, "key-missing", f"the request has no key: {place}")


def bad_client_key() -> HttpResponse:
    """`Idempotency-Key` is empty, repeated or too long."""
    return problem(400, "bad-idempotency-key", "Idempotency-Key is not one value of 1 to 255 bytes")


def client_key_missing() -> HttpResponse:
    """The route wants an `Idempotency-Key`, and there is none."""
    return problem(
        400,
        "idempotency-key-missing",
        "this operation needs an Idempotency-Key: a value of your own that no other request has",
    )


def key_reused() -> HttpResponse:
    """The same `Idempotency-Key` came with another request."""
    return problem(
        422, "idempotency-key-reused", "this Idempotency-Key was used for another request"
    )


def still_running(write: JournalledWrite) -> HttpResponse:
    """The request with the same `Idempotency-Key` has no outcome yet."""
    in_doubt = write.state is WriteState.IN_DOUBT
    return problem(
        409,
        "write-in-doubt" if in_doubt else "write-running",
        f"the request with this Idempotency-Key, write {write.intent.intent_id}, "
        + ("is in doubt: its answer was lost" if in_doubt else "is still running"),
        _named(write.intent.intent_id) + (_LATER if in_doubt else _SOON),
    )


def answer_lost(write: JournalledWrite) -> HttpResponse:
    """The write was found to have happened, but its answer is not known."""
    return problem(
        409,
        "write-applied",
        f"write {write.intent.intent_id} was applied; its answer was lost and cannot be repeated",
        _named(write.intent.intent_id),
    )


def not_on_both(intent_id: str, state: WriteState, side: str, *, client_key: bool) -> HttpResponse:
    """The authority has the write, the other side does not have it yet (level L3).

    `client_key` tells that the client has an `Idempotency-Key` of its own to ask again with.
    """
    parked = state is WriteState.PARKED
    why = "refused it; a person decides" if parked else "does not have it yet"
    return problem(
        202,
        "write-not-on-both",
        f"write {intent_id} was applied and is kept; {side} {why}{_ASK_AGAIN * client_key}",
        _named(intent_id) + (_LATER if parked else _REPLAYED),
    )


def undone(intent_id: str, side: str) -> HttpResponse:
    """The other side refused the write, and its inverse undid it (level L3)."""
    return problem(
        409,
        "write-undone",
        f"{side} refused write {intent_id}, which was undone: nothing of it is left",
        _named(intent_id),
    )


def lane_busy(detail: str) -> HttpResponse:
    """Other writes of the key are in the way; nothing was done."""
    return problem(503, "key-busy", f"{detail}; nothing was done", _SOON)


def lane_in_doubt(intent_id: str) -> HttpResponse:
    """An earlier write of the key is in doubt; nothing was done."""
    return problem(
        503,
        "key-in-doubt",
        f"write {intent_id} of the same key is in doubt; nothing was done until it is resolved",
        _named(intent_id) + _LATER,
    )


def journal_unavailable() -> HttpResponse:
    """The journal cannot be written, so the authority was not called."""
    return problem(
        503, "journal-unavailable", "the write journal cannot be written; nothing was done", _SOON
    )


def switching() -> HttpResponse:
    """The route was switched faster than the write could be decided."""
    return problem(503, "switching", "the route is being switched; nothing was done", _SOON)


def unreachable(side: str) -> HttpResponse:
    """A side could not be reached; it provably got nothing."""
    return problem(
        503, "upstream-unavailable", f"{side} cannot be reached; nothing was done", _SOON
    )


def outcome_unknown(intent_id: str, why: str, *, client_key: bool) -> HttpResponse:
    """The authority was called; whether it did it is not known. `client_key` as above."""
    return problem(
        504,
        "write-in-doubt",
        f"the outcome of write {intent_id} is unknown: {why}; it is held until it is resolved"
        f"{_ASK_AGAIN * client_key}",
        _named(intent_id) + _LATER,
    )


def answer_too_large(side: str, status: int, intent_id: str | None = None) -> HttpResponse:
    """A side answered with a body that cannot be held: its status tells what it did.

    This is also what a repeat with the same `Idempotency-Key` gets: the body is nowhere.
    """
    said = f"{side} answered {status} with a body that is larger than the gateway may hold"
    fields: Headers = ((STATUS_FIELD, b"%d" % status),)
    if intent_id is not None:
        outcome = "applied" if status < 400 else "refused"
        said, fields = f"{said}; write {intent_id} was {outcome}", _named(intent_id) + fields
    return problem(502, "answer-too-large", said, fields)


def plain_outcome_unknown(side: str) -> HttpResponse:
    """A request that is not journalled was sent, and no whole answer came."""
    return problem(504, "upstream-timeout", f"{side} gave no whole answer")
