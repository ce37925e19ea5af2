"""Read the other side's answer to a replayed write."""

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from bridge.gateway.routes.route import KeyPlace, Route
from bridge.gateway.translation.ids import Translated, ids_made, json_id
from bridge.model.http import HttpResponse
from bridge.model.write import JournalledWrite, MadeId

_PASSING: Final = frozenset({408, 425, 429})
_GONE: Final = frozenset({404, 410})

# A side that asks for more is asked again earlier: its lanes wait, and so do people.
RETRY_AFTER_S_MAX: Final = 60.0


class Ending(Enum):
    """What a replay's answer means."""

    DONE = "done"  # The other side has it, now or already.
    RETRY = "retry"  # For a passing reason it does not; send it again.
    PARK = "park"  # It refused; somebody must decide.


class Verdict(NamedTuple):
    """One replay's ending."""

    ending: Ending
    reason: str | None = None
    ids: Sequence[MadeId] = ()
    retry_after_s: float | None = None


def judge(
    route: Route, write: JournalledWrite, sent: Translated, response: HttpResponse
) -> Verdict:
    """Return what the other side's answer to `write` means.

    "Already there" counts only where it is known to be this write: an earlier attempt may have
    been carried out (its answer was lost), and the answer names the entity that it created.
    Everything else that is refused is parked, because sending it differently would be a guess.
    """
    status = response.status
    if status < 400:
        return Verdict(Ending.DONE, ids=ids_made(route.ids, response, sent.used))
    if status in _PASSING or status >= 500:
        return Verdict(Ending.RETRY, f"answered {status}", retry_after_s=_retry_after_s(response))
    if status in _GONE and write.intent.request.method == b"DELETE":
        return Verdict(Ending.DONE, f"answered {status}: gone already")
    creates = route.key is not None and route.key.place is KeyPlace.CREATED
    if status == 409 and creates and write.attempts > 0:
        assert route.key is not None, "creates says so"
        if json_id(response.body, route.key.name) is not None:
            return Verdict(
                Ending.DONE, "answered 409: there already", ids_made(route.ids, response, sent.used)
            )
    return Verdict(Ending.PARK, f"answered {status}")


def _retry_after_s(response: HttpResponse) -> float | None:
    """Return the seconds of `Retry-After`; a date counts as none, our backoff does."""
    raw = response.header(b"retry-after")
    if raw is None or not raw.isdigit():
        return None
    return min(float(raw), RETRY_AFTER_S_MAX)
