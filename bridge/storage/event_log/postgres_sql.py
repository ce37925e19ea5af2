"""The statements of the event log in PostgreSQL, and its schema `bridge_log`."""

from typing import LiteralString

SCHEMA_VERSION = 3

# Any number that nothing else uses: makers of the schema wait for one another.
SCHEMA_LOCK = 0x4C42_4C47

# Entries lie in segments: partitions by range of the index, listed in `segments`. A partitioned
# table can be unique only by its partition key, so ids have a table of their own.
SCHEMA: LiteralString = """
CREATE SCHEMA IF NOT EXISTS bridge_log;
CREATE TABLE IF NOT EXISTS bridge_log.entries (
    leaf_index bigint PRIMARY KEY,
    kind text NOT NULL,
    entry_id text COLLATE "C" NOT NULL,
    routing_key text,
    partition_key text,
    leaf bytea NOT NULL,
    payload bytea NOT NULL
) PARTITION BY RANGE (leaf_index);
CREATE TABLE IF NOT EXISTS bridge_log.segments (
    start bigint PRIMARY KEY,
    stop bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS bridge_log.ids (
    entry_id text COLLATE "C" PRIMARY KEY,
    leaf_index bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS bridge_log.head (
    one integer PRIMARY KEY CHECK (one = 1),
    schema_version integer NOT NULL,
    size bigint NOT NULL,
    frontier bytea NOT NULL,
    root bytea NOT NULL,
    minimum bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS bridge_log.tiles (
    level integer NOT NULL,
    tile_index bigint NOT NULL,
    root bytea NOT NULL,
    hashes bytea,
    PRIMARY KEY (level, tile_index)
);
CREATE TABLE IF NOT EXISTS bridge_log.cursors (
    source text PRIMARY KEY,
    version bigint NOT NULL,
    state bytea NOT NULL
);
CREATE TABLE IF NOT EXISTS bridge_log.checkpoints (
    size bigint PRIMARY KEY,
    note bytea NOT NULL
);
CREATE TABLE IF NOT EXISTS bridge_log.tokens (
    size bigint NOT NULL,
    authority text NOT NULL,
    token bytea NOT NULL,
    PRIMARY KEY (size, authority)
);
"""
# The head row always exists, so that there is something to lock before the first append.
START_HEAD: LiteralString = """
INSERT INTO bridge_log.head VALUES (1, %s, 0, %s, %s, 0) ON CONFLICT DO NOTHING
"""
SCHEMA_FOUND: LiteralString = "SELECT to_regclass('bridge_log.head') IS NOT NULL"
VERSION_FOUND: LiteralString = "SELECT schema_version FROM bridge_log.head"
LOAD_HEAD: LiteralString = "SELECT frontier, root FROM bridge_log.head"
LOCK_HEAD: LiteralString = "SELECT frontier, root FROM bridge_log.head FOR UPDATE"
STORE_HEAD: LiteralString = "UPDATE bridge_log.head SET size = %s, frontier = %s, root = %s"
LOAD_TAIL: LiteralString = """
SELECT leaf FROM bridge_log.entries WHERE leaf_index >= %s AND leaf_index < %s ORDER BY leaf_index
"""
COPY_ENTRIES: LiteralString = "COPY bridge_log.entries FROM STDIN (FORMAT BINARY)"
ENTRY_TYPES = ("int8", "text", "text", "text", "text", "bytea", "bytea")
INSERT_ENTRY: LiteralString = "INSERT INTO bridge_log.entries VALUES (%s, %s, %s, %s, %s, %b, %b)"
INSERT_ID: LiteralString = "INSERT INTO bridge_log.ids VALUES (%s, %s)"
# On the server, from what was copied: ids do not cross the wire twice.
STORE_IDS: LiteralString = """
INSERT INTO bridge_log.ids
SELECT entry_id, leaf_index FROM bridge_log.entries WHERE leaf_index >= %s AND leaf_index < %s
"""
INSERT_TILE: LiteralString = "INSERT INTO bridge_log.tiles VALUES (%s, %s, %s, %s)"
MOVE_CURSOR: LiteralString = """
UPDATE bridge_log.cursors SET version = version + 1, state = %s WHERE source = %s AND version = %s
"""
START_CURSOR: LiteralString = """
INSERT INTO bridge_log.cursors VALUES (%s, 1, %s) ON CONFLICT DO NOTHING
"""
LOAD_CURSOR: LiteralString = "SELECT version, state FROM bridge_log.cursors WHERE source = %s"
KNOWN_IDS: LiteralString = "SELECT entry_id FROM bridge_log.ids WHERE entry_id = ANY(%s)"
# Both bounds, so that the planner looks at the segments between them and at no other.
READ_ENTRIES: LiteralString = """
SELECT * FROM bridge_log.entries
WHERE leaf_index >= %s AND leaf_index < %s
    AND leaf_index >= (SELECT minimum FROM bridge_log.head)
ORDER BY leaf_index
"""
FIND_ENTRY: LiteralString = """
SELECT * FROM bridge_log.entries
WHERE leaf_index = (SELECT leaf_index FROM bridge_log.ids WHERE entry_id = %s)
    AND leaf_index >= (SELECT minimum FROM bridge_log.head)
"""
READ_TILES: LiteralString = """
SELECT hashes FROM bridge_log.tiles
WHERE level = 0 AND tile_index BETWEEN %s AND %s ORDER BY tile_index
"""
READ_ROOTS: LiteralString = """
SELECT root FROM bridge_log.tiles
WHERE level = %s AND tile_index >= %s AND tile_index < %s ORDER BY tile_index
"""
READ_SIZE: LiteralString = "SELECT size FROM bridge_log.head"
READ_MINIMUM: LiteralString = "SELECT minimum FROM bridge_log.head"
STORE_MINIMUM: LiteralString = "UPDATE bridge_log.head SET minimum = %s"
STORE_CHECKPOINT: LiteralString = """
INSERT INTO bridge_log.checkpoints VALUES (%s, %s)
ON CONFLICT (size) DO UPDATE SET note = excluded.note
"""
LATEST_CHECKPOINT: LiteralString = """
SELECT size, note FROM bridge_log.checkpoints ORDER BY size DESC LIMIT 1
"""
READ_CHECKPOINTS: LiteralString = """
SELECT size, note FROM bridge_log.checkpoints WHERE size >= %s ORDER BY size LIMIT %s
"""
KEEP_STAMP: LiteralString = """
INSERT INTO bridge_log.tokens VALUES (%s, %s, %s)
ON CONFLICT (size, authority) DO UPDATE SET token = excluded.token
"""
READ_TOKENS: LiteralString = "SELECT authority, token FROM bridge_log.tokens WHERE size = %s"

