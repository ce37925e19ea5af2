"""The write journal's statements on PostgreSQL; each handles a whole batch by `unnest`."""

from typing import Final, LiteralString

LOCK_SHARED: LiteralString = (
    "SELECT count(pg_advisory_xact_lock_shared(k)) FROM unnest(%s::bigint[]) AS k"
)
"""Of groups: writes of a group go side by side, a switch goes alone."""

LOCK: LiteralString = "SELECT count(pg_advisory_xact_lock(k)) FROM unnest(%s::bigint[]) AS k"
"""Of lanes, client keys and writes, in one order for everybody (`unnest` keeps it)."""

# Fenced by epoch, lease and lane, all of which were locked by an earlier statement, so that this
# one's snapshot shows them as they are. `fenced` is false for what is recorded afterwards. Scalar
# subqueries, because the planner answers EXISTS by reading all that is in flight into a hash.
OPEN: LiteralString = """
WITH i AS (
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[],
        %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::text[], %s::boolean[], %s::boolean[], %b::bytea[], %b::bytea[],
        %b::bytea[], %b::bytea[])
    WITH ORDINALITY AS i(intent_id, group_name, route, epoch, authority, lane, idempotency_key,
        client_key, fingerprint, owner, opened_at, level, kind, compensates, fence_lane, fenced,
        leased, method, target, headers, body, place)
), made AS (
    INSERT INTO bridge_journal.writes (intent_id, group_name, route, epoch, authority, lane,
        idempotency_key, client_key, fingerprint, owner, opened_at, state, level, kind, compensates)
    SELECT intent_id, group_name, route, epoch, authority, lane, idempotency_key,
        CASE WHEN NOT fenced AND EXISTS (SELECT FROM bridge_journal.writes w
            WHERE (w.group_name, w.route, w.client_key) = (i.group_name, i.route, i.client_key))
            THEN NULL ELSE client_key END,
        fingerprint, owner, opened_at, 'intent', level, kind, compensates
    FROM i WHERE NOT fenced OR (
        (SELECT g.epoch FROM bridge_journal.groups g WHERE g.name = i.group_name) = i.epoch
        AND (NOT leased OR (SELECT r.lease_until FROM bridge_journal.replicas r
            WHERE r.owner = i.owner) > clock_timestamp())
        AND (SELECT 1 FROM bridge_journal.writes w WHERE w.group_name = i.group_name
            AND w.lane = i.fence_lane AND w.state IN ('intent', 'in_doubt') LIMIT 1) IS NULL
        AND COALESCE((SELECT e.towards <> i.authority FROM bridge_journal.lane_entries e
            WHERE e.group_name = i.group_name AND e.lane = i.fence_lane
            ORDER BY e.number LIMIT 1), true)
    )
    ORDER BY place
    ON CONFLICT DO NOTHING
    RETURNING number, intent_id
), kept AS (
    INSERT INTO bridge_journal.requests
    SELECT made.number, i.method, i.target, i.headers, i.body FROM made JOIN i USING (intent_id)
)
SELECT intent_id FROM made
"""

# Why an intent is not there: read after the batch, so that the others do not wait for it.
REFUSAL: LiteralString = """
SELECT (SELECT epoch FROM bridge_journal.groups WHERE name = %(group)s),
    (SELECT towards FROM bridge_journal.lane_entries
        WHERE group_name = %(group)s AND lane = %(lane)s ORDER BY number LIMIT 1),
    EXISTS (SELECT FROM bridge_journal.replicas
        WHERE owner = %(owner)s AND lease_until > clock_timestamp()),
    (SELECT state FROM bridge_journal.writes WHERE intent_id = %(intent)s)
"""

FACTS: LiteralString = """
SELECT intent_id, number, group_name, route, epoch, authority, lane, state, attempts, revision,
    kind, compensates, sequence
FROM bridge_journal.writes WHERE intent_id = ANY(%s::text[]) ORDER BY number FOR UPDATE
"""

HALF_PAIRS: LiteralString = """
SELECT w.intent_id, i.number, i.entity, i.place
FROM bridge_journal.writes w JOIN bridge_journal.ids i ON i.write_number = w.number
WHERE w.intent_id = ANY(%s::text[]) AND (i.legacy_id IS NULL OR i.modern_id IS NULL)
ORDER BY i.number
"""

