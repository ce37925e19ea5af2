"""The statements of the event log in SQLite, and its tables."""

APPLICATION_ID = 0x4C42_4C47  # "LBLG"
SCHEMA_VERSION = 3

SCHEMA = """
CREATE TABLE entries (
    leaf_index INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    routing_key TEXT,
    partition_key TEXT,
    leaf BLOB NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX entries_by_id ON entries (entry_id);
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    frontier BLOB NOT NULL,
    root BLOB NOT NULL
) STRICT;
CREATE TABLE minimum (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    first_index INTEGER NOT NULL
) STRICT;
INSERT INTO minimum VALUES (1, 0);
CREATE TABLE tiles (
    level INTEGER NOT NULL,
    tile_index INTEGER NOT NULL,
    root BLOB NOT NULL,
    hashes BLOB,
    PRIMARY KEY (level, tile_index)
) STRICT;
CREATE TABLE cursors (
    source TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    state BLOB NOT NULL
) STRICT;
CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    note BLOB NOT NULL
) STRICT;
CREATE TABLE tokens (
    size INTEGER NOT NULL,
    authority TEXT NOT NULL,
    token BLOB NOT NULL,
    PRIMARY KEY (size, authority)
) STRICT
"""

INSERT_ENTRY = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)"
# The row of the head is made by the first append.
STORE_HEAD = "INSERT OR REPLACE INTO head VALUES (1, ?, ?)"
LOAD_HEAD = "SELECT frontier, root FROM head"
LOAD_TAIL = "SELECT leaf FROM entries WHERE leaf_index >= ? ORDER BY leaf_index"
INSERT_TILE = "INSERT INTO tiles VALUES (?, ?, ?, ?)"
MOVE_CURSOR = "UPDATE cursors SET version = version + 1, state = ? WHERE source = ? AND version = ?"
START_CURSOR = "INSERT OR IGNORE INTO cursors VALUES (?, 1, ?)"
LOAD_CURSOR = "SELECT version, state FROM cursors WHERE source = ?"
# Ids are passed as one JSON array, whatever their number.
KNOWN_IDS = "SELECT entry_id FROM entries WHERE entry_id IN (SELECT value FROM json_each(?))"
READ_ENTRIES = """
SELECT * FROM entries WHERE leaf_index >= max(?, (SELECT first_index FROM minimum))
ORDER BY leaf_index LIMIT ?
"""
FIND_ENTRY = """
SELECT * FROM entries WHERE entry_id = ? AND leaf_index >= (SELECT first_index FROM minimum)
"""
READ_MINIMUM = "SELECT first_index FROM minimum"
STORE_MINIMUM = "UPDATE minimum SET first_index = ?"
OLDEST_ENTRY = "SELECT min(leaf_index), (SELECT first_index FROM minimum) FROM entries"
DELETE_ENTRIES = "DELETE FROM entries WHERE leaf_index < ?"
# A consistency proof from a checkpoint needs the hashes of the tile in which that one ends.
FORGET_HASHES = """
UPDATE tiles SET hashes = NULL
WHERE level = 0 AND tile_index >= ? AND tile_index < ? AND tile_index NOT IN (
    SELECT size / 256 FROM checkpoints WHERE size >= ? AND size < ? AND size % 256 <> 0
)
"""
READ_TILES = """
SELECT hashes FROM tiles WHERE level = 0 AND tile_index BETWEEN ? AND ? ORDER BY tile_index
"""
READ_ROOTS = """
SELECT root FROM tiles WHERE level = ? AND tile_index >= ? AND tile_index < ? ORDER BY tile_index
"""
STORE_CHECKPOINT = "INSERT OR REPLACE INTO checkpoints VALUES (?, ?)"
LATEST_CHECKPOINT = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"
READ_CHECKPOINTS = "SELECT size, note FROM checkpoints WHERE size >= ? ORDER BY size LIMIT ?"
KEEP_STAMP = "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)"
READ_TOKENS = "SELECT authority, token FROM tokens WHERE size = ?"
