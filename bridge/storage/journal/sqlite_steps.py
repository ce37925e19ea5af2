"""Open and settle many writes of one SQLite commit by a few statements.

SQLite itself costs little; what costs is that each step of each statement gives Python's lock away
and has to get it back from the event loop. So the plain cases of a batch go together: intents that
nothing stands in the way of, and successes that pair no ids. Whatever else there is takes the path
of one operation (`operations`), which knows every case and explains its refusals.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from bridge.model.http import HttpResponse
from bridge.model.stage import Side
from bridge.model.write import MadeId, WriteIntent, WriteLevel, WriteState
from bridge.storage.journal import sql
from bridge.storage.journal.operations import open_write, settle_write
from bridge.storage.journal.rows import answer_row, intent_row, request_row

# Any count up to a batch's is a sum of three of these at most, so that a connection has few
# statements to keep and a batch not too many to run.
_ROWS: Final = (64, 48, 32, 24, *range(16, 0, -1))

# Binding copies a body: larger ones are bound one at a time.
_BODY_BYTES_MAX: Final = 64 * 1024


class Open(NamedTuple):
    """Make a promise durable."""

    intent: WriteIntent

    def __call__(self, connection: sqlite3.Connection) -> None:
        open_write(connection, self.intent)


class Settle(NamedTuple):
    """Record how the authority's call ended."""

    intent_id: str
    state: WriteState
    at: datetime
    response: HttpResponse | None = None
    lane: str | None = None
    ids: Sequence[MadeId] = ()
    reason: str | None = None
    release_key: bool = False

    def __call__(self, connection: sqlite3.Connection) -> int | None:
        return settle_write(
            connection,
            self.intent_id,
            self.state,
            at=self.at,
            response=self.response,
            lane=self.lane,
            ids=self.ids,
            reason=self.reason,
            release_key=self.release_key,
        )


def run_together(connection: sqlite3.Connection, operations: Sequence[Any]) -> dict[int, Any]:
    """Carry out what can go together; return results by place. Others have written nothing."""
    results: dict[int, Any] = {}
    settling: dict[str, tuple[int, Settle]] = {}
    opening: list[tuple[int, WriteIntent]] = []
    for place, operation in enumerate(operations):
        if isinstance(operation, Settle):
            if _is_plain(operation):
                settling.setdefault(operation.intent_id, (place, operation))
        elif isinstance(operation, Open) and operation.intent.level is not WriteLevel.OUTCOME:
            opening.append((place, operation.intent))
    if len(settling) > 1:
        _settle(connection, settling, results)
    if len(opening) > 1:
        _open(connection, opening, results)
    return results


def _is_plain(step: Settle) -> bool:
    return (
        step.state is WriteState.APPLIED
        and not (step.ids or step.release_key)
        and step.lane is None
    )


def _settle(
    connection: sqlite3.Connection,
    settling: dict[str, tuple[int, Settle]],
    results: dict[int, Any],
) -> None:
    facts: list[tuple[str, int, str, str, str]] = []
    for chunk in _chunks(list(settling)):
        packed = connection.execute(_OPENED[len(chunk)], chunk).fetchone()[0]
        facts += orjson.loads(packed)
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'lane_entries'")
    sequence = (row.fetchone() or (0,))[0]
    entries, changes, answers = [], [], []
    # In the order of the batch: a sequence is given to whoever came first.
    for intent_id, number, group, authority, lane in sorted(facts, key=lambda f: settling[f[0]][0]):
        place, step = settling[intent_id]
        sequence += 1
        entries.append((sequence, group, lane, _OTHER[authority], number))
        changes.append((number, sequence, step.reason, step.at.isoformat()))
        if step.response is not None:
            answers.append(answer_row(number, step.response))
        results[place] = sequence
    _write(connection, _INSERT_LANE_ENTRIES, entries)
    _write(connection, _APPLY, changes)
    _write_bodies(connection, _INSERT_ANSWERS, answers)


