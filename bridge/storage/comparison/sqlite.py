"""Counts and samples of comparisons in a SQLite file of their own.

Losing the last second of counts to a power cut makes a verdict a second later: commits do not wait
for the disk.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.gateway.comparison.ports import RouteNews, Series
from bridge.gateway.comparison.samples import Sample
from bridge.gateway.comparison.tally import Tally
from bridge.storage.comparison.limits import CLASS_SAMPLES_MAX, ROUTE_SAMPLES_MAX
from bridge.storage.sqlite_file import explained, one_commit, open_store

APPLICATION_ID = 0x4C42_434D  # "LBCM"
SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE series (
    series_id INTEGER PRIMARY KEY,
    route TEXT NOT NULL,
    rules TEXT NOT NULL,
    began_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    UNIQUE (route, rules)
) STRICT;
CREATE TABLE counts (
    series_id INTEGER NOT NULL REFERENCES series ON DELETE CASCADE,
    name TEXT NOT NULL,
    of TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (series_id, name, of)
) STRICT, WITHOUT ROWID;
CREATE TABLE samples (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    sample_id TEXT NOT NULL UNIQUE,
    route TEXT NOT NULL,
    difference TEXT NOT NULL,
    made_at REAL NOT NULL,
    document BLOB NOT NULL
) STRICT;
CREATE INDEX samples_of_a_class ON samples (route, difference, number)
"""

PUT_SERIES = """
INSERT INTO series (route, rules, began_at, changed_at) VALUES (?, ?, ?, ?)
ON CONFLICT (route, rules) DO UPDATE SET changed_at = excluded.changed_at RETURNING series_id
"""
ADD_COUNT = """
INSERT INTO counts VALUES (?, ?, ?, ?)
ON CONFLICT (series_id, name, of) DO UPDATE SET count = count + excluded.count
"""
PUT_SAMPLE = """
INSERT OR IGNORE INTO samples (sample_id, route, difference, made_at, document)
VALUES (?, ?, ?, ?, ?)
"""
TRIM_CLASS = """
DELETE FROM samples WHERE route = ?1 AND difference = ?2 AND number NOT IN (
    SELECT number FROM samples WHERE route = ?1 AND difference = ?2 ORDER BY number DESC LIMIT ?3)
"""
TRIM_ROUTE = """
DELETE FROM samples WHERE route = ?1 AND number NOT IN (
    SELECT number FROM samples WHERE route = ?1 ORDER BY number DESC LIMIT ?2)
"""
ALL_SERIES = "SELECT route, rules, began_at, changed_at FROM series ORDER BY changed_at DESC, route"
COUNTS = """
SELECT name, of, count FROM counts JOIN series USING (series_id) WHERE route = ? AND rules = ?
"""
_SAMPLE = "SELECT sample_id, route, difference, made_at, document FROM samples"
SAMPLES = f"""
{_SAMPLE} WHERE (?1 IS NULL OR route = ?1) AND (?2 IS NULL OR instr(difference, ?2) > 0)
ORDER BY number DESC LIMIT ?3
"""
ONE_SAMPLE = f"{_SAMPLE} WHERE sample_id = ?"
END_COUNTS = "DELETE FROM counts WHERE series_id IN (SELECT series_id FROM series WHERE route = ?)"
END_SERIES = "DELETE FROM series WHERE route = ?"
END_SAMPLES = "DELETE FROM samples WHERE route = ?"
PRUNE_SAMPLES = "DELETE FROM samples WHERE made_at < ?"
PRUNE_COUNTS = """
DELETE FROM counts WHERE series_id IN (SELECT series_id FROM series WHERE changed_at < ?)
"""
PRUNE_SERIES = "DELETE FROM series WHERE changed_at < ?"


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class SqliteComparisonStore:
    """`ComparisonStore` over the SQLite file at `path`, which is made when it is missing."""

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._connection = open_store(
            path,
            "comparisons",
            application_id=APPLICATION_ID,
            version=SCHEMA_VERSION,
            script=SCHEMA,
            pragma="synchronous=NORMAL",
        )

    def add(self, news: Sequence[RouteNews]) -> None:
        """Add counts and samples, in one commit."""
        now = self._clock().timestamp()
        with self._changing("add comparisons to"):
            for one in news:
                self._add(one, now)

    def _add(self, news: RouteNews, now: float) -> None:
        execute = self._connection.execute
        row = execute(PUT_SERIES, (news.route, news.rules, now, now)).fetchone()
        self._connection.executemany(
            ADD_COUNT, [(row[0], name, of, count) for (name, of), count in news.counts.items()]
        )
        for sample in news.samples:
            execute(
                PUT_SAMPLE,
                (
                    sample.sample_id,
                    sample.route,
                    sample.difference,
                    sample.made_at,
                    sample.document,
                ),
            )
            execute(TRIM_CLASS, (sample.route, sample.difference, CLASS_SAMPLES_MAX))
        if news.samples:
            execute(TRIM_ROUTE, (news.route, ROUTE_SAMPLES_MAX))

    def series(self) -> Sequence[Series]:
        """Return the open series, newest change first."""
        return [
            Series(route, rules, _time(began_at), _time(changed_at))
            for route, rules, began_at, changed_at in self._rows(ALL_SERIES, ())
        ]

    def counts(self, route: str, rules: str) -> Tally:
        """Return the counts of the open series; empty when there is none."""
        rows = self._rows(COUNTS, (route, rules))
        return Tally({(name, of): count for name, of, count in rows})

    def samples(
        self, *, route: str | None = None, difference: str | None = None, count_max: int = 50
    ) -> Sequence[Sample]:
        """Return samples, newest first."""
        return [_sample(*row) for row in self._rows(SAMPLES, (route, difference, count_max))]

    def sample(self, sample_id: str) -> Sample | None:
        """Return one sample."""
        rows = self._rows(ONE_SAMPLE, (sample_id,))
        return _sample(*rows[0]) if rows else None

    def restart(self, route: str) -> int:
        """Begin the route's counts anew and forget its samples."""
        with self._changing("restart comparisons in"):
            execute = self._connection.execute
            execute(END_SAMPLES, (route,))
            execute(END_COUNTS, (route,))
            return execute(END_SERIES, (route,)).rowcount

    def prune(self, before: datetime) -> int:
        """Forget samples made before, and series that have not changed since."""
        limit = before.timestamp()
        with self._changing("prune comparisons in"):
            execute = self._connection.execute
            execute(PRUNE_COUNTS, (limit,))
            return (
                execute(PRUNE_SAMPLES, (limit,)).rowcount + execute(PRUNE_SERIES, (limit,)).rowcount
            )

    def close(self) -> None:
        """Release the file; may be called twice."""
        with self._lock:
            self._connection.close()

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock, explained("read comparisons in", self.path):
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _changing(self, what: str) -> Iterator[None]:
        with self._lock, explained(what, self.path), one_commit(self._connection):
            yield


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _sample(sample_id: str, route: str, difference: str, made_at: float, document: bytes) -> Sample:
    return Sample(
        sample_id=sample_id,
        route=route,
        difference=difference,
        made_at=made_at,
        document=document,
    )