# Ids of an answer that are paired already, whoever they belong to.
TAKEN: LiteralString = """
WITH x AS (
    SELECT x.entity, x.id, w.intent_id, w.group_name, w.authority
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS x(intent_id, entity, id)
    JOIN bridge_journal.writes w USING (intent_id)
)
SELECT x.intent_id, x.entity, x.id FROM x JOIN bridge_journal.ids i ON x.authority = 'legacy'
    AND (i.group_name, i.entity, i.modern_id) = (x.group_name, x.entity, x.id)
UNION ALL
SELECT x.intent_id, x.entity, x.id FROM x JOIN bridge_journal.ids i ON x.authority = 'modern'
    AND (i.group_name, i.entity, i.legacy_id) = (x.group_name, x.entity, x.id)
"""

# Sequences are taken in the order of the batch. They are handed on by the row, because joining what
# was inserted to what was sent compares each with each.
SETTLE: LiteralString = """
WITH s AS MATERIALIZED (
    SELECT s.*, CASE WHEN state = 'applied'
        THEN nextval('bridge_journal.lane_entries_number_seq') END AS sequence
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::float8[], %s::boolean[], %s::text[], %s::text[])
    AS s(number, state, lane, reason, settled_at, final_at, release_key, group_name, towards)
), e AS (
    INSERT INTO bridge_journal.lane_entries (number, group_name, lane, towards, write_number)
    OVERRIDING SYSTEM VALUE
    SELECT sequence, group_name, lane, towards, number FROM s WHERE sequence IS NOT NULL
)
UPDATE bridge_journal.writes w SET state = s.state, lane = s.lane, sequence = s.sequence,
    reason = s.reason, settled_at = s.settled_at, final_at = s.final_at,
    client_key = CASE WHEN s.release_key THEN NULL ELSE w.client_key END,
    revision = w.revision + 1
FROM s WHERE w.number = s.number RETURNING w.number, w.sequence
"""

INSERT_ANSWERS: LiteralString = """
INSERT INTO bridge_journal.answers
SELECT * FROM unnest(%s::bigint[], %s::int[], %b::bytea[], %b::bytea[], %b::bytea[])
"""

INSERT_HALVES: LiteralString = """
INSERT INTO bridge_journal.ids
    (group_name, entity, legacy_id, modern_id, lane, write_number, place)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[],
    %s::text[])
ON CONFLICT DO NOTHING
"""

COMPLETE_PAIRS: LiteralString = """
UPDATE bridge_journal.ids i SET legacy_id = COALESCE(i.legacy_id, x.id),
    modern_id = CASE WHEN i.legacy_id IS NULL THEN i.modern_id ELSE x.id END
FROM unnest(%s::bigint[], %s::text[]) AS x(number, id) WHERE i.number = x.number
"""

MOVE: LiteralString = """
UPDATE bridge_journal.writes w SET state = m.state, reason = m.reason, final_at = m.final_at,
    attempts = w.attempts + m.attempts, revision = w.revision + 1
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::float8[], %s::int[])
    AS m(number, state, reason, final_at, attempts)
WHERE w.number = m.number
"""

DELETE_LANE_ENTRIES: LiteralString = """
DELETE FROM bridge_journal.lane_entries WHERE write_number = ANY(%s::bigint[])
"""

PARK_LANE_ENTRIES: LiteralString = """
UPDATE bridge_journal.lane_entries e SET parked = p.parked
FROM unnest(%s::bigint[], %s::boolean[]) AS p(number, parked) WHERE e.write_number = p.number
"""

INSERT_PENDING: LiteralString = """
INSERT INTO bridge_journal.pending_entries (kind, entry_id, fields, payload)
SELECT kind, entry_id, fields, payload
FROM unnest(%s::text[], %s::text[], %b::bytea[], %b::bytea[])
    WITH ORDINALITY AS p(kind, entry_id, fields, payload, place) ORDER BY place
"""

NUDGE_MORE: LiteralString = "UPDATE bridge_journal.nudges SET number = number + 1 RETURNING number"

# Rows of transactions that ended before the oldest one that still runs: nothing can appear among
# them any more. A page ends with a whole transaction.
NEWS: LiteralString = """
SELECT xid::text::bigint, group_name, lane, towards FROM bridge_journal.lane_entries
WHERE xid > %s::text::xid8 AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid FETCH FIRST %s ROWS WITH TIES
"""

