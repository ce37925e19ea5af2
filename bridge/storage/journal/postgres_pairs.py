"""Import known pairs of ids into the journal on PostgreSQL."""

from collections.abc import Sequence

import psycopg

from bridge.gateway.dual.ports import IdTaken
from bridge.gateway.translation.ids import lane_of
from bridge.storage.journal import postgres_desk_sql as desk_sql
from bridge.storage.journal import postgres_sql as sql
from bridge.storage.journal.postgres_arrays import columns
from bridge.storage.journal.postgres_connection import TimedConnection

Half = tuple[int | None, str | None, str | None]
"""Number of the row (None: it is new), legacy id, modern id."""


def import_pairs(
    connection: TimedConnection, group: str, entity: str, pairs: Sequence[tuple[str, str]]
) -> int:
    """Insert known pairs, completing half known ones; return how many were new.

    Raises `IdTaken` where one contradicts what is known or given: the caller rolls back.
    """
    rows = connection.execute(
        desk_sql.KNOWN_PAIRS,
        {
            "group": group,
            "entity": entity,
            "legacy": [legacy_id for legacy_id, _ in pairs],
            "modern": [modern_id for _, modern_id in pairs],
        },
    ).fetchall()
    by_legacy: dict[str, Half] = {row[1]: row for row in rows if row[1] is not None}
    by_modern: dict[str, Half] = {row[2]: row for row in rows if row[2] is not None}
    new: list[tuple[str, str, str]] = []
    completed: list[tuple[int, str]] = []
    for legacy_id, modern_id in pairs:
        left, right = by_legacy.get(legacy_id), by_modern.get(modern_id)
        whole: Half = (None, legacy_id, modern_id)
        if left is None and right is None:
            new.append((legacy_id, modern_id, lane_of(entity, legacy_id)))
        elif left is not None and left[1:] == whole[1:]:
            continue
        elif left is not None and right is None and left[2] is None and left[0] is not None:
            completed.append((left[0], modern_id))
        elif right is not None and left is None and right[1] is None and right[0] is not None:
            completed.append((right[0], legacy_id))
        else:
            raise _contradiction(group, entity)
        by_legacy[legacy_id] = by_modern[modern_id] = whole
    try:
        if new:
            connection.execute(desk_sql.INSERT_PAIRS, (group, entity, *columns(new)))
        if completed:
            connection.execute(sql.COMPLETE_PAIRS, columns(completed))
    except psycopg.errors.UniqueViolation as exc:  # A write made one of them meanwhile.
        raise _contradiction(group, entity) from exc
    return len(new) + len(completed)


def _contradiction(group: str, entity: str) -> IdTaken:
    return IdTaken(
        f"cannot import {entity!r} ids of group {group!r}: a pair contradicts one that is known or "
        "given; nothing of its thousand was imported"
    )
