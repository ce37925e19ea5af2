"""What may happen to a dual write, as steps inside one transaction of the journal.

Each function checks first and writes afterwards: one that raises a `BridgeError` has written
nothing, so that the writes which share its commit are not touched.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bridge.gateway.dual.ports import IdTaken, KeyInUse, LaneUnreplayed, WriteStateForbidden
from bridge.gateway.dual.states import FINAL, may_follow
from bridge.gateway.translation.ids import lane_of
from bridge.model.errors import LaneBusy, StaleEpoch
from bridge.model.http import HttpResponse
from bridge.model.stage import Side
from bridge.model.warrant import Warrant
from bridge.model.write import MadeId, WriteIntent, WriteState
from bridge.storage.journal import sql
from bridge.storage.journal.entries import TOLD, write_entry
from bridge.storage.journal.rows import (
    STATES,
    answer_row,
    intent_row,
    pending_row,
    request_row,
    write_of,
)


class WriteFacts(NamedTuple):
    """The short row of one write."""

    number: int
    group: str
    route: str
    epoch: int
    authority: str
    lane: str
    state: WriteState
    attempts: int
    revision: int


def open_write(connection: sqlite3.Connection, intent: WriteIntent) -> None:
    """Insert an intent, fenced by its group's epoch and its lane."""
    found = connection.execute(sql.EPOCH, (intent.group,)).fetchone()
    if found is None or found[0] != intent.epoch:
        raise StaleEpoch(
            f"cannot open write {intent.intent_id}: group {intent.group!r} is at epoch "
            f"{None if found is None else found[0]}, decided under {intent.epoch}"
        )
    waiting = connection.execute(sql.UNREPLAYED, (intent.group, intent.lane)).fetchone()
    if waiting is not None and waiting[0] == intent.authority.value:
        raise LaneUnreplayed(
            f"cannot open write {intent.intent_id} on {intent.authority.value}: earlier writes of "
            "its key have not been replayed there"
        )
    try:
        inserted = connection.execute(sql.INSERT_WRITE, intent_row(intent))
    except sqlite3.IntegrityError as exc:
        _explain_refusal(connection, intent, exc)
    connection.execute(sql.INSERT_REQUEST, request_row(inserted.lastrowid or 0, intent.request))


def _explain_refusal(
    connection: sqlite3.Connection, intent: WriteIntent, cause: sqlite3.IntegrityError
) -> None:
    if intent.client_key is not None:
        row = connection.execute(
            sql.WRITE + "WHERE w.group_name = ? AND w.route = ? AND w.client_key = ?",
            (intent.group, intent.route, intent.client_key),
        ).fetchone()
        if row is not None:
            raise KeyInUse(
                f"cannot open write {intent.intent_id}: its Idempotency-Key belongs to {row[0]}",
                write_of(row),
            ) from cause
    holder = connection.execute(sql.IN_FLIGHT, (intent.group, intent.lane)).fetchone()
    if holder is None:
        raise cause
    raise LaneBusy(
        f"cannot open write {intent.intent_id}: write {holder[0]} of the same key is {holder[1]}"
    ) from cause


def settle_write(
    connection: sqlite3.Connection,
    intent_id: str,
    state: WriteState,
    *,
    at: datetime,
    response: HttpResponse | None = None,
    lane: str | None = None,
    ids: Sequence[MadeId] = (),
    reason: str | None = None,
    release_key: bool = False,
    warrant: Warrant | None = None,
) -> int | None:
    """Record how the authority's call ended; see `WriteJournal.settle`."""
    facts = _facts(connection, intent_id, state)
    lane = lane or facts.lane
    sequence = None
    if state is WriteState.APPLIED:
        towards = Side(facts.authority).other.value
        sequence = connection.execute(
            sql.INSERT_LANE_ENTRY, (facts.group, lane, towards, facts.number)
        ).lastrowid
        _record_halves(connection, facts, lane, ids)
    connection.execute(
        sql.SETTLE,
        (
            state.value,
            lane,
            sequence,
            reason,
            at.isoformat(),
            at.timestamp() if state in FINAL else None,
            release_key,
            facts.number,
        ),
    )
    if response is not None:
        connection.execute(sql.INSERT_ANSWER, answer_row(facts.number, response))
    status = None if response is None else response.status
    if state in TOLD or warrant is not None:
        _tell(connection, intent_id, facts, state, status, warrant, reason, at)
    return sequence


