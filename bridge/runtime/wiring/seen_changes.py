"""Wire `seen`, the way out of doubt by captured changes: the event log and its index."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bridge.eventlog.history.desk import SearchDesk
from bridge.eventlog.history.query import LogQuery
from bridge.eventlog.history.told import Told
from bridge.eventlog.ports import EventLogReader
from bridge.gateway.reconciliation.correlation import CHANGES, RowChange
from bridge.gateway.reconciliation.rules import entity_rules
from bridge.gateway.reconciliation.seen import CapturedSeen
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, LimitExceeded, StorageUnavailable
from bridge.runtime.wiring.search import search_desk
from bridge.runtime.wiring.stores import Stores

# The follower takes in what is appended within tenths of a second.
_INDEX_WAIT_S: Final = 1.0
# Of one key since its write was opened: with more nothing can be said anyway.
_STEPS_MAX: Final = 50
# The newest entries about rows; with several sources, one of each should be among them.
_NEWEST: Final = 50


class LoggedRows:
    """`CapturedRows` over the event log."""

    def __init__(self, desk: SearchDesk, log: EventLogReader) -> None:
        self._desk = desk
        self._log = log

    def since(self, subject: str, key: str, at: datetime) -> Sequence[RowChange] | None:
        """Return all changes of a row from `at` on; None when not all are known."""
        try:
            entity = self._desk.entity(subject, key)
            self._desk.wait(wait_s=_INDEX_WAIT_S)
            history = self._desk.history(entity, steps_max=_STEPS_MAX)
            gaps = LogQuery(kinds=frozenset({EntryKind.GAP}), recorded_from=at, limit=1)
            lost = self._desk.search(gaps)
            if lost.hits or lost.cut:
                return None
        except (ConfigInvalid, LimitExceeded, StorageUnavailable):
            return None  # A key of another form, or an index that is behind or away.
        changes = []
        for step in history.steps:
            told = self._told(step.index)
            if told is None:
                return None
            moment = _moment(told.time)
            if moment is not None and moment < at:
                continue
            if told.entry.kind is not EntryKind.EVENT:
                return None  # Kept aside: what it did is not told in the contract's words.
            if told.operation in CHANGES or told.operation == "truncated":
                changed = frozenset(
                    change.name
                    for change in step.changes
                    if change.before is not None and change.after is not None
                )
                changes.append(_row_change(told, moment, changed))
        first = changes[0] if changes else None
        if history.omitted and (first is None or first.entry == history.steps[0].index):
            return None  # Some that are not shown may be of that time too.
        return changes

    def is_past(self, subject: str, at: datetime) -> bool:
        """Return whether the source of `subject` has told of something later than `at`."""
        kinds = frozenset({EntryKind.EVENT, EntryKind.PARKED})
        try:
            about = LogQuery(subjects=frozenset({subject}), kinds=kinds, limit=1)
            sources = {told.fields.get("source") for told in self._found(about)}
            later = self._found(LogQuery(time_from=at, kinds=kinds, limit=_NEWEST))
        except (ConfigInvalid, LimitExceeded, StorageUnavailable):
            return False
        # What a snapshot reads is of a time of its own.
        return any(
            told.operation != "read" and told.fields.get("source") in sources for told in later
        )

    def _found(self, query: LogQuery) -> list[Told]:
        told = (self._told(hit.index) for hit in self._desk.search(query).hits)
        return [one for one in told if one is not None]

    def _told(self, index: int) -> Told | None:
        found = self._log.read(index, 1)
        return Told(found[0]) if found and found[0].leaf_index == index else None


def captured_seen(stores: Stores) -> CapturedSeen | None:
    """Return what finds captured changes of writes in doubt; None where nothing is captured."""
    if not stores.settings.sources:
        return None
    return CapturedSeen(
        rules=lambda: entity_rules(stores.routes()),
        rows=LoggedRows(search_desk(stores), stores.event_log()),
        writes=stores.desk(),
        ids=stores.journal(),
    )


def _row_change(told: Told, at: datetime | None, changed: frozenset[str]) -> RowChange:
    legacy = told.fields.get("legacy")
    place = legacy if isinstance(legacy, dict) else {}
    after = told.data.get("after")
    return RowChange(
        entry=told.entry.leaf_index,
        operation=told.operation or "",
        at=at,
        transaction=f"{place.get('xid', '')}@{place.get('lsn', '')}" if "xid" in place else "",
        after=after if isinstance(after, dict) else {},
        changed=changed,
    )


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
