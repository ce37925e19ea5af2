"""Data keys of persons in a SQLite file of their own, `keys.db`: wrapped, and destroyed for good.

SQLite copies rows when it splits a page, and leaves the old copies in the page's unused part, which
`secure_delete` does not reach. So the wrapped bytes stand in a table of their own that only grows
at its end, where no page is ever split, and a destroyed key is overwritten in place by zeros of the
same length. The write-ahead log, which has the pages as they were, is emptied before the call
returns. The row stays as a mark.
"""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.eventlog.keeping.ports import DataKey, Hold, OpenErasure
from bridge.model.errors import StorageUnavailable
from bridge.model.warrant import Actor, Warrant
from bridge.storage.sqlite_file import explained, one_commit, open_store

APPLICATION_ID = 0x4C42_534B  # "LBSK"
SCHEMA_VERSION = 1

# Readers hold the write-ahead log for the time of one look-up.
EMPTY_TIMEOUT_S = 5.0
_EMPTY_POLL_S = 0.01

SCHEMA = """
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    generation INTEGER NOT NULL,
    applied_through INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (1, 0, 0);
CREATE TABLE boxes (
    slot INTEGER PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT;
CREATE TABLE keys (
    key_id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    record_class TEXT NOT NULL,
    period INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    alive INTEGER NOT NULL,
    since INTEGER NOT NULL,
    ended_by TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_of_subject ON keys (subject, record_class, period);
CREATE INDEX keys_by_since ON keys (since);
CREATE INDEX keys_by_age ON keys (record_class, period) WHERE alive;
CREATE VIEW data_keys AS
SELECT key_id, subject, kind, record_class, period,
       CASE WHEN alive THEN wrapped END AS wrapped, since, ended_by, alive
  FROM keys JOIN boxes ON boxes.slot = keys.slot;
CREATE TABLE holds (
    hold_id TEXT PRIMARY KEY,
    subject TEXT,
    record_class TEXT,
    placed TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE erasures (
    number INTEGER PRIMARY KEY,
    erasure_id TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    legal_basis TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    ticket TEXT NOT NULL,
    requested TEXT NOT NULL
) STRICT
"""