SEGMENTS_STOP: LiteralString = "SELECT coalesce(max(stop), 0) FROM bridge_log.segments"
# `{segment}` is a name of ours, `{start}` and `{stop}` are numbers. Made apart and then attached:
# that stops no reader, not even a dump that takes hours. The check spares a look at the rows.
CREATE_SEGMENT: LiteralString = """
CREATE TABLE {segment} (
    LIKE bridge_log.entries INCLUDING ALL,
    CONSTRAINT in_range CHECK (leaf_index >= {start} AND leaf_index < {stop})
)
"""
ATTACH_SEGMENT: LiteralString = """
ALTER TABLE bridge_log.entries ATTACH PARTITION {segment} FOR VALUES FROM ({start}) TO ({stop})
"""
FREE_SEGMENT: LiteralString = "ALTER TABLE {segment} DROP CONSTRAINT in_range"
LIST_SEGMENT: LiteralString = "INSERT INTO bridge_log.segments VALUES (%s, %s)"

OLDEST_SEGMENT: LiteralString = """
SELECT start, stop, (SELECT minimum FROM bridge_log.head)
FROM bridge_log.segments ORDER BY start LIMIT 1
"""
OLDEST_ENTRY: LiteralString = """
SELECT min(leaf_index) FROM bridge_log.entries WHERE leaf_index >= %s AND leaf_index < %s
"""
FORGET_IDS: LiteralString = """
DELETE FROM bridge_log.ids USING bridge_log.entries
WHERE entries.leaf_index >= %s AND entries.leaf_index < %s AND ids.entry_id = entries.entry_id
"""
DELETE_ENTRIES: LiteralString = """
DELETE FROM bridge_log.entries WHERE leaf_index >= %s AND leaf_index < %s
"""
DROP_SEGMENT: LiteralString = "DROP TABLE {segment}"
UNLIST_SEGMENT: LiteralString = "DELETE FROM bridge_log.segments WHERE start = %s"
# A consistency proof from a checkpoint needs the hashes of the tile in which that one ends.
FORGET_HASHES: LiteralString = """
UPDATE bridge_log.tiles SET hashes = NULL
WHERE level = 0 AND tile_index >= %s AND tile_index < %s AND hashes IS NOT NULL
    AND tile_index NOT IN (
        SELECT size / 256 FROM bridge_log.checkpoints
        WHERE size >= %s AND size < %s AND size %% 256 <> 0
    )
"""
