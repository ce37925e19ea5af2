"""What capture saw of the tables behind a group: their keys, and who wrote past the gateway.

A change of a captured table belongs to a write of the journal when one of its key was under way as
the change was committed: a client's own, or the replay that brought it there (its echo, see
`correlation`). What belongs to none was written past the gateway, and is counted by table and hour.
What a snapshot read and what happened before the group was journalled is not judged. Two changes of
one key at the same moment, one of them past the gateway, can be told apart only where the row keeps
the mark of replays; elsewhere the walk finds what that did.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

from bridge.eventlog.history.told import Told
from bridge.eventlog.ports import EventLogReader
from bridge.gateway.reconciliation.after_writes import FinishedWrites
from bridge.gateway.reconciliation.correlation import (
    CHANGES,
    CLOCK_SKEW,
    Echo,
    RowChange,
    declared_values,
    echo_of,
    under_way,
)
from bridge.gateway.reconciliation.findings import Bypass
from bridge.gateway.reconciliation.ports import FindingStore
from bridge.gateway.reconciliation.rules import EntityRule
from bridge.model.stage import Side
from bridge.model.write import JournalledWrite

CURSOR: Final = "captured"
# Read at once: some hundred kilobytes.
ENTRIES_COUNT_MAX: Final = 500
# The journal remembers what is done for a day; changes older than that cannot be judged.
REMEMBERED: Final = timedelta(hours=23)
# Of one key: more writes within the minutes that are looked at would queue for their lane.
_WRITES_COUNT_MAX: Final = 50


class KeyedChange(NamedTuple):
    """A change of a captured row that is an entity."""

    rule: EntityRule
    key: str
    operation: str
    at: datetime | None
    entry: int
    after: Mapping[str, Any] = {}
    """The row after it, as the event has it."""


class JournalledSince(Protocol):
    """Since when a group's writes are journalled."""

    def __call__(self, group: str) -> datetime | None:
        """Return when the present stretch began; None while they are not."""


class CapturedReader:
    """Follows the event log; one at a time."""

    def __init__(
        self,
        *,
        log: EventLogReader,
        rules: Callable[[], Sequence[EntityRule]],
        lane: Callable[[EntityRule, str], str],
        writes: FinishedWrites,
        since: JournalledSince,
        store: FindingStore,
        now: Callable[[], datetime],
    ) -> None:
        """`lane` names the lane of an entity's writes."""
        self._log = log
        self._rules = rules
        self._lane = lane
        self._writes = writes
        self._since = since
        self._store = store
        self._now = now

    def step(self) -> int:
        """Read on; return how many entries were read, 0 at the log's end. Blocking.

        Raises:
            StorageUnavailable: the log, the journal or the findings cannot be read or written.
        """
        rules = {
            rule.route.reconcile.subject: rule
            for rule in self._rules()
            if rule.route.reconcile.subject is not None
        }
        start = self._store.cursor(CURSOR)
        entries = self._log.read(start, ENTRIES_COUNT_MAX)
        if not entries:
            return 0
        changes = []
        for entry in entries:
            told = Told(entry)
            if told.is_about_row and (rule := rules.get(told.subject or "")) is not None:
                change = _keyed(rule, told)
                if change is not None:
                    changes.append(change)
        bypasses = [_bypass(change) for change, past in self._judged(changes) if past]
        keys = list(
            dict.fromkeys((one.rule.route.reconcile.subject or "", one.key) for one in changes)
        )
        self._store.seen(CURSOR, entries[-1].leaf_index + 1, keys, _summed(bypasses))
        return len(entries)

    def _judged(self, changes: Sequence[KeyedChange]) -> list[tuple[KeyedChange, bool]]:
        now, known = self._now(), dict[tuple[str, str], Sequence[JournalledWrite]]()
        since: dict[str, datetime | None] = {}
        judged = []
        for change in changes:
            group = change.rule.group
            if group not in since:
                since[group] = self._since(group)
            began, at = since[group], change.at
            if at is None or change.operation not in CHANGES or began is None:
                continue
            if at < began + CLOCK_SKEW or at < now - REMEMBERED:
                continue
            lane = self._lane(change.rule, change.key)
            if (group, lane) not in known:
                known[group, lane] = self._writes.list_writes(
                    group=group, lane=lane, count_max=_WRITES_COUNT_MAX
                )
            judged.append((change, _past_gateway(change, at, known[group, lane], now)))
        return judged


def _past_gateway(
    change: KeyedChange, at: datetime, writes: Sequence[JournalledWrite], now: datetime
) -> bool:
    """Return whether no write of the journal made the change, as a client's own or as its echo."""
    # Captured tables are legacy's.
    if any(one.intent.authority is Side.LEGACY and under_way(one, at, now) for one in writes):
        return False
    rule, rules = change.rule, change.rule.route.reconcile
    replays = []
    for write in writes:
        route = rule.others.get(write.intent.route)
        request = write.intent.request
        values = None if route is None else declared_values(route, rules, request)
        replays.append((write, values))
    row = RowChange(change.entry, change.operation, at, after=change.after)
    return echo_of(row, Side.LEGACY, replays, now=now, mark=rules.mark).echo is Echo.NONE


def _keyed(rule: EntityRule, told: Told) -> KeyedChange | None:
    key = _key(rule.route.reconcile.subject_key, told.data.get("key"))
    if key is None or told.operation is None:
        return None
    after = told.data.get("after")
    return KeyedChange(
        rule,
        key,
        told.operation,
        _time(told.time),
        told.entry.leaf_index,
        after if isinstance(after, Mapping) else {},
    )


def _key(name: str | None, given: Any) -> str | None:
    """Return the entity's id out of an event's key."""
    if isinstance(given, Mapping):
        if name is not None:
            given = given.get(name)
        else:
            given = next(iter(given.values())) if len(given) == 1 else None
    if isinstance(given, bool) or not isinstance(given, int | str):
        return None
    return str(given)


def _time(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None


def _bypass(change: KeyedChange) -> Bypass:
    assert change.at is not None, "only changes with a time are judged"
    return Bypass(
        change.rule.group,
        change.rule.entity,
        change.rule.route.reconcile.subject or "",
        change.at.replace(minute=0, second=0, microsecond=0),
        1,
        change.at,
        change.at,
        change.key,
        change.entry,
    )


def _summed(bypasses: Sequence[Bypass]) -> list[Bypass]:
    found: dict[tuple[str, str, str, datetime], Bypass] = {}
    for one in bypasses:
        known = found.get(one[:4])
        if known is not None:
            one = one._replace(
                changes=known.changes + 1,
                first_at=min(known.first_at, one.first_at),
                last_at=max(known.last_at, one.last_at),
            )
        found[one[:4]] = one
    return list(found.values())