def move_write(
    connection: sqlite3.Connection,
    intent_id: str,
    state: WriteState,
    *,
    at: datetime,
    ids: Sequence[MadeId] = (),
    reason: str | None = None,
    attempted: bool = True,
    warrant: Warrant | None = None,
) -> None:
    """Record how a replay ended, or what a person decided about it."""
    facts = _facts(connection, intent_id, state)
    if ids:
        _complete_pairs(connection, facts, ids)
    final_at = at.timestamp() if state in FINAL else None
    connection.execute(sql.MOVE, (state.value, reason, final_at, int(attempted), facts.number))
    if state in FINAL:
        connection.execute(sql.DELETE_LANE_ENTRY, (facts.number,))
    elif state is not facts.state:
        parked = int(state is WriteState.PARKED)
        connection.execute(sql.PARK_LANE_ENTRY, (parked, facts.number))
    if state in TOLD or warrant is not None:
        _tell(connection, intent_id, facts, state, None, warrant, reason, at)


def orphan_writes(connection: sqlite3.Connection, owner: str, at: datetime) -> list[str]:
    """Put every intent of a dead owner in doubt."""
    rows = connection.execute(
        "SELECT intent_id FROM writes WHERE state IN ('intent', 'in_doubt') "
        "AND state = 'intent' AND owner = ?",
        (owner,),
    ).fetchall()
    for (intent_id,) in rows:
        settle_write(
            connection,
            intent_id,
            WriteState.IN_DOUBT,
            at=at,
            reason="the gateway process died before it had the authority's answer",
        )
    return [intent_id for (intent_id,) in rows]


def prune_writes(connection: sqlite3.Connection, final_before: float, count_max: int) -> int:
    """Forget writes that became final before `final_before` (seconds since 1970)."""
    rows = connection.execute(
        "SELECT number FROM writes WHERE final_at IS NOT NULL AND final_at < ? LIMIT ?",
        (final_before, count_max),
    ).fetchall()
    for statement in (
        "DELETE FROM answers WHERE number = ?",
        "DELETE FROM requests WHERE number = ?",
        "DELETE FROM writes WHERE number = ?",
    ):
        connection.executemany(statement, rows)
    return len(rows)


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


def _facts(connection: sqlite3.Connection, intent_id: str, following: WriteState) -> WriteFacts:
    row = connection.execute(sql.WRITE_FACTS, (intent_id,)).fetchone()
    if row is None:
        raise WriteStateForbidden(
            f"cannot make write {intent_id} {following.value}: it is not in the journal"
        )
    facts = WriteFacts._make((*row[:6], STATES[row[6]], *row[7:]))
    if not may_follow(facts.state, following):
        raise WriteStateForbidden(
            f"cannot make write {intent_id} {following.value}: it is {facts.state.value}"
        )
    return facts


def _record_halves(
    connection: sqlite3.Connection, facts: WriteFacts, lane: str, ids: Sequence[MadeId]
) -> None:
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


def _complete_pairs(
    connection: sqlite3.Connection, facts: WriteFacts, ids: Sequence[MadeId]
) -> None:
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
                "id that belongs to another one"
            )
        completed.append((made.id, exact[0][0]))
    connection.executemany(sql.COMPLETE_PAIR[side], completed)


def _tell(
    connection: sqlite3.Connection,
    intent_id: str,
    facts: WriteFacts,
    state: WriteState,
    status: int | None,
    warrant: Warrant | None,
    reason: str | None,
    at: datetime,
) -> None:
    draft = write_entry(
        intent_id=intent_id,
        revision=facts.revision + 1,
        group=facts.group,
        route=facts.route,
        epoch=facts.epoch,
        authority=facts.authority,
        before=facts.state,
        after=state,
        status=status,
        attempts=facts.attempts,
        warrant=warrant,
        reason=reason,
        at=at,
    )
    connection.execute(sql.INSERT_PENDING, pending_row(draft))
