"""Retention: keys whose records are old enough are destroyed; entries stay, and proofs with them.

A data key covers one calendar year (UTC) of a person's records of one class. It is destroyed when
the last moment of that year is `keep_days` ago, so a record is readable for at least `keep_days`,
and for at most a year longer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from bridge.eventlog.keeping.ports import DataKey, SubjectKeyStore
from bridge.eventlog.ports import EventLogWriter
from bridge.eventlog.records.action_record import action_draft
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, HeldBack
from bridge.model.warrant import Outcome

KEYS_PER_ENTRY: Final = 1_000
"""A leaf names them all, and has room for three times as many."""


class Floor(NamedTuple):
    """How long some law wants records to be kept at least."""

    days: int
    source: str


FLOORS: Final[Mapping[str, Floor]] = {
    "jp-electronic-books": Floor(
        2_557,
        "Japan: 7 years, Corporation Tax Act Enforcement Regulations art. 59 and 67; Electronic "
        "Books Preservation Act art. 4 and 7 (10 years where a loss is carried forward)",
    ),
    "jp-companies-act": Floor(3_653, "Japan: 10 years, Companies Act art. 432 (2)"),
    "de-books": Floor(3_653, "Germany: 10 years, HGB section 257 (4), AO section 147 (3)"),
    "de-vouchers": Floor(2_922, "Germany: 8 years since 2025, HGB section 257 (4), AO 147 (3)"),
    "uk-accounting-records": Floor(2_192, "United Kingdom: 6 years, Companies Act 2006 s. 388 (4)"),
    "us-audit-records": Floor(2_557, "United States: 7 years, 17 CFR 210.2-06 (18 U.S.C. 1520)"),
    "pci-audit-trail": Floor(365, "PCI DSS 4.0 requirement 10.5.1: 12 months"),
}
"""Floors by name. They help to remember; which of them binds you, your lawyers say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRule:
    """How long records of one class stay readable."""

    keep_days: int
    floors: tuple[str, ...] = ()


def refuse_below_floors(
    rules: Mapping[str, ClassRule], floors: Mapping[str, Floor] = FLOORS
) -> None:
    """Raise `ConfigInvalid` for the first rule that keeps records for less than its floor."""
    for name, rule in sorted(rules.items()):
        for floor_name in rule.floors:
            floor = floors.get(floor_name)
            if floor is None:
                raise ConfigInvalid(
                    f"cannot keep class {name!r} by floor {floor_name!r}: known are "
                    f"{', '.join(sorted(floors))}; name others in event_log.floors"
                )
            if rule.keep_days < floor.days:
                raise ConfigInvalid(
                    f"cannot start: class {name!r} keeps records for {rule.keep_days} days, floor "
                    f"{floor_name!r} asks for at least {floor.days} ({floor.source}); raise "
                    f"event_log.retention.{name}.keep_days"
                )


def due_before(today: date, keep_days: int) -> int:
    """Return the first year whose records may still be kept: older ones are due."""
    year = today.year + 1
    while date(year, 1, 1) + timedelta(days=keep_days) > today:
        year -= 1
    # Records of `year - 1` ended with that first of January.
    return year


class Retention:
    """Destroys what is due. Who calls holds the lock of keeping."""

    def __init__(
        self,
        store: SubjectKeyStore,
        log: EventLogWriter,
        rules: Mapping[str, ClassRule],
        clock: Callable[[], datetime],
    ) -> None:
        """`rules` are not below their floors (`refuse_below_floors`)."""
        self._store = store
        self._log = log
        self._rules = rules
        self._clock = clock

    def run(self) -> dict[str, int]:
        """Destroy keys of all classes that are due; return how many by class.

        The entry is appended first and names its keys: after a crash in between, whoever brings
        the store up to the log destroys them.
        """
        now = self._clock()
        destroyed = {}
        for name, rule in sorted(self._rules.items()):
            before = due_before(now.astimezone(UTC).date(), rule.keep_days)
            held = self._store.held(name, before)
            if held:
                self._record_held(name, rule, before, held, now)
            count = 0
            while due := self._store.due(name, before, KEYS_PER_ENTRY):
                entry_id = self._record(name, rule, due, held, now)
                count += self._store.destroy([key.key_id for key in due], entry_id)
            destroyed[name] = count
        return destroyed

    def _record_held(
        self, name: str, rule: ClassRule, before: int, held: int, now: datetime
    ) -> None:
        """Record, once for each number of keys and year, that holds go before this rule."""
        self._log.append(
            [
                action_draft(
                    EntryKind.RETENTION,
                    "retain",
                    None,
                    at=now,
                    outcome=Outcome.REFUSED,
                    error=HeldBack.__name__,
                    fields={"class": name, "keep_days": rule.keep_days, "held": held},
                    entry_id=f"retention-held:{name}:{before}:{held}",
                )
            ]
        )

    def _record(
        self, name: str, rule: ClassRule, due: Sequence[DataKey], held: int, now: datetime
    ) -> str:
        key_ids = [key.key_id for key in due]
        digest = sha256(" ".join(key_ids).encode()).hexdigest()[:16]
        entry_id = f"retention:{name}:{due[0].period}-{due[-1].period}:{digest}"
        fields = {
            "class": name,
            "keep_days": rule.keep_days,
            "keys": key_ids,
            "held": held,
            "periods": [due[0].period, due[-1].period],
        }
        self._log.append(
            [
                action_draft(
                    EntryKind.RETENTION, "retain", None, at=now, fields=fields, entry_id=entry_id
                )
            ]
        )
        return entry_id
