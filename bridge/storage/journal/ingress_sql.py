"""The table of queued requests, beside the write journal's: on SQLite and on PostgreSQL."""

from typing import Final, LiteralString

SQLITE_TABLES: Final = (
    """CREATE TABLE queued (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL UNIQUE,
    group_name TEXT NOT NULL,
    route TEXT NOT NULL,
    lane TEXT NOT NULL,
    client_key TEXT,
    fingerprint TEXT NOT NULL,
    caller TEXT NOT NULL,
    accepted_at REAL NOT NULL,
    method BLOB NOT NULL,
    target BLOB NOT NULL,
    headers BLOB NOT NULL,
    body BLOB NOT NULL,
    body_bytes INTEGER NOT NULL,
    state TEXT NOT NULL,
    guarded INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    ended_at REAL,
    status INTEGER,
    answer_reason BLOB,
    answer_headers BLOB,
    answer_body BLOB
)""",
    """CREATE UNIQUE INDEX queued_key ON queued (group_name, route, client_key)
    WHERE client_key IS NOT NULL""",
    """CREATE INDEX queued_unfinished ON queued (number)
    WHERE state IN ('waiting', 'begun')""",
    """CREATE INDEX queued_backlog ON queued (group_name, route, body_bytes)
    WHERE state IN ('waiting', 'begun')""",
    "CREATE INDEX queued_ended ON queued (route, ended_at) WHERE ended_at IS NOT NULL",
)

# Made where it is missing, without a version of its own: nobody who lacks it goes wrong.
LANE_INDEX: Final[LiteralString] = """
CREATE INDEX IF NOT EXISTS queued_lane ON bridge_journal.queued (group_name, lane)
    WHERE state IN ('waiting', 'begun')
"""

POSTGRES_TABLES: LiteralString = """
CREATE TABLE bridge_journal.queued (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id text COLLATE "C" NOT NULL UNIQUE,
    group_name text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,
    lane text NOT NULL,
    client_key text COLLATE "C",
    fingerprint text NOT NULL,
    caller text NOT NULL,
    accepted_at double precision NOT NULL,
    method bytea NOT NULL,
    target bytea NOT NULL,
    headers bytea NOT NULL,
    body bytea NOT NULL,
    body_bytes bigint NOT NULL,
    state text NOT NULL,
    guarded boolean NOT NULL DEFAULT false,
    epoch bigint NOT NULL DEFAULT 0,
    ended_at double precision,
    status integer,
    answer_reason bytea,
    answer_headers bytea,
    answer_body bytea
);
CREATE UNIQUE INDEX queued_key ON bridge_journal.queued (group_name, route, client_key)
    WHERE client_key IS NOT NULL;
CREATE INDEX queued_unfinished ON bridge_journal.queued (number)
    WHERE state IN ('waiting', 'begun');
CREATE INDEX queued_backlog ON bridge_journal.queued (group_name, route, body_bytes)
    WHERE state IN ('waiting', 'begun');
CREATE INDEX queued_ended ON bridge_journal.queued (route, ended_at) WHERE ended_at IS NOT NULL;
"""

_KEPT: LiteralString = """
SELECT request_id, group_name, route, lane, client_key, fingerprint, caller, accepted_at, method,
    target, headers, body, state, guarded, epoch, status, answer_reason, answer_headers, answer_body
FROM bridge_journal.queued
"""

ACCEPT: LiteralString = """
INSERT INTO bridge_journal.queued (request_id, group_name, route, lane, client_key, fingerprint,
    caller, accepted_at, method, target, headers, body, body_bytes, state)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'waiting')
ON CONFLICT DO NOTHING RETURNING request_id
"""
ACCEPTED: LiteralString = (
    "SELECT request_id, fingerprint FROM bridge_journal.queued "
    "WHERE request_id = %s OR (group_name = %s AND route = %s AND client_key = %s) "
    "ORDER BY number LIMIT 1"
)
BEGIN: LiteralString = (
    "UPDATE bridge_journal.queued SET state = 'begun', guarded = %s, epoch = %s "
    "WHERE request_id = %s AND state IN ('waiting', 'begun') RETURNING request_id"
)
PUT_BACK: LiteralString = (
    "UPDATE bridge_journal.queued SET state = 'waiting' WHERE request_id = %s AND state = 'begun'"
)
END: LiteralString = (
    "UPDATE bridge_journal.queued SET state = %s, ended_at = %s, status = %s, answer_reason = %s, "
    "answer_headers = %s, answer_body = %s "
    "WHERE request_id = %s AND state IN ('waiting', 'begun') RETURNING request_id"
)
CANCEL: LiteralString = (
    "UPDATE bridge_journal.queued SET state = 'cancelled', ended_at = %s "
    "WHERE request_id = %s AND state = 'waiting' RETURNING request_id"
)
EXPIRE: LiteralString = (
    "UPDATE bridge_journal.queued SET state = 'expired', client_key = NULL, method = '', "
    "target = '', headers = '[]', body = '', answer_headers = NULL, answer_body = NULL, "
    "status = NULL, answer_reason = NULL, ended_at = %s WHERE number IN (SELECT number FROM "
    "bridge_journal.queued WHERE route = %s AND ended_at < %s AND state <> 'expired' LIMIT %s)"
)
FORGET: LiteralString = (
    "DELETE FROM bridge_journal.queued WHERE number IN (SELECT number FROM bridge_journal.queued "
    "WHERE route = %s AND ended_at < %s AND state = 'expired' LIMIT %s)"
)
FIND: LiteralString = _KEPT + "WHERE request_id = %s"
UNFINISHED: LiteralString = _KEPT + "WHERE state IN ('waiting', 'begun') ORDER BY number LIMIT %s"
OF_LANE: LiteralString = (
    "SELECT 1 FROM bridge_journal.queued "
    "WHERE group_name = %s AND lane = %s AND state IN ('waiting', 'begun') LIMIT 1"
)
BACKLOG: LiteralString = (
    "SELECT count(*), CAST(COALESCE(sum(body_bytes), 0) AS bigint) FROM bridge_journal.queued "
    "WHERE group_name = %s AND route = %s AND state IN ('waiting', 'begun')"
)


def on_sqlite(statement: str) -> str:
    """Return a statement as SQLite wants it: other placeholders, no schema."""
    return statement.replace("bridge_journal.", "").replace("%s", "?")
