"""Group commit on PostgreSQL: one thread per process, one connection, a batch to a commit.

Every step is idempotent by the intent's id, so that a batch whose answer was lost (the connection
broke at the commit) is simply run again.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import psycopg

from bridge.gateway.dual.ports import KeyInUse, LaneUnreplayed
from bridge.model.errors import BridgeError, LaneBusy, StaleEpoch, StorageUnavailable
from bridge.model.write import WriteIntent, WriteState
from bridge.storage.journal import postgres_sql as sql
from bridge.storage.journal.batches import Batches, Failed
from bridge.storage.journal.postgres_changes import Move, Settle
from bridge.storage.journal.postgres_connection import TimedConnection, connect, unavailable
from bridge.storage.journal.postgres_steps import NOT_OPENED, OPENED, Open, Step, run_steps
from bridge.storage.journal.rows import write_of

Task = Callable[[TimedConnection], Any]
"""A rare operation with a commit of its own, such as pruning."""

# A deadlock's victim, a lost connection: at once, once more. Then its caller hears of it.
_TRIES: Final = 2

# How long opened writes whose answer was lost may wait for the server before they are looked for.
_WITHDRAW_AGAIN_S: Final = 0.5
# Each held a client that was answered 503; a restart clears them as a dead owner's.
_WITHDRAWN_COUNT_MAX: Final = 10_000


class PostgresCommit:
    """Runs the steps of one process on the journal, many to a commit."""

    def __init__(self, dsn: str, *, clock: Callable[[], datetime], waiting_count_max: int) -> None:
        self._dsn = dsn
        self._clock = clock
        self._connection: TimedConnection | None = None
        self._withdrawn: dict[str, None] = {}
        self.batches: Batches[Step | Task] = Batches(
            self._commit, waiting_count_max=waiting_count_max, idle=self._idle
        )

    async def do(self, step: Step | Task) -> Any:
        """Return the step's result once it is durable; see `Batches.do`."""
        return await self.batches.do(step)

    def close(self) -> None:
        """Write what waits, then end."""
        self.batches.close()
        self._drop()

    def _commit(self, operations: Sequence[Step | Task]) -> list[Any]:
        results: dict[int, Any] = {}
        batch: list[tuple[int, Step]] = []
        named: set[str] = set()
        for place, operation in enumerate(operations):
            if not isinstance(operation, tuple):
                results[place] = self._alone(operation)
                continue
            intent_id = operation.intent_id if isinstance(operation, Settle | Move) else None
            if intent_id in named:
                # A batch sees each write as it was before: what follows needs the next one.
                self._run_batch(batch, results)
                batch, named = [], set()
            if intent_id is not None:
                named.add(intent_id)
            batch.append((place, operation))
        self._run_batch(batch, results)
        return [results[place] for place in range(len(operations))]

    def _run_batch(self, batch: Sequence[tuple[int, Step]], results: dict[int, Any]) -> None:
        if not batch:
            return
        steps = [step for _, step in batch]
        try:
            found = self._tried(lambda connection: run_steps(connection, steps))
        except psycopg.Error as exc:
            lost = isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError)
            if not lost and len(steps) > 1:
                for one in batch:
                    self._run_batch([one], results)
                return
            told = Failed(unavailable("write to the journal", self._dsn, exc))
            self._withdraw_later(steps)
            found = [told] * len(steps)
        except Exception as exc:
            if len(steps) > 1:
                for one in batch:
                    self._run_batch([one], results)
                return
            found = [Failed(exc)]
        for (place, step), result in zip(batch, found, strict=True):
            results[place] = self._explained(step, result)

    def _alone(self, task: Task) -> Any:
        try:
            return self._tried(task)
        except psycopg.Error as exc:
            return Failed(unavailable("write to the journal", self._dsn, exc))
        except Exception as exc:
            return Failed(exc)

    def _tried(self, task: Callable[[TimedConnection], Any]) -> Any:
        for tries_left in reversed(range(_TRIES)):
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = connect(self._dsn)
                return task(self._connection)
            except BaseException as exc:
                self._end_transaction()
                again = isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError)
                if not again or not tries_left or isinstance(exc, psycopg.errors.LockNotAvailable):
                    raise
        raise AssertionError("the last try returns or raises")

    def _end_transaction(self) -> None:
        if self._connection is None:
            return
        try:
            self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _explained(self, step: Step, result: Any) -> Any:
        if result is OPENED:
            return None
        if result is not NOT_OPENED:
            return result
        intent = step.intent if isinstance(step, Open | Settle) else None
        assert intent is not None, "only what is opened can be refused so"
        try:
            refusal = self._tried(lambda connection: _refusal(connection, intent))
        except psycopg.Error as exc:
            return Failed(unavailable("write to the journal", self._dsn, exc))
        if refusal is not None:
            return Failed(refusal)
        if isinstance(step, Settle):
            # Beside another one in this batch with the same client key: alone it is recorded.
            results: dict[int, Any] = {}
            self._run_batch([(0, step)], results)
            return results[0]
        return None

    def _withdraw_later(self, steps: Sequence[Step]) -> None:
        """Remember opened writes of which nobody can say whether they are there.

        Their clients are told that nothing was done; they must not hold their lanes.
        """
        for step in steps:
            if isinstance(step, Open) and len(self._withdrawn) < _WITHDRAWN_COUNT_MAX:
                self._withdrawn[step.intent.intent_id] = None

    def _idle(self) -> float | None:
        if not self._withdrawn:
            return None
        at = self._clock()
        settling = [
            Settle(
                intent_id,
                WriteState.FAILED,
                at,
                reason="the journal did not answer; the authority was not called",
                release_key=True,
            )
            for intent_id in self._withdrawn
        ]
        try:
            if self._connection is None or self._connection.closed:
                self._connection = connect(self._dsn)
            run_steps(self._connection, settling)  # Those that are not there are refused.
        except psycopg.Error:
            self._end_transaction()
            return _WITHDRAW_AGAIN_S
        self._withdrawn.clear()
        return None


def _refusal(connection: TimedConnection, intent: WriteIntent) -> BridgeError | None:
    """Return why the intent was not opened; None when it is there after all."""
    row = connection.execute(
        sql.REFUSAL,
        {
            "group": intent.group,
            "lane": intent.lane,
            "owner": intent.owner,
            "intent": intent.intent_id,
        },
    ).fetchone()
    assert row is not None, "a row of values"
    epoch, towards, leased, state = row
    cannot = f"cannot open write {intent.intent_id}"
    if state == WriteState.INTENT.value:
        return None  # An earlier try made it, and its answer was lost.
    if state is not None:
        return StorageUnavailable(f"{cannot}: it was settled as {state} meanwhile")
    if epoch != intent.epoch:
        return StaleEpoch(
            f"{cannot}: group {intent.group!r} is at epoch {epoch}, decided under {intent.epoch}"
        )
    if not leased:
        return StorageUnavailable(
            f"{cannot}: the lease of replica {intent.owner} is over; it is renewed as soon as the "
            "journal's database can be reached"
        )
    if towards == intent.authority.value:
        return LaneUnreplayed(
            f"{cannot} on {towards}: earlier writes of its key have not been replayed there"
        )
    if intent.client_key is not None:
        key = (intent.group, intent.route, intent.client_key)
        found = connection.execute(sql.KEYED, key, binary=True).fetchone()
        if found is not None:
            return KeyInUse(f"{cannot}: its Idempotency-Key belongs to {found[0]}", write_of(found))
    return LaneBusy(f"{cannot}: another write of the same key is in flight or in doubt")
