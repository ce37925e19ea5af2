"""Which captured change of a row belongs to which write of the journal. Pure.

Nobody writes into a change which request made it. What can be compared is the key, the time, the
values that the route declares, and, where the application keeps it with the row, the mark that
replays carry. What these leave open is told as open: a caller never gets a guess.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Final, NamedTuple

import orjson

from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.reconciliation import ReconciliationRules
from bridge.gateway.translation.json_text import find_value
from bridge.model.http import HttpRequest
from bridge.model.stage import Side
from bridge.model.write import JournalledWrite, WriteState

# Clocks of the database and of the gateway; a commit is stamped within its write, give or take.
CLOCK_SKEW: Final = timedelta(seconds=2)

CHANGES: Final = frozenset({"created", "updated", "deleted", "c", "u", "d"})
_GONE: Final = frozenset({"deleted", "d"})
_NEW: Final = frozenset({"created", "c"})
_WRITTEN: Final = CHANGES - _GONE
_NEVER_SENT: Final = frozenset({WriteState.REJECTED, WriteState.FAILED})
_REPLAY_TO_COME: Final = frozenset({WriteState.APPLIED, WriteState.PARKED})


class RowChange(NamedTuple):
    """A captured change of one row."""

    entry: int
    """Its index in the event log."""
    operation: str
    at: datetime | None
    """When it was committed, by the database's clock."""
    transaction: str = ""
    """Names its transaction; empty when the source has none."""
    after: Mapping[str, Any] = {}
    """JSON values of the row by the contract's names; empty when it is gone."""
    changed: frozenset[str] = frozenset()
    """Fields that are known to hold another value than before."""


class Echo(Enum):
    """What a change is to a replay that the gateway sent."""

    MARKED = "it carries the replay's mark"
    SAME = "the row holds what the replay wrote, at its time"
    POSSIBLE = "it came at the replay's time; its values do not tell"
    NONE = "no replay of ours made it"


_RANKS: Final = list(Echo)


class Heard(NamedTuple):
    """The verdict about one change."""

    echo: Echo
    intent_id: str | None = None
    """The write whose replay it may be."""


def under_way(
    write: JournalledWrite, at: datetime, now: datetime, skew: timedelta = CLOCK_SKEW
) -> bool:
    """Return whether a change at `at` may be what the write did, on either side."""
    if write.state in _NEVER_SENT:
        return False
    ended = write.settled_at or now
    if write.state in _REPLAY_TO_COME:
        ended = now
    return write.intent.opened_at - skew <= at <= ended + skew


def declared_values(
    route: Route, rules: ReconciliationRules, request: HttpRequest
) -> Mapping[str, Any] | None:
    """Return what the row should hold after `request`, by the contract's names of fields.

    `dual.read.compare` pairs the request's body with the entity, and `reconcile.fields` the entity
    with the row; without `compare`, members of the body count as the entity's members of the same
    name. Ids are left out: each side has its own. None when nothing can be compared, or when a pair
    that `compare` declares cannot.
    """
    read = route.dual.read
    pairs = {} if read is None else read.compare
    declared = bool(pairs)
    values: dict[str, Any] = {}
    for theirs, ours in (pairs or {name: name for name in rules.fields}).items():
        if ours in route.ids.request:
            continue
        field, span = rules.fields.get(theirs), find_value(request.body, ours)
        if field is None or span is None:
            if declared:
                return None
            continue
        try:
            values[field] = orjson.loads(request.body[span[0] : span[1]])
        except orjson.JSONDecodeError:
            return None
    return values or None


def shows(change: RowChange, method: bytes, values: Mapping[str, Any] | None) -> bool | None:
    """Return whether the row is, after `change`, what a write wants; None when that is open."""
    if method == b"DELETE":
        return change.operation in _GONE
    if change.operation in _GONE:
        return False
    if not values or not values.keys() <= change.after.keys():
        return None
    return all(_equal(change.after[name], value) for name, value in values.items())


def evidence_of(
    write: JournalledWrite,
    changes: Sequence[RowChange],
    others: Iterable[JournalledWrite],
    values: Mapping[str, Any] | None,
    *,
    now: datetime,
    quiet: timedelta,
    skew: timedelta = CLOCK_SKEW,
) -> RowChange | None:
    """Return the change by which a write in doubt is known to have happened; None: not known.

    `changes` are all of its key's row since it was opened, `others` the writes of its lane. All
    that was changed since must be one transaction, after which the row holds what was asked for,
    and which brought at least one of these values: a row that held them before tells nothing. It
    must have come before the authority was quiet, and while no other write was under way.
    """
    since = write.intent.opened_at - skew
    until = (write.settled_at or write.intent.opened_at) + quiet + skew
    found = [change for change in changes if change.at is None or change.at >= since]
    if not found or any(change.at is None or change.at > until for change in found):
        return None
    last = found[-1]
    if len(found) > 1 and {change.transaction for change in found} != {last.transaction or None}:
        return None
    if any(change.operation not in CHANGES for change in found):
        return None
    method = write.intent.request.method
    if not shows(last, method, values):
        return None
    brought = any(
        change.operation in _NEW or (values is not None and change.changed & values.keys())
        for change in found
    )
    if method != b"DELETE" and not brought:
        return None
    for other in others:
        if other.intent.intent_id == write.intent.intent_id:
            continue
        if any(change.at and under_way(other, change.at, now, skew) for change in found):
            return None
    return last


def echo_of(
    change: RowChange,
    side: Side,
    writes: Iterable[tuple[JournalledWrite, Mapping[str, Any] | None]],
    *,
    now: datetime,
    mark: str | None = None,
    skew: timedelta = CLOCK_SKEW,
) -> Heard:
    """Return whether a change captured on `side` is the echo of a replay that was sent there.

    `writes` are those of its key, each with what the row should hold after it; their order does not
    matter. `mark` names the field in which the application keeps `legacy-bridge-replay`: then only
    a change that carries the id of a replay of that time is its echo, because somebody who writes
    past the gateway leaves the mark of the last replay, or none. Without it, values decide where
    they are declared, and the time alone leaves it open.

    Whoever writes past the gateway what a replay writes at the same time cannot be told from it.
    """
    best = Heard(Echo.NONE)
    if change.at is None or change.operation not in CHANGES:
        return best
    for write, values in writes:
        intent = write.intent
        if intent.authority is side or not under_way(write, change.at, now, skew):
            continue
        heard = Heard(_echo(change, write, values, mark), intent.intent_id)
        if _RANKS.index(heard.echo) < _RANKS.index(best.echo):
            best = heard
    return best


def _echo(
    change: RowChange, write: JournalledWrite, values: Mapping[str, Any] | None, mark: str | None
) -> Echo:
    method = write.intent.request.method
    # A deleted row cannot be marked any more; what it carries is from before.
    if mark is not None and change.operation in _WRITTEN:
        marked = change.after.get(mark) == write.intent.intent_id
        return Echo.MARKED if marked else Echo.NONE
    return Echo.SAME if shows(change, method, values) else Echo.POSSIBLE


def _equal(held: Any, wanted: Any) -> bool:
    """Compare as JSON; an exact number counts whether it is written as one or as text."""
    if isinstance(held, bool) or isinstance(wanted, bool):
        return held is wanted
    if isinstance(held, str) != isinstance(wanted, str):
        left, right = _number(held), _number(wanted)
        return left is not None and left == right
    return bool(held == wanted)


def _number(value: Any) -> Decimal | None:
    if not isinstance(value, str | int | float):
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None
