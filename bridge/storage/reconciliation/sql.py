"""Tables and statements of findings."""

SCHEMA = """
CREATE TABLE findings (
    group_name TEXT NOT NULL,
    entity TEXT NOT NULL,
    key TEXT NOT NULL,
    divergence TEXT NOT NULL,
    authority TEXT NOT NULL,
    digest_authority TEXT,
    digest_other TEXT,
    fields TEXT NOT NULL,
    found_at REAL NOT NULL,
    seen_at REAL NOT NULL,
    origin TEXT NOT NULL,
    state TEXT NOT NULL,
    repair TEXT,
    reason TEXT,
    PRIMARY KEY (group_name, entity, key)
) STRICT;
CREATE TABLE progress (
    group_name TEXT NOT NULL,
    entity TEXT NOT NULL,
    origin TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    rounds INTEGER NOT NULL,
    looked INTEGER NOT NULL,
    differing INTEGER NOT NULL,
    busy INTEGER NOT NULL,
    began_at REAL,
    moved_at REAL,
    PRIMARY KEY (group_name, entity, origin)
) STRICT, WITHOUT ROWID;
CREATE TABLE ranges (
    group_name TEXT NOT NULL,
    entity TEXT NOT NULL,
    origin TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    keys INTEGER NOT NULL,
    digest_authority TEXT NOT NULL,
    digest_other TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (group_name, entity, origin, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE cursors (name TEXT PRIMARY KEY, cursor INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE captured_keys (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL,
    key TEXT NOT NULL,
    UNIQUE (subject, key)
) STRICT;
CREATE INDEX captured_keys_walk ON captured_keys (subject, number);
CREATE TABLE bypasses (
    group_name TEXT NOT NULL,
    entity TEXT NOT NULL,
    subject TEXT NOT NULL,
    hour REAL NOT NULL,
    changes INTEGER NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    key TEXT NOT NULL,
    entry INTEGER NOT NULL,
    PRIMARY KEY (group_name, entity, subject, hour)
) STRICT, WITHOUT ROWID
"""

# A finding that was accepted stays so while it is the same difference.
PUT_FINDING = """
INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', NULL, NULL)
ON CONFLICT DO UPDATE SET
    divergence = excluded.divergence, authority = excluded.authority, fields = excluded.fields,
    seen_at = excluded.seen_at, origin = excluded.origin,
    state = CASE WHEN state = 'accepted' AND digest_authority IS excluded.digest_authority
        AND digest_other IS excluded.digest_other THEN 'accepted' ELSE 'open' END,
    digest_authority = excluded.digest_authority, digest_other = excluded.digest_other
"""
DROP_FINDING = "DELETE FROM findings WHERE group_name = ? AND entity = ? AND key = ?"
FINDING = "SELECT * FROM findings WHERE group_name = ? AND entity = ? AND key = ?"
FINDINGS = """
SELECT * FROM findings WHERE (?1 IS NULL OR group_name = ?1) AND (?2 IS NULL OR entity = ?2)
AND (?3 IS NULL OR state = ?3) ORDER BY found_at DESC, group_name, entity, key LIMIT ?4
"""
COUNTS = """
SELECT group_name, entity, state, count(*) FROM findings GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
MARK = """
UPDATE findings SET state = ?4, repair = coalesce(?5, repair), reason = coalesce(?6, reason)
WHERE group_name = ?1 AND entity = ?2 AND key = ?3
"""
PROGRESS = "SELECT * FROM progress ORDER BY group_name, entity, origin"
PUT_PROGRESS = "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
PUT_RANGE = "INSERT OR REPLACE INTO ranges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
RANGES = """
SELECT * FROM ranges WHERE group_name = ? AND entity = ? ORDER BY at DESC, first LIMIT ?
"""
CURSOR = "SELECT cursor FROM cursors WHERE name = ?"
PUT_CURSOR = "INSERT OR REPLACE INTO cursors VALUES (?, ?)"
PUT_KEY = "INSERT OR IGNORE INTO captured_keys (subject, key) VALUES (?, ?)"
KEYS = """
SELECT number, key FROM captured_keys WHERE subject = ? AND number > ? ORDER BY number LIMIT ?
"""
ADD_BYPASS = """
INSERT INTO bypasses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET changes = changes + excluded.changes,
    first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at),
    key = excluded.key, entry = excluded.entry
"""
BYPASSES = """
SELECT * FROM bypasses WHERE (?1 IS NULL OR group_name = ?1)
ORDER BY last_at DESC, group_name, entity, subject LIMIT ?2
"""
PRUNE_BYPASSES = "DELETE FROM bypasses WHERE last_at < ?"
PRUNE_RANGES = "DELETE FROM ranges WHERE at < ?"
