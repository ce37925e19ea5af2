"""What a batch changes in the journal on PostgreSQL, gathered kind by kind and written at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from bridge.gateway.dual.ports import TAKEN_ADVICE, IdTaken, WriteStateForbidden
from bridge.gateway.dual.states import FINAL, may_follow
from bridge.gateway.translation.ids import lane_of
from bridge.model.entry import EntryDraft
from bridge.model.http import HttpResponse
from bridge.model.stage import Side
from bridge.model.warrant import Warrant
from bridge.model.write import MadeId, WriteIntent, WriteKind, WriteState
from bridge.storage.journal import postgres_sql as sql
from bridge.storage.journal.entries import is_told, write_entry
from bridge.storage.journal.postgres_arrays import array_of, columns
from bridge.storage.journal.postgres_connection import TimedConnection
from bridge.storage.journal.rows import KINDS, STATES, WriteFacts, answer_row, pending_row

_S = WriteState


class Settle(NamedTuple):
    """Record how the authority's call ended; with `intent`, which it is stored together with."""

    intent_id: str
    state: WriteState
    at: datetime
    response: HttpResponse | None = None
    lane: str | None = None
    ids: Sequence[MadeId] = ()
    reason: str | None = None
    release_key: bool = False
    warrant: Warrant | None = None
    intent: WriteIntent | None = None


class Move(NamedTuple):
    """Record how a replay ended, or what a person decided about it."""

    intent_id: str
    state: WriteState
    at: datetime
    ids: Sequence[MadeId] = ()
    reason: str | None = None
    attempted: bool = True
    warrant: Warrant | None = None


class SequenceOf(NamedTuple):
    """Placeholder for the sequence that a write is given by the second round trip."""

    number: int


def facts_of(row: Sequence[Any]) -> WriteFacts:
    """Return the facts of a row of `FACTS`."""
    return WriteFacts._make((*row[1:7], STATES[row[7]], *row[8:10], KINDS[row[10]], *row[11:]))


