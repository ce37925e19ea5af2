-- The journal's tables as version 2 made them.

CREATE TABLE groups (
    name TEXT PRIMARY KEY,
    stage TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    lanes_held INTEGER NOT NULL
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
    revision INTEGER NOT NULL DEFAULT 0
);
-- The lane lock over all processes: one write of a key in flight or in doubt.
CREATE UNIQUE INDEX writes_lane_lock ON writes (group_name, lane)
    WHERE state IN ('intent', 'in_doubt');
CREATE UNIQUE INDEX writes_client_key ON writes (group_name, route, client_key)
    WHERE client_key IS NOT NULL;
CREATE INDEX writes_need_decision ON writes (number)
    WHERE state IN ('in_doubt', 'parked');
CREATE INDEX writes_final ON writes (final_at) WHERE final_at IS NOT NULL;

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

PRAGMA user_version = 2;