NUDGE: LiteralString = "SELECT number FROM bridge_journal.nudges"

BEHIND: LiteralString = """
SELECT
    EXISTS (SELECT 1 FROM bridge_journal.lane_entries
        WHERE group_name = %(group)s AND towards = %(side)s),
    EXISTS (SELECT 1 FROM bridge_journal.writes
        WHERE group_name = %(group)s AND state IN ('intent', 'in_doubt'))
"""

LANE_STATE: LiteralString = """
SELECT h.intent_id, h.state, e.towards, e.parked FROM (VALUES (1)) AS one
LEFT JOIN LATERAL (SELECT intent_id, state FROM bridge_journal.writes
    WHERE group_name = %(group)s AND lane = %(lane)s AND state IN ('intent', 'in_doubt')
    LIMIT 1) h ON true
LEFT JOIN LATERAL (SELECT towards, parked FROM bridge_journal.lane_entries
    WHERE group_name = %(group)s AND lane = %(lane)s ORDER BY number LIMIT 1) e ON true
"""

WRITE: LiteralString = """
SELECT w.intent_id, w.group_name, w.route, w.epoch, w.authority, w.lane, w.idempotency_key,
    w.owner, w.opened_at, w.client_key, w.fingerprint, r.method, r.target, r.headers, r.body,
    w.state, w.sequence, w.attempts, w.reason, w.settled_at, a.status, a.reason, a.headers, a.body,
    w.level, w.kind, w.compensates
FROM bridge_journal.writes w JOIN bridge_journal.requests r USING (number)
LEFT JOIN bridge_journal.answers a USING (number)
"""

_OF_HEAD: LiteralString = """
WHERE w.number = (
    SELECT CASE WHEN e.parked OR COALESCE(g.lanes_held, false) THEN NULL ELSE e.write_number END
    FROM bridge_journal.lane_entries e LEFT JOIN bridge_journal.groups g ON g.name = e.group_name
    WHERE e.group_name = %s AND e.lane = %s ORDER BY e.number LIMIT 1)
"""
HEAD: LiteralString = WRITE + _OF_HEAD

KEYED: LiteralString = WRITE + "WHERE w.group_name = %s AND w.route = %s AND w.client_key = %s"

SHOW: LiteralString = WRITE + "WHERE w.intent_id = %s"

# Of `WRITE`.
DOUBTFUL: LiteralString = """
WHERE w.state IN ('in_doubt', 'parked') AND w.state = 'in_doubt'
AND w.number > COALESCE((SELECT number FROM bridge_journal.writes WHERE intent_id = %s), 0)
ORDER BY w.number LIMIT %s
"""

PRUNE: LiteralString = """
WITH old AS (
    SELECT number FROM bridge_journal.writes WHERE final_at < %s LIMIT %s FOR UPDATE SKIP LOCKED
), answers AS (
    DELETE FROM bridge_journal.answers WHERE number IN (SELECT number FROM old)
), requests AS (
    DELETE FROM bridge_journal.requests WHERE number IN (SELECT number FROM old)
)
DELETE FROM bridge_journal.writes WHERE number IN (SELECT number FROM old)
"""

PAIR_BY: Final[dict[str, LiteralString]] = {
    "legacy": "SELECT entity, legacy_id, modern_id, lane FROM bridge_journal.ids "
    "WHERE group_name = %s AND entity = %s AND legacy_id = %s",
    "modern": "SELECT entity, legacy_id, modern_id, lane FROM bridge_journal.ids "
    "WHERE group_name = %s AND entity = %s AND modern_id = %s",
}

GROUPS: LiteralString = (
    "SELECT name, stage, epoch, lanes_held, share_percent, forced_until"
    " FROM bridge_journal.groups ORDER BY name"
)

OPEN_OWNERS: LiteralString = """
SELECT DISTINCT owner FROM bridge_journal.writes
WHERE state IN ('intent', 'in_doubt') AND state = 'intent'
"""

ORPHANS: LiteralString = """
SELECT intent_id FROM bridge_journal.writes
WHERE state IN ('intent', 'in_doubt') AND state = 'intent' AND owner = %s ORDER BY number
"""