def _open(
    connection: sqlite3.Connection,
    opening: Sequence[tuple[int, WriteIntent]],
    results: dict[int, Any],
) -> None:
    epochs: dict[str, int | None] = {}
    lanes: set[tuple[str, str]] = set()
    keys: set[tuple[str, str, str]] = set()
    free: dict[int, WriteIntent] = {}
    asked = []
    for place, intent in opening:
        group = intent.group
        if group not in epochs:
            found = connection.execute(sql.EPOCH, (group,)).fetchone()
            epochs[group] = None if found is None else found[0]
        lane = group, intent.lane
        key = None if intent.client_key is None else (group, intent.route, intent.client_key)
        if epochs[group] != intent.epoch or lane in lanes or key in keys:
            continue
        lanes.add(lane)
        if key is not None:
            keys.add(key)
        free[place] = intent
        asked.append((place, *lane, intent.authority.value, intent.route, intent.client_key))
    for chunk in _chunks(asked):
        values = [value for row in chunk for value in row]
        for (place,) in connection.execute(_IN_THE_WAY[len(chunk)], values).fetchall():
            del free[place]
    number = connection.execute("SELECT coalesce(max(number), 0) FROM writes").fetchone()[0]
    writes, requests = [], []
    for place, intent in free.items():
        number += 1
        writes.append((number, *intent_row(intent)))
        requests.append(request_row(number, intent.request))
        results[place] = None
    _write(connection, _INSERT_WRITES, writes)
    _write_bodies(connection, _INSERT_REQUESTS, requests)


def _write(
    connection: sqlite3.Connection,
    statements: dict[int, str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    for chunk in _chunks(rows):
        connection.execute(statements[len(chunk)], [value for row in chunk for value in row])


def _write_bodies(
    connection: sqlite3.Connection,
    statements: dict[int, str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Write rows whose last value is a body."""
    _write(connection, statements, [row for row in rows if len(row[-1]) <= _BODY_BYTES_MAX])
    for row in rows:
        if len(row[-1]) > _BODY_BYTES_MAX:
            connection.execute(statements[1], row)


def _chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    begin = 0
    for count in _ROWS:
        while len(rows) - begin >= count:
            yield rows[begin : begin + count]
            begin += count


def _each(statement: str, columns: int) -> dict[int, str]:
    """Return `statement` by the count of its rows, which stand where it has `ROWS`."""
    row = f"({', '.join('?' * columns)})"
    return {count: statement.replace("ROWS", ", ".join([row] * count)) for count in _ROWS}


_OTHER: Final = {side.value: side.other.value for side in Side}

# One row for all of them: each row would be a step.
_OPENED: Final = _each(
    """
SELECT json_group_array(json_array(intent_id, number, group_name, authority, lane)) FROM writes
WHERE intent_id IN (VALUES ROWS)
    AND state = 'intent' AND sequence IS NULL AND kind <> 'compensation'
""",
    1,
)

_IN_THE_WAY: Final = _each(
    """
WITH i (place, group_name, lane, authority, route, client_key) AS (VALUES ROWS)
SELECT place FROM i WHERE EXISTS (
    SELECT 1 FROM writes w WHERE w.group_name = i.group_name AND w.lane = i.lane
    AND w.state IN ('intent', 'in_doubt')
) OR i.authority = (
    SELECT e.towards FROM lane_entries e WHERE e.group_name = i.group_name AND e.lane = i.lane
    ORDER BY e.number LIMIT 1
) OR (i.client_key IS NOT NULL AND EXISTS (
    SELECT 1 FROM writes w WHERE w.group_name = i.group_name AND w.route = i.route
    AND w.client_key = i.client_key AND w.client_key IS NOT NULL
))
""",
    6,
)

_INSERT_WRITES: Final = _each(
    """
INSERT INTO writes (number, intent_id, group_name, route, epoch, authority, lane, idempotency_key,
    client_key, fingerprint, owner, opened_at, level, kind, compensates, state)
SELECT *, 'intent' FROM (VALUES ROWS)
""",
    15,
)

_INSERT_REQUESTS: Final = _each("INSERT INTO requests VALUES ROWS", 5)

_INSERT_ANSWERS: Final = _each("INSERT INTO answers VALUES ROWS", 5)

_INSERT_LANE_ENTRIES: Final = _each(
    "INSERT INTO lane_entries (number, group_name, lane, towards, write_number) VALUES ROWS", 5
)

# Nothing that an index holds is set but the state: each index would be written anew.
_APPLY: Final = _each(
    """
WITH s (number, sequence, reason, settled_at) AS (VALUES ROWS)
UPDATE writes SET state = 'applied', sequence = s.sequence, reason = s.reason,
    settled_at = s.settled_at, revision = revision + 1
FROM s WHERE writes.number = s.number
""",
    4,
)
