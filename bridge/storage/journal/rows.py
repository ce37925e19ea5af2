"""Rows of the write journal to values and back."""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final, NamedTuple

import orjson

from bridge.gateway.dual.ports import IdPair
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.stage import GroupState, Side, Stage, Switch
from bridge.model.warrant import Actor, Warrant
from bridge.model.write import (
    JournalledWrite,
    WriteIntent,
    WriteKind,
    WriteLevel,
    WriteState,
)
from bridge.switching.history import SwitchRecord

Clock = Callable[[], datetime]

SIDES: Final = {side.value: side for side in Side}
STATES: Final = {state.value: state for state in WriteState}
LEVELS: Final = {level.value: level for level in WriteLevel}
KINDS: Final = {kind.value: kind for kind in WriteKind}


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
    kind: WriteKind
    compensates: str | None
    sequence: int | None


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)


def pack_headers(headers: Headers) -> bytes:
    """Return header fields as JSON; names and values are bytes, and Latin-1 keeps each of them."""
    # In one go: three calls for all parts instead of one for each.
    parts = b"\n".join(chain.from_iterable(headers)).decode("latin-1").split("\n")
    if len(parts) != 2 * len(headers):  # None, or one of them has a line of its own.
        parts = [part.decode("latin-1") for field in headers for part in field]
    return orjson.dumps(parts)


def unpack_headers(packed: bytes) -> Headers:
    """Return header fields as they were packed."""
    parts = [part.encode("latin-1") for part in orjson.loads(packed)]
    return tuple(zip(parts[::2], parts[1::2], strict=True))


def request_row(number: int, request: HttpRequest) -> tuple[Any, ...]:
    """Return the row of a write's request."""
    return (
        number,
        request.method,
        request.target,
        pack_headers(request.headers),
        request.body,
    )


def answer_row(number: int, answer: HttpResponse) -> tuple[Any, ...]:
    """Return the row of the authority's answer to a write."""
    return (number, answer.status, answer.reason, pack_headers(answer.headers), answer.body)


def intent_row(intent: WriteIntent) -> tuple[Any, ...]:
    """Return the row of a new write."""
    return (
        intent.intent_id,
        intent.group,
        intent.route,
        intent.epoch,
        intent.authority.value,
        intent.lane,
        intent.idempotency_key,
        intent.client_key,
        intent.fingerprint,
        intent.owner,
        intent.opened_at.isoformat(),
        intent.level.value,
        intent.kind.value,
        intent.compensates,
    )


def write_of(row: Sequence[Any]) -> JournalledWrite:
    """Return the write of a row of `journal_sql.WRITE`."""
    intent = WriteIntent(
        intent_id=row[0],
        group=row[1],
        route=row[2],
        epoch=row[3],
        authority=SIDES[row[4]],
        lane=row[5],
        idempotency_key=row[6],
        owner=row[7],
        opened_at=datetime.fromisoformat(row[8]),
        client_key=row[9],
        fingerprint=row[10],
        request=HttpRequest(
            method=row[11], target=row[12], headers=unpack_headers(row[13]), body=row[14]
        ),
        level=LEVELS[row[24]],
        kind=KINDS[row[25]],
        compensates=row[26],
    )
    response = None
    if row[20] is not None:
        response = HttpResponse(
            status=row[20], reason=row[21], headers=unpack_headers(row[22]), body=row[23]
        )
    return JournalledWrite(
        intent=intent,
        state=STATES[row[15]],
        sequence=row[16],
        response=response,
        attempts=row[17],
        reason=row[18],
        settled_at=None if row[19] is None else datetime.fromisoformat(row[19]),
    )


def pair_of(row: Sequence[Any] | None) -> IdPair | None:
    """Return the pair of a row of `journal_sql.PAIR_BY`."""
    return None if row is None else IdPair(*row)


def group_of(row: Sequence[Any]) -> GroupState:
    """Return the group of a row of the table."""
    return GroupState(
        group=row[0],
        stage=Stage(row[1]),
        epoch=row[2],
        lanes_held=bool(row[3]),
        share_percent=row[4],
        forced_until=row[5],
    )


def switch_row(record: SwitchRecord) -> tuple[Any, ...]:
    """Return the row of a switch, without its number."""
    switch = record.switch
    return (
        switch.group,
        switch.epoch,
        switch.from_stage.value,
        switch.to_stage.value,
        packed_actor(switch.warrant.actor),
        switch.warrant.reason,
        switch.warrant.ticket,
        switch.switched_at.isoformat(),
        record.previous_hash,
        record.hash,
        switch.from_share_percent,
        switch.to_share_percent,
    )


def switch_of(row: Sequence[Any]) -> SwitchRecord:
    """Return the switch of a row of the table, without its number."""
    return SwitchRecord(
        Switch(
            group=row[0],
            epoch=row[1],
            from_stage=Stage(row[2]),
            to_stage=Stage(row[3]),
            warrant=Warrant(
                actor=Actor.from_json(orjson.loads(row[4])), reason=row[5], ticket=row[6]
            ),
            switched_at=datetime.fromisoformat(row[7]),
            from_share_percent=row[10],
            to_share_percent=row[11],
        ),
        row[8],
        row[9],
    )


def packed_actor(actor: Actor) -> str:
    """Return who acted as text of a row."""
    return orjson.dumps(actor.as_json()).decode()


def pending_row(draft: EntryDraft) -> tuple[Any, ...]:
    """Return the row of an entry that waits for the event log."""
    return (draft.kind.value, draft.entry_id, orjson.dumps(dict(draft.fields)), draft.payload)


def pending_of(row: sqlite3.Row | Sequence[Any]) -> tuple[int, EntryDraft]:
    """Return number and entry of a row (number, kind, entry_id, fields, payload)."""
    return row[0], EntryDraft(EntryKind(row[1]), row[2], orjson.loads(row[3]), row[4])
