"""The write journal's tables and hot statements (SQLite).

One file holds groups, switches, writes, lanes, ids and pending entries, so that opening a write is
fenced by its group's epoch, and each change leaves its entry for the event log, in one commit.
"""

from typing import Final

from bridge.storage.journal.ingress_sql import SQLITE_TABLES

SCHEMA_VERSION: Final = 5

SCHEMA: Final = """
CREATE TABLE groups (
    name TEXT PRIMARY KEY,
    stage TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    lanes_held INTEGER NOT NULL,
    share_percent REAL NOT NULL DEFAULT 0,
    forced_until REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE switches (
    number INTEGER PRIMARY KEY,
    group_name TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    from_stage TEXT NOT NULL,
    to_stage TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    ticket TEXT NOT NULL,
    switched_at TEXT NOT NULL,
    previous_hash BLOB NOT NULL,
    hash BLOB NOT NULL,
    from_share_percent REAL NOT NULL DEFAULT 0,
    to_share_percent REAL NOT NULL DEFAULT 0,
    UNIQUE (group_name, epoch)
);

-- One row per dual write; requests and answers stand apart, so that a change of state rewrites a
-- short row and not a body.
CREATE TABLE writes (
    number INTEGER PRIMARY KEY,
    intent_id TEXT NOT NULL UNIQUE,
    group_name TEXT NOT NULL,
    route TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    authority TEXT NOT NULL,
    lane TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    client_key TEXT,
    fingerprint TEXT NOT NULL,
    owner TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    state TEXT NOT NULL,
    sequence INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    settled_at TEXT,
    final_at REAL,
    revision INTEGER NOT NULL DEFAULT 0,
    level TEXT NOT NULL DEFAULT 'L2',
    kind TEXT NOT NULL DEFAULT 'client',
    compensates TEXT
);
-- The lane lock over all processes: one write of a key in flight or in doubt. An outcome that was
-- recorded without an intent (L1) may be in doubt beside another write: its own id sets it apart.
CREATE UNIQUE INDEX writes_lane_lock
    ON writes (group_name, lane, (CASE level WHEN 'L1' THEN intent_id ELSE '' END))
    WHERE state IN ('intent', 'in_doubt');
CREATE UNIQUE INDEX writes_client_key ON writes (group_name, route, client_key)
    WHERE client_key IS NOT NULL;
CREATE INDEX writes_need_decision ON writes (number)
    WHERE state IN ('in_doubt', 'parked');
CREATE INDEX writes_final ON writes (final_at) WHERE final_at IS NOT NULL;
CREATE INDEX writes_not_of_clients ON writes (kind, number) WHERE kind <> 'client';

CREATE TABLE requests (
    number INTEGER PRIMARY KEY,
    method BLOB NOT NULL,
    target BLOB NOT NULL,
    headers BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE answers (
    number INTEGER PRIMARY KEY,
    status INTEGER NOT NULL,
    reason BLOB NOT NULL,
    headers BLOB NOT NULL,
    body BLOB NOT NULL
);

-- What the other side still has to get. The number is the write's sequence: given when the
-- authority's answer becomes durable, it grows over all lanes and is never used again.
CREATE TABLE lane_entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    group_name TEXT NOT NULL,
    lane TEXT NOT NULL,
    towards TEXT NOT NULL,
    write_number INTEGER NOT NULL UNIQUE,
    parked INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX lane_entries_lane ON lane_entries (group_name, lane, number);

CREATE TABLE ids (
    number INTEGER PRIMARY KEY,
    group_name TEXT NOT NULL,
    entity TEXT NOT NULL,
    legacy_id TEXT,
    modern_id TEXT,
    lane TEXT NOT NULL,
    write_number INTEGER,
    place TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX ids_legacy ON ids (group_name, entity, legacy_id) WHERE legacy_id IS NOT NULL;
CREATE UNIQUE INDEX ids_modern ON ids (group_name, entity, modern_id) WHERE modern_id IS NOT NULL;
CREATE INDEX ids_half ON ids (write_number) WHERE legacy_id IS NULL OR modern_id IS NULL;

CREATE TABLE pending_entries (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    fields BLOB NOT NULL,
    payload BLOB NOT NULL
);

-- Grows when a person changed what may be replayed, so that the replayer looks at every lane again.
CREATE TABLE nudges (number INTEGER NOT NULL);
INSERT INTO nudges VALUES (0);
"""

