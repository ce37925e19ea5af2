"""What people asked of the reading of one source, in a file of its own in the data folder.

The person's command and the capture process are two processes: the file is how one tells the
other, and how both find after a restart what was said. It holds keys that were named, so it is
readable by its owner only.
"""

import json
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.capture.snapshot.ports import RequestAction, SnapshotRequest
from bridge.capture.snapshot.window import Key
from bridge.model.errors import LimitExceeded
from bridge.model.warrant import Actor, Warrant
from bridge.storage.sqlite_file import explained, open_store

APPLICATION_ID: Final = 0x4C42_5251  # "LBRQ"
SCHEMA_VERSION: Final = 2

SCHEMA: Final = """
CREATE TABLE requests (
    number INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    action TEXT NOT NULL,
    tables TEXT NOT NULL,
    condition TEXT,
    key_count INTEGER,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    ticket TEXT NOT NULL,
    asked_at REAL NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE INDEX requests_waiting ON requests (number) WHERE state = 'waiting';
CREATE TABLE keys (
    request_id TEXT NOT NULL,
    place INTEGER NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (request_id, place)
) STRICT, WITHOUT ROWID;
"""

WAITING: Final = "waiting"

KEYS_MAX: Final = 1_000_000
"""More keys than this are a table: read it as a whole, or with a condition."""

# Who looks back further than this looks into the log, which has them all.
_KEPT: Final = 1_000

_ASK = "INSERT INTO requests VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting')"
_ADD_KEYS = "INSERT INTO keys VALUES (?, ?, ?)"
_WAITING = "SELECT * FROM requests WHERE state = 'waiting' ORDER BY number"
_TAKEN = "SELECT * FROM requests WHERE state = 'taken' ORDER BY number"
_FIND = "SELECT * FROM requests WHERE request_id = ?"
_LATEST = "SELECT * FROM requests ORDER BY number DESC LIMIT ?"
_KEYS = "SELECT key FROM keys WHERE request_id = ? AND place >= ? ORDER BY place LIMIT ?"
_SETTLE = "UPDATE requests SET state = ? WHERE request_id = ?"
_FORGET_KEYS = "DELETE FROM keys WHERE request_id = ?"
_FORGET = """
DELETE FROM requests WHERE state NOT IN ('waiting', 'taken')
   AND number <= (SELECT max(number) FROM requests) - ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRequest:
    """A request with what became of it."""

    request: SnapshotRequest
    state: str
    """`waiting`, `taken`, `done`, `stopped`, or `refused: …`."""
    asked_at: float
    """Seconds since 1970 by the clock of who asked."""


class SqliteSnapshotRequests:
    """Implements `SnapshotRequests`, and is where people ask.

    Raises:
        StorageUnavailable: the file cannot be opened, read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection = open_store(
            path,
            "the requests of a source",
            application_id=APPLICATION_ID,
            version=SCHEMA_VERSION,
            script=SCHEMA,
        )

    def ask(
        self,
        action: RequestAction,
        warrant: Warrant,
        *,
        tables: Sequence[str] = (),
        where: str | None = None,
        keys: Sequence[Key] | None = None,
    ) -> str:
        """Keep a request durably and return its id; raises `LimitExceeded` for too many keys."""
        if keys is not None and len(keys) > KEYS_MAX:
            raise LimitExceeded(
                f"cannot ask for {len(keys)} keys at once: at most {KEYS_MAX}; read the table as a "
                "whole, or with a condition"
            )
        request_id = secrets.token_hex(8)
        count = None if keys is None else len(keys)
        with self._lock, explained("keep a request", self.path), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                _ASK,
                (
                    request_id, action.value, json.dumps(list(tables)), where, count,
                    json.dumps(warrant.actor.as_json()), warrant.reason, warrant.ticket,
                    time.time(),
                ),
            )  # fmt: skip
            self._connection.executemany(
                _ADD_KEYS,
                ((request_id, place, json.dumps(key)) for place, key in enumerate(keys or ())),
            )
            self._connection.execute(_FORGET, (_KEPT,))
        return request_id

    def waiting(self) -> list[SnapshotRequest]:
        """Return what was not taken yet, oldest first."""
        return [asked.request for asked in self._select(_WAITING)]

    def taken(self) -> list[SnapshotRequest]:
        """Return what was taken and is not over, oldest first."""
        return [asked.request for asked in self._select(_TAKEN)]

    def find(self, request_id: str) -> SnapshotRequest | None:
        """Return a request, settled or not."""
        found = self._select(_FIND, request_id)
        return found[0].request if found else None

    def state(self, request_id: str) -> str:
        """Return what became of a request that was asked here."""
        found = self._select(_FIND, request_id)
        return found[0].state if found else "unknown"

    def latest(self, count_max: int) -> list[AskedRequest]:
        """Return the last requests, newest first."""
        return self._select(_LATEST, count_max)

    def keys(self, request_id: str, offset: int, count_max: int) -> list[Key]:
        """Return some of the keys that a request named, in their order."""
        with self._lock, explained("read a request", self.path):
            rows = self._connection.execute(_KEYS, (request_id, offset, count_max)).fetchall()
        return [tuple(json.loads(key)) for (key,) in rows]

    def settle(self, request_id: str, state: str) -> None:
        """Note what became of it; keys of what is over are forgotten."""
        with self._lock, explained("settle a request", self.path), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_SETTLE, (state, request_id))
            if state != "taken":
                self._connection.execute(_FORGET_KEYS, (request_id,))

    def close(self) -> None:
        """Release the file; may be called twice."""
        with self._lock:
            self._connection.close()

    def _select(self, query: str, *parameters: Any) -> list[AskedRequest]:
        with self._lock, explained("read requests", self.path):
            rows = self._connection.execute(query, parameters).fetchall()
        return [_asked(row) for row in rows]


def _asked(row: tuple[Any, ...]) -> AskedRequest:
    _, request_id, action, tables, where, key_count, actor, reason, ticket, asked_at, state = row
    request = SnapshotRequest(
        request_id=request_id,
        action=RequestAction(action),
        tables=tuple(json.loads(tables)),
        where=where,
        key_count=key_count,
        warrant=Warrant(actor=Actor.from_json(json.loads(actor)), reason=reason, ticket=ticket),
    )
    return AskedRequest(request=request, state=state, asked_at=asked_at)
