"""Findings, walks and bypasses in a SQLite file of their own.

All of it can be found again by another walk, so that commits do not wait for the disk; what was
decided about a finding is in the event log too.
"""

import json
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.gateway.reconciliation.findings import (
    Bypass,
    Divergence,
    Finding,
    FindingState,
    Progress,
    RangeDigest,
)
from bridge.gateway.reconciliation.ports import KeyPlace
from bridge.model.stage import Side
from bridge.storage.reconciliation import sql
from bridge.storage.sqlite_file import explained, one_commit, open_store

APPLICATION_ID = 0x4C42_5243  # "LBRC"
SCHEMA_VERSION = 1


class SqliteFindingStore:
    """`FindingStore` over the SQLite file at `path`, which is made when it is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection = open_store(
            path,
            "findings",
            application_id=APPLICATION_ID,
            version=SCHEMA_VERSION,
            script=sql.SCHEMA,
            pragma="synchronous=NORMAL",
        )

    def found(self, finding: Finding) -> None:
        """Keep a finding."""
        row = (
            finding.group,
            finding.entity,
            finding.key,
            finding.divergence.value,
            finding.authority.value,
            finding.digest_authority,
            finding.digest_other,
            json.dumps(finding.fields),
            finding.found_at.timestamp(),
            finding.seen_at.timestamp(),
            finding.origin,
        )
        with self._changing("keep a finding in"):
            self._connection.execute(sql.PUT_FINDING, row)

    def agrees(
        self, group: str, entity: str, key: str, origins: Collection[str] | None = None
    ) -> bool:
        """Forget the finding of an entity that no longer differs."""
        # Nearly always there is none: looking is cheaper than a transaction.
        found = self.finding(group, entity, key)
        if found is None or (origins is not None and found.origin not in origins):
            return False
        with self._changing("forget a finding in"):
            return self._connection.execute(sql.DROP_FINDING, (group, entity, key)).rowcount > 0

    def finding(self, group: str, entity: str, key: str) -> Finding | None:
        """Return one finding."""
        rows = self._rows(sql.FINDING, (group, entity, key))
        return _finding(rows[0]) if rows else None

    def findings(
        self,
        *,
        group: str | None = None,
        entity: str | None = None,
        state: FindingState | None = None,
        count_max: int = 100,
    ) -> Sequence[Finding]:
        """Return findings, newest first."""
        rows = self._rows(sql.FINDINGS, (group, entity, state and state.value, count_max))
        return [_finding(row) for row in rows]

    def counts(self) -> Sequence[tuple[str, str, FindingState, int]]:
        """Return how many findings there are by group, entity and state."""
        rows = self._rows(sql.COUNTS, ())
        return [(group, entity, FindingState(state), n) for group, entity, state, n in rows]

    def mark(
        self,
        group: str,
        entity: str,
        key: str,
        state: FindingState,
        *,
        repair: str | None = None,
        reason: str | None = None,
    ) -> bool:
        """Set a finding's state."""
        with self._changing("mark a finding in"):
            row = (group, entity, key, state.value, repair, reason)
            return self._connection.execute(sql.MARK, row).rowcount > 0

    def progress(self) -> Sequence[Progress]:
        """Return where every walk stands."""
        return [
            Progress._make((*row[:8], _time(row[8]), _time(row[9])))
            for row in self._rows(sql.PROGRESS, ())
        ]

    def move(self, progress: Progress, digest: RangeDigest | None = None) -> None:
        """Keep where a walk stands, and the digest of the range that it has read."""
        row = (*progress[:8], _seconds(progress.began_at), _seconds(progress.moved_at))
        with self._changing("move a walk in"):
            self._connection.execute(sql.PUT_PROGRESS, row)
            if digest is not None:
                self._connection.execute(sql.PUT_RANGE, (*digest[:8], digest.at.timestamp()))

    def ranges(self, group: str, entity: str, count_max: int = 100) -> Sequence[RangeDigest]:
        """Return the newest ranges first."""
        rows = self._rows(sql.RANGES, (group, entity, count_max))
        return [RangeDigest._make((*row[:8], datetime.fromtimestamp(row[8], UTC))) for row in rows]

    def cursor(self, name: str) -> int:
        """Return a reader's place in the event log."""
        rows = self._rows(sql.CURSOR, (name,))
        return int(rows[0][0]) if rows else 0

    def seen(
        self, name: str, cursor: int, keys: Sequence[tuple[str, str]], bypasses: Sequence[Bypass]
    ) -> None:
        """Move a reader's place, and with it keep captured keys and bypasses."""
        with self._changing("keep captured keys in"):
            self._connection.execute(sql.PUT_CURSOR, (name, cursor))
            self._connection.executemany(sql.PUT_KEY, keys)
            self._connection.executemany(sql.ADD_BYPASS, [_bypass_row(one) for one in bypasses])

    def captured_keys(self, subject: str, after: int, count_max: int) -> Sequence[KeyPlace]:
        """Return captured keys of a subject behind the place `after`."""
        return [KeyPlace(*row) for row in self._rows(sql.KEYS, (subject, after, count_max))]

    def bypasses(self, *, group: str | None = None, count_max: int = 100) -> Sequence[Bypass]:
        """Return bypasses, newest first."""
        return [
            Bypass._make((*row[:3], _at(row[3]), row[4], _at(row[5]), _at(row[6]), *row[7:]))
            for row in self._rows(sql.BYPASSES, (group, count_max))
        ]

    def prune(self, before: datetime) -> int:
        """Forget bypasses and ranges from before."""
        with self._changing("prune findings in"):
            execute, limit = self._connection.execute, (before.timestamp(),)
            return (
                execute(sql.PRUNE_BYPASSES, limit).rowcount
                + execute(sql.PRUNE_RANGES, limit).rowcount
            )

    def close(self) -> None:
        """Release the file; may be called twice."""
        with self._lock:
            self._connection.close()

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock, explained("read findings in", self.path):
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _changing(self, what: str) -> Iterator[None]:
        with self._lock, explained(what, self.path), one_commit(self._connection):
            yield


def _finding(row: tuple[Any, ...]) -> Finding:
    return Finding(
        group=row[0],
        entity=row[1],
        key=row[2],
        divergence=Divergence(row[3]),
        authority=Side(row[4]),
        digest_authority=row[5],
        digest_other=row[6],
        fields=tuple(json.loads(row[7])),
        found_at=datetime.fromtimestamp(row[8], UTC),
        seen_at=datetime.fromtimestamp(row[9], UTC),
        origin=row[10],
        state=FindingState(row[11]),
        repair=row[12],
        reason=row[13],
    )


def _bypass_row(one: Bypass) -> tuple[object, ...]:
    return (
        *one[:3],
        one.hour.timestamp(),
        one.changes,
        one.first_at.timestamp(),
        one.last_at.timestamp(),
        one.key,
        one.entry,
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