class Changes:
    """What a batch changes, kind by kind, until it is written at once."""

    def __init__(
        self,
        facts: dict[str, WriteFacts],
        halves: dict[str, list[tuple[int, str, str]]],
        taken: set[tuple[str, str, str]],
    ) -> None:
        self._facts = facts
        self._halves = halves
        self._taken = taken
        self._settled: list[tuple[Any, ...]] = []
        self._answers: list[tuple[Any, ...]] = []
        self._new_halves: list[tuple[Any, ...]] = []
        self._completed: list[tuple[int, str]] = []
        self._moved: list[tuple[Any, ...]] = []
        self._left: list[int] = []
        self._parked: list[tuple[int, bool]] = []
        self.pending: list[EntryDraft] = []
        self.nudge = False

    def settle(self, step: Settle, connection: TimedConnection) -> SequenceOf | int | None:
        """Record an outcome; one that is recorded already changes nothing."""
        facts = self._known(step.intent_id, step.state)
        again = facts.state is step.state and step.state is not _S.IN_DOUBT
        if again or (step.state is _S.APPLIED and facts.sequence is not None):
            return facts.sequence
        self._check(step.intent_id, facts, step.state)
        state = step.state
        if state is _S.APPLIED and facts.kind is WriteKind.COMPENSATION:
            state = _S.DONE
            self._compensate(facts, step, connection)
        lane = step.lane or (facts.lane if step.intent is None else step.intent.lane)
        towards = Side(facts.authority).other.value
        final_at = step.at.timestamp() if state in FINAL else None
        self._settled.append(
            (facts.number, state.value, lane, step.reason, step.at.isoformat(), final_at,
             step.release_key, facts.group, towards)
        )  # fmt: skip
        if state is _S.APPLIED:
            for made in step.ids:
                halves = (made.id, None) if facts.authority == "legacy" else (None, made.id)
                own = lane_of(made.entity, made.id)
                self._new_halves.append(
                    (facts.group, made.entity, *halves, own, facts.number, made.place)
                )
        if step.response is not None:
            self._answers.append(answer_row(facts.number, step.response))
        status = None if step.response is None else step.response.status
        self._tell(step, facts, state, status)
        return SequenceOf(facts.number)

    def move(self, step: Move) -> None:
        """Record how a replay ended; its end that is recorded already changes nothing."""
        facts = self._known(step.intent_id, step.state)
        if facts.state is step.state and step.state in FINAL:
            return
        self._check(step.intent_id, facts, step.state)
        if step.ids:
            self._complete(step, facts)
        final_at = step.at.timestamp() if step.state in FINAL else None
        self._moved.append(
            (facts.number, step.state.value, step.reason, final_at, int(step.attempted))
        )
        if step.state in FINAL:
            self._left.append(facts.number)
        elif step.state is not facts.state:
            self._parked.append((facts.number, step.state is _S.PARKED))
        self._tell(step, facts, step.state, None)

    def write(self, connection: TimedConnection) -> dict[int, int | None]:
        """Write everything and commit; return sequences by the number of the write."""
        settled = None
        with connection.pipeline():
            if self._settled:
                settled = connection.execute(sql.SETTLE, columns(self._settled))
            for statement, rows in (
                (sql.INSERT_ANSWERS, self._answers),
                (sql.INSERT_HALVES, self._new_halves),
                (sql.COMPLETE_PAIRS, self._completed),
                (sql.MOVE, self._moved),
                (sql.PARK_LANE_ENTRIES, self._parked),
                (sql.INSERT_PENDING, [pending_row(draft) for draft in self.pending]),
            ):
                _run(connection, statement, rows)
            if self._left:
                connection.execute(sql.DELETE_LANE_ENTRIES, (array_of(self._left),))
            if self.nudge:
                connection.execute(sql.NUDGE_MORE)
            connection.execute("COMMIT")
        return dict(settled.fetchall()) if settled else {}

    def _known(self, intent_id: str, following: WriteState) -> WriteFacts:
        found = self._facts.get(intent_id)
        if found is None:
            raise WriteStateForbidden(
                f"cannot make write {intent_id} {following.value}: it is not in the journal"
            )
        return found

    def _check(self, intent_id: str, facts: WriteFacts, following: WriteState) -> None:
        if not may_follow(facts.state, following):
            raise WriteStateForbidden(
                f"cannot make write {intent_id} {following.value}: it is {facts.state.value}"
            )

    def _compensate(self, facts: WriteFacts, step: Settle, connection: TimedConnection) -> None:
        """Take the compensated write out of its lane, unless somebody decided meanwhile."""
        assert facts.compensates is not None, "a compensation names what it undoes"
        row = connection.execute(sql.FACTS, ([facts.compensates],)).fetchone()
        if row is None or not may_follow(STATES[row[7]], _S.COMPENSATED):
            return
        self._facts[facts.compensates] = facts_of(row)
        reason = f"undone by write {step.intent_id}"
        self.move(Move(facts.compensates, _S.COMPENSATED, step.at, (), reason, False))
        self.nudge = True

    def _complete(self, step: Move, facts: WriteFacts) -> None:
        halves = self._halves.get(step.intent_id, [])
        completed = []
        for made in step.ids:
            fitting = [half for half in halves if half[1] == made.entity]
            exact = [half for half in fitting if half[2] == made.place] or fitting
            if len(exact) != 1:
                continue  # Known already, or an answer that does not tell which is which.
            if (step.intent_id, made.entity, made.id) in self._taken:
                side = Side(facts.authority).other.value
                raise IdTaken(
                    f"cannot pair {made.entity!r} of group {facts.group!r}: {side} answered with "
                    f"an id that belongs to another {made.entity!r}; {TAKEN_ADVICE}"
                )
            completed.append((exact[0][0], made.id))
        self._completed += completed

    def _tell(
        self, step: Settle | Move, facts: WriteFacts, state: WriteState, status: int | None
    ) -> None:
        if not is_told(facts.state, state, step.warrant):
            return
        self.pending.append(
            write_entry(
                intent_id=step.intent_id,
                revision=facts.revision + 1,
                group=facts.group,
                route=facts.route,
                epoch=facts.epoch,
                authority=facts.authority,
                before=facts.state,
                after=state,
                status=status,
                attempts=facts.attempts,
                warrant=step.warrant,
                reason=step.reason,
                at=step.at,
                kind=facts.kind,
                compensates=facts.compensates,
            )
        )


def _run(
    connection: TimedConnection, statement: LiteralString, rows: Sequence[tuple[Any, ...]]
) -> None:
    if rows:
        connection.execute(statement, columns(rows))