# From version to the next one, one statement after the other.
UPGRADES: Final = {
    2: (
        "ALTER TABLE writes ADD COLUMN level TEXT NOT NULL DEFAULT 'L2'",
        "ALTER TABLE writes ADD COLUMN kind TEXT NOT NULL DEFAULT 'client'",
        "ALTER TABLE writes ADD COLUMN compensates TEXT",
        "DROP INDEX writes_lane_lock",
        """CREATE UNIQUE INDEX writes_lane_lock
        ON writes (group_name, lane, (CASE level WHEN 'L1' THEN intent_id ELSE '' END))
        WHERE state IN ('intent', 'in_doubt')""",
        "CREATE INDEX writes_not_of_clients ON writes (kind, number) WHERE kind <> 'client'",
    ),
    3: SQLITE_TABLES,
    4: (
        "ALTER TABLE groups ADD COLUMN share_percent REAL NOT NULL DEFAULT 0",
        "ALTER TABLE groups ADD COLUMN forced_until REAL NOT NULL DEFAULT 0",
        "ALTER TABLE switches ADD COLUMN from_share_percent REAL NOT NULL DEFAULT 0",
        "ALTER TABLE switches ADD COLUMN to_share_percent REAL NOT NULL DEFAULT 0",
    ),
}

GROUPS: Final = """
SELECT name, stage, epoch, lanes_held, share_percent, forced_until FROM groups
"""

INSERT_SWITCH: Final = """
INSERT INTO switches (group_name, epoch, from_stage, to_stage, actor, reason, ticket, switched_at,
    previous_hash, hash, from_share_percent, to_share_percent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

SWITCHES: Final = """
SELECT group_name, epoch, from_stage, to_stage, actor, reason, ticket, switched_at, previous_hash,
    hash, from_share_percent, to_share_percent
FROM switches ORDER BY number
"""

EPOCH: Final = "SELECT epoch FROM groups WHERE name = ?"

UNREPLAYED: Final = """
SELECT towards, parked FROM lane_entries WHERE group_name = ? AND lane = ? ORDER BY number LIMIT 1
"""

BEHIND: Final = """
SELECT
    EXISTS (SELECT 1 FROM lane_entries WHERE group_name = ? AND towards = ?),
    EXISTS (SELECT 1 FROM writes WHERE group_name = ? AND state IN ('intent', 'in_doubt'))
"""

IN_FLIGHT: Final = """
SELECT intent_id, state FROM writes
WHERE group_name = ? AND lane = ? AND state IN ('intent', 'in_doubt') LIMIT 1
"""

INSERT_WRITE: Final = """
INSERT INTO writes (intent_id, group_name, route, epoch, authority, lane, idempotency_key,
    client_key, fingerprint, owner, opened_at, level, kind, compensates, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'intent')
"""

INSERT_REQUEST: Final = "INSERT INTO requests VALUES (?, ?, ?, ?, ?)"

INSERT_ANSWER: Final = "INSERT INTO answers VALUES (?, ?, ?, ?, ?)"

WRITE_FACTS: Final = """
SELECT number, group_name, route, epoch, authority, lane, state, attempts, revision, kind,
    compensates, sequence
FROM writes WHERE intent_id = ?
"""

STATE_OF: Final = "SELECT state FROM writes WHERE intent_id = ?"

RECORDED: Final = "SELECT sequence FROM writes WHERE intent_id = ?"

CLIENT_KEY_USED: Final = """
SELECT 1 FROM writes WHERE group_name = ? AND route = ? AND client_key = ?
"""

SETTLE: Final = """
UPDATE writes SET state = ?, lane = ?, sequence = ?, reason = ?, settled_at = ?, final_at = ?,
    client_key = CASE WHEN ? THEN NULL ELSE client_key END, revision = revision + 1
