"""The statements of the desk on PostgreSQL: switching, listing, ids, entries for the log."""

from typing import Final, LiteralString

from bridge.model.write import WriteState

ENSURE_GROUPS: LiteralString = """
INSERT INTO bridge_journal.groups
SELECT name, 'legacy', 0, false FROM unnest(%s::text[]) AS name ON CONFLICT DO NOTHING
"""

GROUP: LiteralString = (
    "SELECT name, stage, epoch, lanes_held, share_percent, forced_until"
    " FROM bridge_journal.groups WHERE name = %s FOR UPDATE"
)

MOVE_GROUP: LiteralString = (
    "UPDATE bridge_journal.groups SET stage = %s, epoch = %s, share_percent = %s WHERE name = %s"
)

FORCE: LiteralString = (
    "UPDATE bridge_journal.groups SET forced_until = greatest(forced_until, %s) WHERE name = %s"
)

HOLD_LANES: LiteralString = "UPDATE bridge_journal.groups SET lanes_held = %s WHERE name = %s"

LAST_SWITCH: LiteralString = "SELECT hash FROM bridge_journal.switches ORDER BY number DESC LIMIT 1"

INSERT_SWITCH: LiteralString = """
INSERT INTO bridge_journal.switches (group_name, epoch, from_stage, to_stage, actor, reason,
    ticket, switched_at, previous_hash, hash, from_share_percent, to_share_percent)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

SWITCHES: LiteralString = """
SELECT group_name, epoch, from_stage, to_stage, actor, reason, ticket, switched_at, previous_hash,
    hash, from_share_percent, to_share_percent
FROM bridge_journal.switches ORDER BY number
"""

_NEEDING: LiteralString = "WHERE w.state IN ('in_doubt', 'parked')"

LIST_BY_STATE: Final[dict[WriteState | None, LiteralString]] = {
    None: _NEEDING,
    WriteState.IN_DOUBT: _NEEDING + " AND w.state = 'in_doubt'",
    WriteState.PARKED: _NEEDING + " AND w.state = 'parked'",
    WriteState.INTENT: "WHERE w.state IN ('intent', 'in_doubt') AND w.state = 'intent'",
    WriteState.APPLIED: "WHERE w.state = 'applied' "
    "AND w.number IN (SELECT write_number FROM bridge_journal.lane_entries)",
}
"""The condition first by which an index finds them."""

LIST_OTHER: LiteralString = "WHERE w.state = %(state)s"
LIST_ALL: LiteralString = "WHERE true"

LIST_REST: LiteralString = """
AND (%(group)s::text IS NULL OR w.group_name = %(group)s)
AND (%(lane)s::text IS NULL OR w.lane = %(lane)s)
AND (%(kind)s::text IS NULL OR w.kind = %(kind)s)
AND (NOT %(special)s OR w.kind <> 'client')
ORDER BY w.number DESC LIMIT %(count)s
"""

STATE_AND_LANE: LiteralString = "SELECT state, lane FROM bridge_journal.writes WHERE intent_id = %s"

LANE_COUNTS: LiteralString = """
SELECT e.group_name, e.towards, count(DISTINCT e.lane), count(*), count(*) FILTER (WHERE e.parked),
    min(w.opened_at)
FROM bridge_journal.lane_entries e JOIN bridge_journal.writes w ON w.number = e.write_number
GROUP BY e.group_name, e.towards ORDER BY 1, 2
"""

PENDING: LiteralString = """
SELECT number, kind, entry_id, fields, payload FROM bridge_journal.pending_entries
WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, number LIMIT %s
"""

# Every transaction up to that of `through` had ended when it was read, so that all of them were.
DISCARD: LiteralString = """
DELETE FROM bridge_journal.pending_entries p USING bridge_journal.pending_entries t
WHERE t.number = %(through)s AND (p.xid < t.xid OR (p.xid = t.xid AND p.number <= t.number))
"""

KNOWN_PAIRS: LiteralString = """
SELECT number, legacy_id, modern_id FROM bridge_journal.ids
WHERE group_name = %(group)s AND entity = %(entity)s AND legacy_id = ANY(%(legacy)s::text[])
UNION
SELECT number, legacy_id, modern_id FROM bridge_journal.ids
WHERE group_name = %(group)s AND entity = %(entity)s AND modern_id = ANY(%(modern)s::text[])
"""

INSERT_PAIRS: LiteralString = """
INSERT INTO bridge_journal.ids (group_name, entity, legacy_id, modern_id, lane)
SELECT %s, %s, legacy_id, modern_id, lane
FROM unnest(%s::text[], %s::text[], %s::text[]) AS p(legacy_id, modern_id, lane)
"""

# Ids in the order in which they became known: a walk over them can be taken up where it stopped.
ID_KEYS: LiteralString = """
SELECT number, coalesce(legacy_id, modern_id) FROM bridge_journal.ids
WHERE group_name = %s AND entity = %s AND number > %s ORDER BY number LIMIT %s
"""
