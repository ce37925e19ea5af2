"""Out of doubt by what capture has seen: `bridge.gateway.dual.ports.SeenChanges`."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from bridge.gateway.dual.ports import IdMap
from bridge.gateway.reconciliation.after_writes import FinishedWrites
from bridge.gateway.reconciliation.correlation import (
    CLOCK_SKEW,
    RowChange,
    declared_values,
    evidence_of,
)
from bridge.gateway.reconciliation.rules import EntityRule
from bridge.gateway.routes.route import KeyPlace, Route
from bridge.model.stage import Side
from bridge.model.write import JournalledWrite

# Writes of one lane around one in doubt, which holds the lane: more than these are long ago.
_WRITES_COUNT_MAX: Final = 50


class CapturedRows(Protocol):
    """Changes of legacy's tables, as the event log has them; blocking."""

    def since(self, subject: str, key: str, at: datetime) -> Sequence[RowChange] | None:
        """Return all changes of a row from `at` on, in the order of the log.

        None when not all of them are known: capture is not past `at` yet, the index is behind, a
        change was kept aside or lost.
        """

    def is_past(self, subject: str, at: datetime) -> bool:
        """Return whether capture of the table's source has come to something later than `at`."""


def _now() -> datetime:
    return datetime.now(UTC)


class CapturedSeen:
    """Finds the change that a write in doubt made on legacy; one may be shared by threads."""

    def __init__(
        self,
        *,
        rules: Callable[[], Sequence[EntityRule]],
        rows: CapturedRows,
        writes: FinishedWrites,
        ids: IdMap,
        now: Callable[[], datetime] = _now,
        skew: timedelta = CLOCK_SKEW,
    ) -> None:
        """`skew` is how far the clocks of database and gateway may be apart."""
        self._rules = rules
        self._rows = rows
        self._writes = writes
        self._ids = ids
        self._now = now
        self._skew = skew

    def of(self, write: JournalledWrite, route: Route) -> str | None:
        """Return the entry that tells of the change; None: nothing is known.

        Raises:
            StorageUnavailable: the log, its index or the journal cannot be read now.
        """
        intent = write.intent
        rule, key = self._entity(route, intent.lane)
        if rule is None or key is None or intent.authority is not Side.LEGACY:
            return None
        rules = rule.route.reconcile
        assert rules.subject is not None, "only such rules are looked for"
        values = declared_values(route, rules, intent.request)
        if values is None and intent.request.method != b"DELETE":
            return None
        doubted_at = write.settled_at or intent.opened_at
        if not self._rows.is_past(rules.subject, doubted_at + self._skew):
            return None
        changes = self._rows.since(rules.subject, key, intent.opened_at - self._skew)
        if changes is None:
            return None
        others = self._writes.list_writes(
            group=intent.group, lane=intent.lane, count_max=_WRITES_COUNT_MAX
        )
        found = evidence_of(
            write,
            changes,
            others,
            values,
            now=self._now(),
            quiet=timedelta(seconds=route.dual.quiet_s(route.timeout_ms)),
            skew=self._skew,
        )
        return None if found is None else f"entry {found.entry}"

    def _entity(self, route: Route, lane: str) -> tuple[EntityRule | None, str | None]:
        """Return the entity that a lane is about, and its key in legacy's table."""
        key = route.key
        if key is None or key.place is KeyPlace.CREATED:
            return None, None  # What a create made has no key that we know.
        prefix = "" if key.entity is None else f"{key.entity}:"
        fitting = [
            rule
            for rule in self._rules()
            if rule.group == route.group
            and rule.lane_entity == key.entity
            and rule.route.reconcile.subject is not None
        ]
        if len(fitting) != 1 or not lane.startswith(prefix):
            return None, None
        known = lane.removeprefix(prefix)
        pair = None if key.entity is None else self._ids.pair(route.group, key.entity, known)
        return fitting[0], known if pair is None else pair.legacy_id
