"""Read the other side's answer to a replayed write."""

from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final, NamedTuple

from bridge.gateway.dual.entity_look import Look, look_at, version_of
from bridge.gateway.routes.route import KeyPlace, Route
from bridge.gateway.routes.sections.dual import Conflict
from bridge.gateway.translation.ids import Translated, ids_made, json_id
from bridge.model.http import HttpResponse
from bridge.model.write import JournalledWrite, MadeId, WriteState

_PASSING: Final = frozenset({408, 425, 429})
_GONE: Final = frozenset({404, 410})

# A side that asks for more is asked again earlier: its lanes wait, and so do people.
RETRY_AFTER_S_MAX: Final = 60.0


class Ending(Enum):
    """What a replay's answer means."""

    DONE = "done"  # The other side has it, now or already.
    RETRY = "retry"  # For a passing reason it does not; send it again.
    REFUSED = "refused"  # It refused; the route's conflict policy says what follows.
    STALE = "stale"  # It has a newer version already.
    PARK = "park"  # We cannot even send it; somebody must decide.


class Verdict(NamedTuple):
    """One replay's ending."""

    ending: Ending
    reason: str | None = None
    ids: Sequence[MadeId] = ()
    retry_after_s: float | None = None


def judge(
    route: Route,
    write: JournalledWrite,
    sent: Translated,
    response: HttpResponse,
    *,
    at: datetime,
) -> Verdict:
    """Return what the other side's answer to `write` means; `at` is when it came.

    "Already there" counts only where it is known to be this write: an earlier attempt may have
    been carried out (its answer was lost), and the answer names the entity that it created, or the
    entity can be read and compared (`judge_look`). Sending it differently would be a guess.
    """
    status = response.status
    if 200 <= status < 300 or _redirected_alike(write, status):
        return Verdict(Ending.DONE, ids=ids_made(route.ids, response, sent.used))
    if status in _PASSING or status >= 500:
        wait_s = _retry_after_s(response, at)
        return Verdict(Ending.RETRY, f"answered {status}", retry_after_s=wait_s)
    if status in _GONE and write.intent.request.method == b"DELETE":
        return Verdict(Ending.DONE, f"answered {status}: gone already")
    creates = route.key is not None and route.key.place is KeyPlace.CREATED
    if status == 409 and creates and write.attempts > 0:
        assert route.key is not None, "creates says so"
        if json_id(response.body, route.key.name) is not None:
            return Verdict(
                Ending.DONE, "answered 409: there already", ids_made(route.ids, response, sent.used)
            )
    return Verdict(Ending.REFUSED, f"answered {status}")


def _redirected_alike(write: JournalledWrite, status: int) -> bool:
    """Whether this is the redirection by which the authority, too, says that it is done.

    Any other one says that the other side did something else: sent us to its login page, or to
    where the entity has moved.
    """
    return 300 <= status < 400 and write.response is not None and write.response.status == status


def judge_look(
    route: Route, write: JournalledWrite, refused: Verdict, seen: HttpResponse
) -> Verdict:
    """Return what a refusal means now that the entity was read on the other side."""
    rules = route.dual.read
    assert rules is not None, "nothing is read back without a rule"
    look = look_at(rules, write.intent.request, seen)
    if look is Look.THERE:
        ids: tuple[MadeId, ...] = ()
        made = None if rules.made_id is None else json_id(seen.body, rules.made_id)
        key = route.key
        if made is not None and key is not None and key.entity is not None:
            ids = (MadeId(key.entity, made, key.name),)
        return Verdict(Ending.DONE, f"{refused.reason}: there already, read back and equal", ids)
    if write.response is not None:
        ours = version_of(route.dual.version, write.response.body)
        theirs = version_of(rules.version, seen.body)
        if ours is not None and theirs is not None and theirs > ours:
            return Verdict(
                Ending.STALE, f"{refused.reason}: has version {theirs}, this write is {ours}"
            )
    return refused


def state_after(route: Route | None, verdict: Verdict) -> WriteState:
    """Return the state that an ending other than RETRY leads to."""
    if verdict.ending is Ending.DONE:
        return WriteState.DONE
    if verdict.ending is Ending.STALE:
        return WriteState.SKIPPED
    skips = route is not None and route.dual.conflict is Conflict.SKIP
    if verdict.ending is Ending.REFUSED and skips:
        return WriteState.SKIPPED
    return WriteState.PARKED


def age_s(write: JournalledWrite, at: datetime) -> float:
    """Return how long the other side has been without this write."""
    return (at - (write.settled_at or write.intent.opened_at)).total_seconds()


def _retry_after_s(response: HttpResponse, at: datetime) -> float | None:
    """Return the seconds of `Retry-After` (RFC 9110 10.2.3), a date's from `at`; None without."""
    raw = response.header(b"retry-after")
    if raw is None:
        return None
    if raw.isdigit() and len(raw) < 10:
        return min(float(raw), RETRY_AFTER_S_MAX)
    try:
        when = parsedate_to_datetime(raw.decode("latin-1"))
    except (ValueError, IndexError):
        return None
    if when.tzinfo is None:
        return None  # `-0000` in place of GMT: no HTTP-date.
    return min(max((when - at).total_seconds(), 0.0), RETRY_AFTER_S_MAX)
