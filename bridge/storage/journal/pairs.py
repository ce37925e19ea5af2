"""Pairs of ids, as steps inside one transaction of the journal."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from bridge.gateway.dual.ports import TAKEN_ADVICE, IdTaken
from bridge.gateway.translation.ids import lane_of
from bridge.model.stage import Side
from bridge.model.write import MadeId
from bridge.storage.journal import sql
from bridge.storage.journal.rows import WriteFacts


def import_pairs(
    connection: sqlite3.Connection, group: str, entity: str, pairs: Iterable[tuple[str, str]]
) -> int:
    """Insert known pairs, completing half known ones; return how many were new.

    Raises `IdTaken` after part of them: the caller rolls back.
    """
    count = 0
    for pair in pairs:
        by_legacy, by_modern = (
            connection.execute(sql.HALF_BY[side.value], (group, entity, known_id)).fetchone()
            for side, known_id in zip((Side.LEGACY, Side.MODERN), pair, strict=True)
        )
        if by_legacy is None and by_modern is None:
            lane = lane_of(entity, pair[0])
            connection.execute(sql.INSERT_ID, (group, entity, *pair, lane, None, ""))
        elif by_modern is None and by_legacy[1] is None:
            connection.execute(sql.COMPLETE_PAIR["modern"], (pair[1], by_legacy[0]))
        elif by_legacy is None and by_modern[1] is None:
            connection.execute(sql.COMPLETE_PAIR["legacy"], (pair[0], by_modern[0]))
        elif by_legacy is not None and by_modern is not None and by_legacy[0] == by_modern[0]:
            continue
        else:
            raise IdTaken(
                f"cannot import {entity!r} ids of group {group!r}: a pair contradicts one that is "
                f"known or given; nothing of its thousand was imported"
            )
        count += 1
    return count


def record_halves(connection: sqlite3.Connection, facts: WriteFacts, ids: Sequence[MadeId]) -> None:
    """Record the ids that the authority made; the other side's are not known yet."""
    for made in ids:
        known = connection.execute(
            sql.PAIR_BY[facts.authority], (facts.group, made.entity, made.id)
        ).fetchone()
        if known is not None:
            continue
        own = lane_of(made.entity, made.id)
        halves = (made.id, None) if facts.authority == "legacy" else (None, made.id)
        connection.execute(
            sql.INSERT_ID,
            (facts.group, made.entity, *halves, own, facts.number, made.place),
        )


def complete_pairs(
    connection: sqlite3.Connection, facts: WriteFacts, ids: Sequence[MadeId]
) -> None:
    """Give the write's half pairs the ids that the other side answered with."""
    side = Side(facts.authority).other.value
    halves: list[Any] = connection.execute(sql.HALF_PAIRS, (facts.number,)).fetchall()
    completed = []
    for made in ids:
        fitting = [half for half in halves if half[1] == made.entity]
        exact = [half for half in fitting if half[2] == made.place] or fitting
        if len(exact) != 1:
            continue  # Known already, or an answer that does not tell which is which.
        known = connection.execute(
            sql.PAIR_BY[side], (facts.group, made.entity, made.id)
        ).fetchone()
        if known is not None:
            raise IdTaken(
                f"cannot pair {made.entity!r} of group {facts.group!r}: {side} answered with an "
                f"id that belongs to another {made.entity!r}; {TAKEN_ADVICE}"
            )
        completed.append((made.id, exact[0][0]))
    connection.executemany(sql.COMPLETE_PAIR[side], completed)
