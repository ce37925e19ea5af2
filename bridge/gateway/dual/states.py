"""How a dual write may move from state to state, and how one answer of the authority is read.

A write starts as INTENT, durable before the authority is called. The call ends it in one of four
ways: APPLIED (it happened), REJECTED (the authority refused), FAILED (it provably never got it), or
IN_DOUBT (it may have happened). Out of doubt leads only knowledge: a person's finding, that of the
resolver, or that of a process which was taken for dead and saw the answer after all. One that
stays in doubt may get a better reason.

An APPLIED write waits in its lane. Each replay that fails for a passing reason leaves it APPLIED, a
success makes it DONE, a refusal PARKED, and a person may put a parked one back or go on without it.
While a write is INTENT or IN_DOUBT no other write of its lane is opened; while one is PARKED no
later write of its lane is replayed.
"""

from collections.abc import Mapping
from typing import Final

from bridge.gateway.dual.ports import WriteStateForbidden
from bridge.model.write import WriteState

_S = WriteState

TRANSITIONS: Final[Mapping[WriteState, frozenset[WriteState]]] = {
    _S.INTENT: frozenset({_S.APPLIED, _S.REJECTED, _S.FAILED, _S.IN_DOUBT}),
    _S.IN_DOUBT: frozenset({_S.IN_DOUBT, _S.APPLIED, _S.REJECTED, _S.FAILED}),
    _S.APPLIED: frozenset({_S.APPLIED, _S.DONE, _S.PARKED, _S.SKIPPED, _S.COMPENSATED}),
    _S.PARKED: frozenset({_S.APPLIED, _S.SKIPPED, _S.COMPENSATED}),
    _S.REJECTED: frozenset(),
    _S.FAILED: frozenset(),
    _S.DONE: frozenset(),
    _S.SKIPPED: frozenset(),
    _S.COMPENSATED: frozenset(),
}

HOLDS_LANE: Final = frozenset({_S.INTENT, _S.IN_DOUBT})
"""States in which no other write of the lane may be opened."""

RESOLUTIONS: Final = frozenset({_S.APPLIED, _S.FAILED})
"""What a person may find about a write in doubt: it happened, or it did not."""

FINAL: Final = frozenset(state for state, following in TRANSITIONS.items() if not following)

# The authority says that it did not look at the request and that it may be sent again: the client's
# Idempotency-Key must stay free for that.
_NOT_EXECUTED: Final = frozenset({408, 425, 429})

# An intermediary in front of the authority lost it, or its answer.
_OUTCOME_LOST: Final = frozenset({502, 504})


def may_follow(current: WriteState, following: WriteState) -> bool:
    """Return whether a write in state `current` may become `following`."""
    return following in TRANSITIONS[current]


def check_resolution(intent_id: str, state: WriteState, outcome: WriteState) -> None:
    """Raise `WriteStateForbidden` unless the write is in doubt and a person may find `outcome`.

    A write in flight has a process that will tell how it ended; all others have ended.
    """
    if outcome not in RESOLUTIONS:
        allowed = " or ".join(sorted(state.value for state in RESOLUTIONS))
        raise WriteStateForbidden(
            f"cannot resolve write {intent_id} as {outcome.value}: it is {allowed}"
        )
    if state is not WriteState.IN_DOUBT:
        raise WriteStateForbidden(
            f"cannot resolve write {intent_id} as {outcome.value}: it is {state.value}, "
            "not in doubt"
        )


def outcome_of(status: int, *, server_error_in_doubt: bool = False) -> tuple[WriteState, bool]:
    """Return what the authority's answer means and whether the client's key stays free.

    500, 503 and the other 5xx are the application's own statement that the request failed: they
    count as REJECTED, exactly as a client without the gateway would read them, unless the route
    says that its application may fail after it committed (`server_error_in_doubt`).
    """
    if status < 400:
        return _S.APPLIED, False
    if status in _OUTCOME_LOST or (status >= 500 and server_error_in_doubt):
        return _S.IN_DOUBT, False
    return _S.REJECTED, status in _NOT_EXECUTED