_BOX = "INSERT INTO boxes SELECT coalesce(max(slot), 0) + 1, ? FROM boxes"
_ADD = """
INSERT INTO keys SELECT ?, ?, ?, ?, ?, max(slot), 1, ?, NULL FROM boxes
"""
_CURRENT = """
SELECT * FROM data_keys
 WHERE subject = ? AND record_class = ? AND period = ? AND alive LIMIT 1
"""
_GET = "SELECT * FROM data_keys WHERE key_id = ?"
_OF_SUBJECT = """
SELECT * FROM data_keys WHERE subject = ? ORDER BY record_class, period, key_id
"""
_AGED = """
  FROM data_keys AS keys
 WHERE record_class = ? AND period < ? AND alive AND {held} EXISTS (
       SELECT 1 FROM holds
        WHERE (holds.subject IS NULL OR holds.subject = keys.subject)
          AND (holds.record_class IS NULL OR holds.record_class = keys.record_class))
"""
_DUE = "SELECT * " + _AGED.format(held="NOT") + " ORDER BY period, key_id LIMIT ?"
_HELD = "SELECT count(*) " + _AGED.format(held="")
_OVERWRITE = """
UPDATE boxes SET wrapped = zeroblob(length(wrapped))
 WHERE slot = (SELECT slot FROM keys WHERE key_id = ?)
"""
_DESTROY = "UPDATE keys SET alive = 0, ended_by = ? WHERE key_id = ? AND alive"
_GROW = "UPDATE state SET generation = generation + 1"
_REWRAP = """
UPDATE boxes SET wrapped = ? WHERE slot = (SELECT slot FROM keys WHERE key_id = ? AND alive)
"""
_LIVING = """
SELECT * FROM data_keys WHERE key_id > ? AND alive ORDER BY key_id LIMIT ?
"""
_COUNTS = "SELECT coalesce(sum(alive), 0), coalesce(sum(NOT alive), 0) FROM keys"
_OPEN = "INSERT OR IGNORE INTO erasures VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class SqliteSubjectKeys:
    """`SubjectKeyStore` over the SQLite file at `path`, which is made when it is missing.

    Raises:
        StorageUnavailable: the file cannot be opened, read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection = open_store(
            path,
            "data keys",
            application_id=APPLICATION_ID,
            version=SCHEMA_VERSION,
            script=SCHEMA,
            # The connection reads as well, so its own cache is what must not keep old bytes.
            pragma="secure_delete=ON",
        )
        try:
            with explained("open data keys", path):
                self._seen = self._data_version()
                self._generation = self._stored_generation()
        except BaseException:
            self._connection.close()
            raise

    def add(self, keys: Sequence[DataKey]) -> None:
        """Keep new keys in one durable commit."""
        with self._writing("add data keys") as execute:
            for key in keys:
                if execute("SELECT 1 FROM keys WHERE key_id = ?", (key.key_id,)).fetchone() is None:
                    execute(_BOX, (key.wrapped,))
                    execute(_ADD, (*key[:5], key.since))

    def current(self, subject: str, record_class: str, period: int) -> DataKey | None:
        """Return a key of the person that is not destroyed."""
        found = self._read(_CURRENT, (subject, record_class, period))
        return _key(found[0]) if found else None

    def get(self, key_id: str) -> DataKey | None:
        """Return a key, destroyed or not."""
        found = self._read(_GET, (key_id,))
        return _key(found[0]) if found else None

    def of_subject(self, subject: str) -> list[DataKey]:
        """Return all keys of a person."""
        return [_key(row) for row in self._read(_OF_SUBJECT, (subject,))]

    def due(self, record_class: str, before_period: int, count_max: int) -> list[DataKey]:
        """Return living keys of old periods that no hold covers."""
        rows = self._read(_DUE, (record_class, before_period, count_max))
        return [_key(row) for row in rows]

    def held(self, record_class: str, before_period: int) -> int:
        """Return how many keys `due` leaves out."""
        return int(self._read(_HELD, (record_class, before_period))[0][0])

    def destroy(self, key_ids: Sequence[str], ended_by: str) -> int:
        """Destroy keys; their bytes are in no file of this store when it returns."""
        destroyed = 0
        with self._writing("destroy data keys") as execute:
            for key_id in key_ids:
                execute(_OVERWRITE, (key_id,))
                destroyed += execute(_DESTROY, (ended_by, key_id)).rowcount
            execute(_GROW)
        self._empty_wal()
        return destroyed

    def generation(self) -> int:
        """Return the number of destructions; asks the file only after somebody wrote it."""
        with self._lock, explained("read data keys", self.path):
            seen = self._data_version()
            if seen != self._seen:
                self._generation = self._stored_generation()
                self._seen = seen
            return self._generation

    def rewrap(self, keys: Sequence[DataKey]) -> None:
        """Replace wrapped forms, and leave nothing of the old ones."""
        with self._writing("wrap data keys anew") as execute:
            for key in keys:
                execute(_REWRAP, (key.wrapped, key.key_id))
        self._empty_wal()

    def living(self, after: str, count_max: int) -> list[DataKey]:
        """Return living keys by id."""
        return [_key(row) for row in self._read(_LIVING, (after, count_max))]

    def counts(self) -> tuple[int, int]:
        """Return how many keys are alive and how many destroyed."""
        alive, destroyed = self._read(_COUNTS)[0]
        return alive, destroyed

    def applied_through(self) -> int:
        """Return up to which log index its destructions were applied here."""
        return int(self._read("SELECT applied_through FROM state")[0][0])

    def first_since(self) -> int | None:
        """Return the least `since` of all keys."""
        found: int | None = self._read("SELECT min(since) FROM keys")[0][0]
        return found

    def set_applied(self, index: int) -> None:
        """Note up to which log index they are."""
        with self._writing("write data keys") as execute:
            execute("UPDATE state SET applied_through = max(applied_through, ?)", (index,))

    def place_hold(self, hold: Hold) -> None:
        """Keep a hold, durably."""
        with self._writing("place a hold") as execute:
            execute("INSERT OR IGNORE INTO holds VALUES (?, ?, ?, ?)", hold)

    def lift_hold(self, hold_id: str) -> None:
        """Forget a hold, durably."""
        with self._writing("lift a hold") as execute:
            execute("DELETE FROM holds WHERE hold_id = ?", (hold_id,))

    def holds(self) -> list[Hold]:
        """Return all holds."""
        return [Hold(*row) for row in self._read("SELECT * FROM holds ORDER BY placed, hold_id")]

    def open_erasure(self, erasure: OpenErasure) -> None:
        """Keep the decision to erase, durably."""
        with self._writing("open an erasure") as execute:
            execute(_OPEN, _erasure_row(erasure))

    def open_erasures(self) -> list[OpenErasure]:
        """Return what is not complete, oldest first."""
        return [_erasure(row) for row in self._read("SELECT * FROM erasures ORDER BY number")]

    def close_erasure(self, erasure_id: str) -> None:
        """Forget an erasure that is complete."""
        with self._writing("close an erasure") as execute:
            execute("DELETE FROM erasures WHERE erasure_id = ?", (erasure_id,))

    def close(self) -> None:
        """Release the file; may be called twice."""
        with self._lock:
            self._connection.close()

    def _read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock, explained("read data keys", self.path):
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _writing(self, what: str) -> Iterator[Any]:
        with self._lock, explained(what, self.path), one_commit(self._connection):
            yield self._connection.execute
            # Its own writes do not change what SQLite calls the data version of a connection.
            self._generation = self._stored_generation()

    def _empty_wal(self) -> None:
        """Empty the write-ahead log, which has pages as they were."""
        deadline = time.monotonic() + EMPTY_TIMEOUT_S
        while True:
            with self._lock, explained("empty the log of data keys", self.path):
                busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if not busy:
                return
            if time.monotonic() > deadline:
                raise StorageUnavailable(
                    f"cannot destroy data keys in {str(self.path)!r} for good: another process "
                    f"reads it for more than {EMPTY_TIMEOUT_S:.0f} s, so its write-ahead log still "
                    "has them; end that process and repeat the command"
                )
            time.sleep(_EMPTY_POLL_S)

    def _data_version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _stored_generation(self) -> int:
        return int(self._connection.execute("SELECT generation FROM state").fetchone()[0])


def _key(row: tuple[Any, ...]) -> DataKey:
    return DataKey(*row[:-1])


def _erasure_row(erasure: OpenErasure) -> tuple[str, ...]:
    warrant = erasure.warrant
    return (
        erasure.erasure_id,
        erasure.subject,
        erasure.kind,
        erasure.value,
        erasure.legal_basis,
        json.dumps(warrant.actor.as_json()),
        warrant.reason,
        warrant.ticket,
        erasure.requested,
    )


def _erasure(row: tuple[Any, ...]) -> OpenErasure:
    _, erasure_id, subject, kind, value, legal_basis, actor, reason, ticket, requested = row
    warrant = Warrant(actor=Actor.from_json(json.loads(actor)), reason=reason, ticket=ticket)
    return OpenErasure(erasure_id, subject, kind, value, legal_basis, warrant, requested)
