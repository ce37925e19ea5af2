"""The facts by which a stream may start: cluster, timeline history and slot, all read-only."""

from typing import Any

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from adapters.postgres.server import PostgresServer
from bridge.capture.cursor import CaptureCursor
from bridge.capture.guard.verdict import (
    Place,
    ServerPlace,
    SlotFacts,
    Verdict,
    judge,
    parse_history,
)
from bridge.model.errors import DecodeError
from bridge.model.lsn import parse_lsn

# As JSON: `conflicting` came with 16, `invalidation_reason` with 17.
_SLOT = """
select to_jsonb(s) - 'slot_name' from pg_replication_slots s where slot_name = %s
"""


def read_slot_facts(connection: psycopg.Connection, name: str) -> SlotFacts | None:
    """Return what the server says about slot `name`; None when there is none."""
    row = connection.execute(_SLOT, (name,)).fetchone()
    return None if row is None else slot_facts(row[0])


def slot_facts(slot: dict[str, Any]) -> SlotFacts:
    """Return the facts of a row of `pg_replication_slots`, of any server version."""
    confirmed = slot["confirmed_flush_lsn"]
    invalidation = slot.get("invalidation_reason")
    if invalidation is None and slot.get("conflicting"):
        invalidation = "conflicting"
    return SlotFacts(
        confirmed=parse_lsn(confirmed) if confirmed else None,
        active_pid=slot["active_pid"],
        wal_status=slot["wal_status"],
        invalidation=invalidation,
    )


def judge_start(
    server: PostgresServer,
    connection: psycopg.Connection,
    cursor: CaptureCursor,
    *,
    slot: str,
    system_id: str,
    timeline: int,
    flushed: int,
) -> Verdict:
    """Return whether the stream may go on at `cursor`."""
    left_at = None
    if system_id == cursor.system_id and timeline > cursor.timeline:
        left_at = _read_left_at(server, timeline, cursor.timeline)
    return judge(
        Place(system_id=cursor.system_id, timeline=cursor.timeline, end_lsn=cursor.end_lsn),
        ServerPlace(system_id=system_id, timeline=timeline, flushed=flushed, left_ours_at=left_at),
        read_slot_facts(connection, slot),
        name=slot,
    )


def _read_left_at(server: PostgresServer, timeline: int, ours: int) -> int | None:
    """Return where the history of `timeline` left timeline `ours`."""
    with server.connect_replication() as connection, server.errors("read a timeline's history of"):
        result = connection.pgconn.exec_(f"TIMELINE_HISTORY {timeline}".encode())
        if result.status != ExecStatus.TUPLES_OK:
            raise error_from_result(result)
        content = result.get_value(0, 1) or b""
    try:
        # A comment of an administrator may be in any encoding; the numbers are ASCII.
        return parse_history(content.decode("ascii", "replace")).get(ours)
    except ValueError:
        raise DecodeError(
            f"cannot read the history of timeline {timeline} at {server.place}: "
            f"{len(content)} bytes are not a history file"
        ) from None
