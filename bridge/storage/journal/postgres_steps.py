"""One commit of the journal on PostgreSQL: a whole batch in two round trips.

The first one locks, opens and reads what is known of the writes to be changed; the second one
changes them all and commits. Intents alone need only the first one. What an operation may not do
is found between the two, so that one which is refused has written nothing and its neighbours are
not touched.
"""

from collections.abc import Sequence
from typing import Any, Final, LiteralString, NamedTuple

from bridge.model.entry import EntryDraft
from bridge.model.errors import BridgeError
from bridge.model.write import WriteIntent, WriteKind
from bridge.storage.journal import postgres_sql as sql
from bridge.storage.journal.batches import Failed
from bridge.storage.journal.postgres_arrays import ByteaArray, array_of, columns
from bridge.storage.journal.postgres_changes import (
    Changes,
    Move,
    SequenceOf,
    Settle,
    facts_of,
)
from bridge.storage.journal.postgres_connection import TimedConnection, lock_key
from bridge.storage.journal.rows import WriteFacts, intent_row, request_row

OPENED: Final = "opened"
"""Result of an `Open` whose row was made."""

NOT_OPENED: Final = "not opened"
"""Result of an `Open` that something stands in the way of; ask what, after the commit."""


class Open(NamedTuple):
    """Make a promise durable."""

    intent: WriteIntent


class Tell(NamedTuple):
    """Leave an entry that stands for itself."""

    draft: EntryDraft


class Queue(NamedTuple):
    """One statement about a queued request; its result is how many rows it changed."""

    statement: LiteralString
    values: tuple[Any, ...]
    draft: EntryDraft | None = None
    """Left for the event log when it changed a row."""


Step = Open | Settle | Move | Tell | Queue


class _Known(NamedTuple):
    """What the first round trip found out."""

    opened: set[str]
    facts: dict[str, WriteFacts]
    halves: dict[str, list[tuple[int, str, str]]]
    taken: set[tuple[str, str, str]]
    queued: dict[int, int]
    """How many rows each `Queue` changed, by its identity."""


def run_steps(
    connection: TimedConnection, steps: Sequence[Step], *, nudge: bool = False
) -> list[Any]:
    """Carry out `steps` in one durable commit; return a result or `Failed` for each.

    A write is named by one of the steps at most. `nudge` has every lane looked at again.

    Raises:
        psycopg.Error: nothing of it was written, unless the connection broke: then it may be.
    """
    if all(isinstance(step, Open) for step in steps) and not nudge:
        known = _first_trip(connection, steps, commit=True)
        return [
            OPENED if step.intent.intent_id in known.opened else NOT_OPENED
            for step in steps
            if isinstance(step, Open)
        ]
    known = _first_trip(connection, steps)
    changes = Changes(known.facts, known.halves, known.taken)
    results: list[Any] = []
    for step in steps:
        try:
            results.append(_take(step, known, changes, connection))
        except BridgeError as exc:
            results.append(Failed(exc))
    if nudge:
        changes.nudge = True
    sequences = changes.write(connection)
    return [
        sequences.get(result.number) if isinstance(result, SequenceOf) else result
        for result in results
    ]


def _first_trip(
    connection: TimedConnection, steps: Sequence[Step], *, commit: bool = False
) -> _Known:
    opening = [step.intent for step in steps if isinstance(step, Open)]
    recording = [step.intent for step in steps if isinstance(step, Settle) and step.intent]
    named = [step.intent_id for step in steps if isinstance(step, Settle | Move)]
    pairing = [
        (step.intent_id, made.entity, made.id)
        for step in steps
        if isinstance(step, Move)
        for made in step.ids
    ]
    intents = opening + recording
    with connection.pipeline():
        connection.execute("BEGIN")
        if intents:
            groups = sorted({lock_key("group", intent.group) for intent in intents})
            connection.execute(sql.LOCK_SHARED, (array_of(groups),))
        keys = {lock_key("write", intent_id) for intent_id in named}
        for intent in intents:
            keys.add(lock_key("lane", intent.group, intent.lane))
            if intent.client_key is not None:
                keys.add(lock_key("key", intent.group, intent.route, intent.client_key))
        if keys:
            connection.execute(sql.LOCK, (array_of(sorted(keys)),))
        made = facts = halves = taken = None
        if intents:
            made = connection.execute(sql.OPEN, open_columns(opening, recording))
        if named:
            facts = connection.execute(sql.FACTS, (array_of(named),))
        if pairing:
            halves = connection.execute(sql.HALF_PAIRS, (array_of(named),))
            taken = connection.execute(sql.TAKEN, columns(pairing))
        queued = [
            (step, connection.execute(step.statement, step.values))
            for step in steps
            if isinstance(step, Queue)
        ]
        if commit:
            connection.execute("COMMIT")
    found: dict[str, list[tuple[int, str, str]]] = {}
    for row in halves.fetchall() if halves else ():
        found.setdefault(row[0], []).append(row[1:])
    return _Known(
        {row[0] for row in made.fetchall()} if made else set(),
        {row[0]: facts_of(row) for row in facts.fetchall()} if facts else {},
        found,
        set(taken.fetchall()) if taken else set(),
        {id(step): cursor.rowcount for step, cursor in queued},
    )


def open_columns(
    opening: Sequence[WriteIntent], recording: Sequence[WriteIntent]
) -> tuple[str | ByteaArray, ...]:
    """Return the columns of `OPEN`."""
    rows = [
        (*intent_row(intent), intent.lane, True, True, *request_row(0, intent.request)[1:])
        for intent in opening
    ]
    for intent in recording:
        row = list(intent_row(intent))
        # Nothing can stand in the way of a row whose lane is its own; settling gives the true one.
        row[5] = f"record:{intent.intent_id}"
        fenced = intent.kind is WriteKind.REPAIR
        rows.append((*row, intent.lane, fenced, False, *request_row(0, intent.request)[1:]))
    return columns(rows)


def _take(step: Step, known: _Known, changes: Changes, connection: TimedConnection) -> Any:
    if isinstance(step, Open):
        return OPENED if step.intent.intent_id in known.opened else NOT_OPENED
    if isinstance(step, Tell):
        changes.pending.append(step.draft)
        return None
    if isinstance(step, Move):
        return changes.move(step)
    if isinstance(step, Queue):
        if step.draft is not None and known.queued[id(step)]:
            changes.pending.append(step.draft)
        return known.queued[id(step)]
    if step.intent is not None and step.intent_id not in known.opened:
        found = known.facts.get(step.intent_id)
        return NOT_OPENED if found is None else found.sequence
    return changes.settle(step, connection)
