"""What polling knows about the rows of one source, in one SQLite file.

A row costs its key and about forty bytes. The file holds keys of legacy rows, so its owner alone
may read it.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bridge.capture.polling.ports import KnownRow, RowMarks, ScanMark
from bridge.capture.polling.scalars import format_scalar, parse_scalar
from bridge.model.errors import LogCorrupt
from bridge.storage.sqlite_file import explained, one_commit, open_store

APPLICATION_ID = 0x4C42_504D  # "LBPM"
SCHEMA_VERSION = 1

SCHEMA = """
CREATE TABLE rows (
    name TEXT NOT NULL,
    row_key TEXT NOT NULL,
    digest BLOB NOT NULL,
    seen INTEGER NOT NULL,
    missed INTEGER NOT NULL,
    PRIMARY KEY (name, row_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE scans (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    after TEXT,
    finished INTEGER NOT NULL
) STRICT;
CREATE TABLE log_version (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    staged_version INTEGER,
    staged TEXT
) STRICT;
INSERT INTO log_version VALUES (1, 0, NULL, NULL)
"""

LOAD_VERSION = "SELECT version, staged_version, staged FROM log_version"
STAGE = "UPDATE log_version SET staged_version = ?, staged = ?"
TAKE_OVER = "UPDATE log_version SET version = ?, staged_version = NULL, staged = NULL"
FORGET_STAGED = "UPDATE log_version SET staged_version = NULL, staged = NULL"
# Keys are passed as one JSON array, whatever their number.
KNOWN = """
SELECT row_key, digest, seen, missed FROM rows
WHERE name = ? AND row_key IN (SELECT value FROM json_each(?))
"""
REPORT = """
INSERT INTO rows VALUES (?, ?, ?, ?, 0)
ON CONFLICT (name, row_key) DO UPDATE SET digest = excluded.digest, seen = excluded.seen, missed = 0
"""
MEET = """
UPDATE rows SET seen = ?, missed = 0
WHERE name = ? AND row_key IN (SELECT value FROM json_each(?))
"""
MISS = "UPDATE rows SET missed = 1 WHERE name = ? AND row_key IN (SELECT value FROM json_each(?))"
REMOVE = "DELETE FROM rows WHERE name = ? AND row_key IN (SELECT value FROM json_each(?))"
UNMET = """
SELECT row_key, digest, seen, missed FROM rows
WHERE name = ? AND row_key > ? AND seen < ? ORDER BY row_key LIMIT ?
"""
FORGET_UNMET = "DELETE FROM rows WHERE name = ? AND seen < ?"
LOAD_SCAN = "SELECT number, after, finished FROM scans WHERE name = ?"
STORE_SCAN = "INSERT OR REPLACE INTO scans VALUES (?, ?, ?, ?)"


class SqlitePollMemory:
    """A `PollMemory` over the SQLite file at `path`, which is made when it is missing.

    Raises:
        StorageUnavailable: the file cannot be opened.
        ConfigInvalid: the file is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection = open_store(
            path,
            "memory of polled rows",
            application_id=APPLICATION_ID,
            version=SCHEMA_VERSION,
            script=SCHEMA,
        )

    def stage(self, version: int, marks: Sequence[RowMarks]) -> None:
        """Keep `marks` durably for when the log's cursor is at `version`."""
        text = json.dumps([_form(one) for one in marks], separators=(",", ":"))
        with self._writing() as connection:
            connection.execute(STAGE, (version, text))

    def settle(self, version: int) -> None:
        """Take over what is staged under `version`, or forget it; see `PollMemory.settle`."""
        with self._writing() as connection:
            own, staged_version, staged = connection.execute(LOAD_VERSION).fetchone()
            if version == own:
                if staged_version is not None:
                    connection.execute(FORGET_STAGED)
                return
            if version != staged_version:
                raise LogCorrupt(
                    f"cannot use memory of polled rows {str(self.path)!r}: it belongs to version "
                    f"{own} of the source's cursor, the event log is at version {version}; "
                    "restore both from the same backup, or give the source a new name, under "
                    "which all its rows are read again"
                )
            for form in json.loads(staged):
                _apply(connection, _marks(form))
            connection.execute(TAKE_OVER, (version,))

    def note(self, marks: RowMarks) -> None:
        """Remember what no event tells about."""
        with self._writing() as connection:
            _apply(connection, marks)

    def known(self, table: str, keys: Sequence[str]) -> dict[str, KnownRow]:
        """Return what is known about these rows."""
        with self._reading() as connection:
            found = connection.execute(KNOWN, (table, json.dumps(list(keys))))
            return {
                key: KnownRow(digest, seen, bool(missed)) for key, digest, seen, missed in found
            }

    def scan(self, table: str) -> ScanMark:
        """Return the table's last scan."""
        with self._reading() as connection:
            row = connection.execute(LOAD_SCAN, (table,)).fetchone()
        if row is None:
            return ScanMark(0, None, True)
        after = None if row[1] is None else tuple(map(parse_scalar, json.loads(row[1])))
        return ScanMark(row[0], after, bool(row[2]))

    def unmet(
        self, table: str, scan: int, after: str, count_max: int
    ) -> list[tuple[str, KnownRow]]:
        """Return rows behind key `after` that no scan from `scan` on met."""
        with self._reading() as connection:
            found = connection.execute(UNMET, (table, after, scan, count_max))
            return [(key, KnownRow(digest, seen, bool(miss))) for key, digest, seen, miss in found]

    def forget_unmet(self, table: str, scan: int) -> None:
        """Forget all rows that no scan from `scan` on met."""
        with self._writing() as connection:
            connection.execute(FORGET_UNMET, (table, scan))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, explained("read memory of polled rows", self.path):
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with (
            self._lock,
            explained("write memory of polled rows", self.path),
            one_commit(self._connection),
        ):
            yield self._connection


def _apply(connection: sqlite3.Connection, marks: RowMarks) -> None:
    name, scan = marks.table, marks.scan
    connection.executemany(REPORT, [(name, key, digest, scan) for key, digest in marks.reported])
    if marks.met:
        connection.execute(MEET, (scan, name, json.dumps(marks.met)))
    if marks.missed:
        connection.execute(MISS, (name, json.dumps(marks.missed)))
    if marks.removed:
        connection.execute(REMOVE, (name, json.dumps(marks.removed)))
    if marks.mark is not None:
        number, after, finished = marks.mark
        text = None if after is None else json.dumps([format_scalar(value) for value in after])
        connection.execute(STORE_SCAN, (name, number, text, int(finished)))


def _form(marks: RowMarks) -> dict[str, Any]:
    form = asdict(marks)
    form["reported"] = [[key, digest.hex()] for key, digest in marks.reported]
    if marks.mark is not None:
        number, after, finished = marks.mark
        form["mark"] = [number, after and [format_scalar(value) for value in after], finished]
    return form


def _marks(form: dict[str, Any]) -> RowMarks:
    mark = form.pop("mark")
    reported = [(key, bytes.fromhex(digest)) for key, digest in form.pop("reported")]
    return RowMarks(
        **form,
        reported=reported,
        mark=mark and ScanMark(mark[0], mark[1] and tuple(map(parse_scalar, mark[1])), mark[2]),
    )
