"""What may happen to a dual write, as steps inside one transaction of the journal.

Each function checks first and writes afterwards: one that raises a `BridgeError` has written
nothing, so that the writes which share its commit are not touched.
"""

import dataclasses
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bridge.gateway.dual.ports import KeyInUse, LaneUnreplayed, WriteStateForbidden
from bridge.gateway.dual.states import FINAL, may_follow
from bridge.model.errors import LaneBusy, StaleEpoch
from bridge.model.http import HttpResponse
from bridge.model.stage import Side
from bridge.model.warrant import Warrant
from bridge.model.write import MadeId, WriteIntent, WriteKind, WriteLevel, WriteState
from bridge.storage.journal import sql
from bridge.storage.journal.entries import is_told, write_entry
from bridge.storage.journal.pairs import complete_pairs, record_halves
from bridge.storage.journal.rows import (
    KINDS,
    STATES,
    WriteFacts,
    answer_row,
    intent_row,
    pending_row,
    request_row,
    write_of,
)


def open_write(connection: sqlite3.Connection, intent: WriteIntent) -> None:
    """Insert an intent, fenced by its group's epoch and its lane."""
    _check_fences(connection, intent)
    try:
        _insert(connection, intent)
    except sqlite3.IntegrityError:
        _check_client_key(connection, intent)
        raise


def record_write(
    connection: sqlite3.Connection,
    intent: WriteIntent,
    state: WriteState,
    *,
    at: datetime,
    response: HttpResponse | None = None,
    lane: str | None = None,
    ids: Sequence[MadeId] = (),
    reason: str | None = None,
) -> int | None:
    """Insert an intent together with its outcome; see `WriteJournal.record`."""
    known = connection.execute(sql.RECORDED, (intent.intent_id,)).fetchone()
    if known is not None:
        sequence: int | None = known[0]
        return sequence
    if intent.kind is WriteKind.REPAIR:
        _check_fences(connection, intent)
    assert state is not WriteState.IN_DOUBT or intent.level is WriteLevel.OUTCOME, (
        "only an outcome without an intent may be in doubt beside another write"
    )
    if intent.client_key is not None:
        key = (intent.group, intent.route, intent.client_key)
        if connection.execute(sql.CLIENT_KEY_USED, key).fetchone() is not None:
            intent = dataclasses.replace(intent, client_key=None)
    # Nothing can stand in the way of a row whose lane is its own; settling gives it the true one.
    _insert(connection, dataclasses.replace(intent, lane=f"record:{intent.intent_id}"))
    return settle_write(
        connection,
        intent.intent_id,
        state,
        at=at,
        response=response,
        lane=lane or intent.lane,
        ids=ids,
        reason=reason,
    )


def _check_fences(connection: sqlite3.Connection, intent: WriteIntent) -> None:
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
    holder = connection.execute(sql.IN_FLIGHT, (intent.group, intent.lane)).fetchone()
    if holder is not None:
        _check_client_key(connection, intent)
        raise LaneBusy(
            f"cannot open write {intent.intent_id}: write {holder[0]} of the same key is "
            f"{holder[1]}"
        )


def _insert(connection: sqlite3.Connection, intent: WriteIntent) -> None:
    inserted = connection.execute(sql.INSERT_WRITE, intent_row(intent))
    connection.execute(sql.INSERT_REQUEST, request_row(inserted.lastrowid or 0, intent.request))


def _check_client_key(connection: sqlite3.Connection, intent: WriteIntent) -> None:
    if intent.client_key is not None:
        row = connection.execute(
            sql.WRITE + "WHERE w.group_name = ? AND w.route = ? AND w.client_key = ?",
            (intent.group, intent.route, intent.client_key),
        ).fetchone()
        if row is not None:
            raise KeyInUse(
                f"cannot open write {intent.intent_id}: its Idempotency-Key belongs to {row[0]}",
                write_of(row),
            )


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
    facts = _known(connection, intent_id, state)
    again = facts.state is state and state is not WriteState.IN_DOUBT  # Its reason may be better.
    if again or (state is WriteState.APPLIED and facts.sequence is not None):
        return facts.sequence  # Recorded by an earlier call, whose answer was lost.
    _check(intent_id, facts, state)
    lane = lane or facts.lane
    sequence = None
    if state is WriteState.APPLIED and facts.kind is WriteKind.COMPENSATION:
        # The other side never had what it undoes, so that nothing is left to be replayed.
        state = WriteState.DONE
        _compensate(connection, facts, intent_id, at)
    if state is WriteState.APPLIED:
        towards = Side(facts.authority).other.value
        sequence = connection.execute(
            sql.INSERT_LANE_ENTRY, (facts.group, lane, towards, facts.number)
        ).lastrowid
        record_halves(connection, facts, ids)
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
    if is_told(facts.state, state, warrant):
        _tell(connection, intent_id, facts, state, status, warrant, reason, at)
    return sequence


def _compensate(
    connection: sqlite3.Connection, facts: WriteFacts, intent_id: str, at: datetime
) -> None:
    """Take the compensated write out of its lane, unless somebody decided about it meanwhile."""
    assert facts.compensates is not None, "a compensation names what it undoes"
    found = connection.execute(sql.STATE_OF, (facts.compensates,)).fetchone()
    if found is not None and may_follow(STATES[found[0]], WriteState.COMPENSATED):
        move_write(
            connection,
            facts.compensates,
            WriteState.COMPENSATED,
            at=at,
            reason=f"undone by write {intent_id}",
            attempted=False,
        )
        connection.execute("UPDATE nudges SET number = number + 1")


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
    facts = _known(connection, intent_id, state)
    if facts.state is state and state in FINAL:
        return
    _check(intent_id, facts, state)
    if ids:
        complete_pairs(connection, facts, ids)
    final_at = at.timestamp() if state in FINAL else None
    connection.execute(sql.MOVE, (state.value, reason, final_at, int(attempted), facts.number))
    if state in FINAL:
        connection.execute(sql.DELETE_LANE_ENTRY, (facts.number,))
    elif state is not facts.state:
        parked = int(state is WriteState.PARKED)
        connection.execute(sql.PARK_LANE_ENTRY, (parked, facts.number))
    if is_told(facts.state, state, warrant):
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


def _known(connection: sqlite3.Connection, intent_id: str, following: WriteState) -> WriteFacts:
    row = connection.execute(sql.WRITE_FACTS, (intent_id,)).fetchone()
    if row is None:
        raise WriteStateForbidden(
            f"cannot make write {intent_id} {following.value}: it is not in the journal"
        )
    return WriteFacts._make((*row[:6], STATES[row[6]], *row[7:9], KINDS[row[9]], *row[10:]))


def _check(intent_id: str, facts: WriteFacts, following: WriteState) -> None:
    if not may_follow(facts.state, following):
        raise WriteStateForbidden(
            f"cannot make write {intent_id} {following.value}: it is {facts.state.value}"
        )


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
        kind=facts.kind,
        compensates=facts.compensates,
    )
    connection.execute(sql.INSERT_PENDING, pending_row(draft))