WHERE number = ?
"""

INSERT_LANE_ENTRY: Final = """
INSERT INTO lane_entries (group_name, lane, towards, write_number) VALUES (?, ?, ?, ?)
"""

DELETE_LANE_ENTRY: Final = "DELETE FROM lane_entries WHERE write_number = ?"

PARK_LANE_ENTRY: Final = "UPDATE lane_entries SET parked = ? WHERE write_number = ?"

MOVE: Final = """
UPDATE writes SET state = ?, reason = ?, final_at = ?, attempts = attempts + ?,
    revision = revision + 1
WHERE number = ?
"""

NEWS: Final = """
SELECT number, group_name, lane, towards FROM lane_entries WHERE number > ? ORDER BY number LIMIT ?
"""

NUDGE: Final = "SELECT number FROM nudges"

HEAD: Final = """
SELECT write_number FROM lane_entries WHERE group_name = ? AND lane = ? ORDER BY number LIMIT 1
"""

PARKED_OR_HELD: Final = """
SELECT e.parked OR COALESCE(g.lanes_held, 0) FROM lane_entries e
LEFT JOIN groups g ON g.name = e.group_name WHERE e.write_number = ?
"""

WRITE: Final = """
SELECT w.intent_id, w.group_name, w.route, w.epoch, w.authority, w.lane, w.idempotency_key,
    w.owner, w.opened_at, w.client_key, w.fingerprint, r.method, r.target, r.headers, r.body,
    w.state, w.sequence, w.attempts, w.reason, w.settled_at, a.status, a.reason, a.headers, a.body,
    w.level, w.kind, w.compensates
FROM writes w JOIN requests r USING (number) LEFT JOIN answers a USING (number)
"""

# Of `WRITE`. Both conditions: the first one is that of the index.
DOUBTFUL: Final = """
WHERE w.state IN ('in_doubt', 'parked') AND w.state = 'in_doubt'
AND w.number > COALESCE((SELECT number FROM writes WHERE intent_id = ?), 0)
ORDER BY w.number LIMIT ?
"""

INSERT_ID: Final = """
INSERT INTO ids (group_name, entity, legacy_id, modern_id, lane, write_number, place)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""

PAIR_BY: Final = {
    "legacy": "SELECT entity, legacy_id, modern_id, lane FROM ids "
    "WHERE group_name = ? AND entity = ? AND legacy_id = ?",
    "modern": "SELECT entity, legacy_id, modern_id, lane FROM ids "
    "WHERE group_name = ? AND entity = ? AND modern_id = ?",
}

# The row of an id, and the id of the other side.
HALF_BY: Final = {
    "legacy": "SELECT number, modern_id FROM ids "
    "WHERE group_name = ? AND entity = ? AND legacy_id = ?",
    "modern": "SELECT number, legacy_id FROM ids "
    "WHERE group_name = ? AND entity = ? AND modern_id = ?",
}

HALF_PAIRS: Final = """
SELECT number, entity, place, legacy_id, modern_id FROM ids
WHERE write_number = ? AND (legacy_id IS NULL OR modern_id IS NULL)
"""

COMPLETE_PAIR: Final = {
    "legacy": "UPDATE ids SET legacy_id = ? WHERE number = ?",
    "modern": "UPDATE ids SET modern_id = ? WHERE number = ?",
}

INSERT_PENDING: Final = """
INSERT INTO pending_entries (kind, entry_id, fields, payload) VALUES (?, ?, ?, ?)
"""

# Ids in the order in which they became known: a walk over them can be taken up where it stopped.
ID_KEYS = """
SELECT number, coalesce(legacy_id, modern_id) FROM ids
WHERE group_name = ? AND entity = ? AND number > ? ORDER BY number LIMIT ?
"""
