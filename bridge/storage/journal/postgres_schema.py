"""The write journal's tables in PostgreSQL: schema `bridge_journal`, and how it is upgraded.

As on SQLite, but for `xid`: numbers of concurrent transactions become visible out of order, so what
is read "from here on" (news, pending entries) is read by the transaction that wrote it, and only
below the oldest one that still runs.
"""

from typing import Final, LiteralString

from bridge.storage.journal.ingress_sql import POSTGRES_TABLES

# Makers of the schema wait for one another; any number that nothing else uses.
SCHEMA_LOCK: Final = 0x4C42_4A4E

SCHEMA_1: LiteralString = """
CREATE SCHEMA IF NOT EXISTS bridge_journal;
CREATE TABLE bridge_journal.versions (version integer NOT NULL);
INSERT INTO bridge_journal.versions VALUES (1);
CREATE TABLE bridge_journal.groups (
    name text PRIMARY KEY,
    stage text NOT NULL,
    epoch bigint NOT NULL,
    lanes_held boolean NOT NULL
);
CREATE TABLE bridge_journal.switches (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_name text NOT NULL,
    epoch bigint NOT NULL,
    from_stage text NOT NULL,
    to_stage text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    ticket text NOT NULL,
    switched_at text NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    UNIQUE (group_name, epoch)
);
CREATE TABLE bridge_journal.writes (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    intent_id text COLLATE "C" NOT NULL UNIQUE,
    group_name text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    authority text NOT NULL,
    lane text COLLATE "C" NOT NULL,
    idempotency_key text NOT NULL,
    client_key text COLLATE "C",
    fingerprint text NOT NULL,
    owner text NOT NULL,
    opened_at text NOT NULL,
    state text NOT NULL,
    sequence bigint,
    attempts integer NOT NULL DEFAULT 0,
    reason text,
    settled_at text,
    final_at double precision,
    revision integer NOT NULL DEFAULT 0,
    level text NOT NULL,
    kind text NOT NULL,
    compensates text
);
-- The lane lock over all replicas. An outcome that was recorded without an intent (L1) may be in
-- doubt beside another write: its own id sets it apart.
CREATE UNIQUE INDEX writes_lane_lock ON bridge_journal.writes
    (group_name, lane, (CASE level WHEN 'L1' THEN intent_id ELSE '' END))
    WHERE state IN ('intent', 'in_doubt');
CREATE UNIQUE INDEX writes_client_key ON bridge_journal.writes (group_name, route, client_key)
    WHERE client_key IS NOT NULL;
CREATE INDEX writes_need_decision ON bridge_journal.writes (number)
    WHERE state IN ('in_doubt', 'parked');
CREATE INDEX writes_final ON bridge_journal.writes (final_at) WHERE final_at IS NOT NULL;
CREATE INDEX writes_not_of_clients ON bridge_journal.writes (kind, number) WHERE kind <> 'client';
CREATE TABLE bridge_journal.requests (
    number bigint PRIMARY KEY,
    method bytea NOT NULL,
    target bytea NOT NULL,
    headers bytea NOT NULL,
    body bytea NOT NULL
);
CREATE TABLE bridge_journal.answers (
    number bigint PRIMARY KEY,
    status integer NOT NULL,
    reason bytea NOT NULL,
    headers bytea NOT NULL,
    body bytea NOT NULL
);
CREATE TABLE bridge_journal.lane_entries (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    group_name text COLLATE "C" NOT NULL,
    lane text COLLATE "C" NOT NULL,
    towards text NOT NULL,
    write_number bigint NOT NULL UNIQUE,
    parked boolean NOT NULL DEFAULT false
);
CREATE INDEX lane_entries_lane ON bridge_journal.lane_entries (group_name, lane, number);
CREATE INDEX lane_entries_xid ON bridge_journal.lane_entries (xid, number);
CREATE TABLE bridge_journal.ids (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_name text COLLATE "C" NOT NULL,
    entity text COLLATE "C" NOT NULL,
    legacy_id text COLLATE "C",
    modern_id text COLLATE "C",
    lane text NOT NULL,
    write_number bigint,
    place text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX ids_legacy ON bridge_journal.ids (group_name, entity, legacy_id);
CREATE UNIQUE INDEX ids_modern ON bridge_journal.ids (group_name, entity, modern_id);
CREATE INDEX ids_half ON bridge_journal.ids (write_number)
    WHERE legacy_id IS NULL OR modern_id IS NULL;
CREATE TABLE bridge_journal.pending_entries (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind text NOT NULL,
    entry_id text NOT NULL,
    fields bytea NOT NULL,
    payload bytea NOT NULL
);
CREATE INDEX pending_entries_xid ON bridge_journal.pending_entries (xid, number);
CREATE TABLE bridge_journal.nudges (number bigint NOT NULL);
INSERT INTO bridge_journal.nudges VALUES (0);
-- Who is alive, by this server's clock, and by which generation it decides.
CREATE TABLE bridge_journal.replicas (
    owner text COLLATE "C" PRIMARY KEY,
    slot bigint GENERATED ALWAYS AS IDENTITY,
    lease_until timestamptz NOT NULL,
    serves boolean NOT NULL DEFAULT false,
    adopted bigint NOT NULL DEFAULT 0,
    beat_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- What one process at a time does, over all machines.
CREATE TABLE bridge_journal.leases (
    name text PRIMARY KEY,
    holder text NOT NULL,
    lease_until timestamptz NOT NULL
);
CREATE TABLE bridge_journal.generation (number bigint NOT NULL);
INSERT INTO bridge_journal.generation VALUES (1);
"""

SCHEMA_3: LiteralString = """
ALTER TABLE bridge_journal.groups
    ADD COLUMN share_percent double precision NOT NULL DEFAULT 0,
    ADD COLUMN forced_until double precision NOT NULL DEFAULT 0;
ALTER TABLE bridge_journal.switches
    ADD COLUMN from_share_percent double precision NOT NULL DEFAULT 0,
    ADD COLUMN to_share_percent double precision NOT NULL DEFAULT 0;
"""

UPGRADES: Final[dict[int, LiteralString]] = {0: SCHEMA_1, 1: POSTGRES_TABLES, 2: SCHEMA_3}
"""From version to the next one. One that is released is never changed again."""

SCHEMA_VERSION: Final = max(UPGRADES) + 1
