"""The write journal on PostgreSQL, as gateway workers and the replayer use it: for many machines.

Writes go through the process's commit thread. Reads are one round trip each on a connection of
their own, which the caller's loop waits for: so none of them may last, and while the server cannot
be reached they fail at once but for one try in a while.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, LiteralString

import psycopg

from bridge.gateway.dual.ports import Behind, Done, IdPair, LaneNews, LaneState
from bridge.model.entry import EntryDraft
from bridge.model.errors import StorageUnavailable
from bridge.model.http import HttpResponse
from bridge.model.stage import GroupState, Side
from bridge.model.write import JournalledWrite, MadeId, WriteIntent, WriteState
from bridge.storage.journal import postgres_sql as sql
from bridge.storage.journal.batches import WAITING_COUNT_MAX_DEFAULT
from bridge.storage.journal.ingress_postgres import PostgresIngressBook
from bridge.storage.journal.postgres_changes import Move, Settle
from bridge.storage.journal.postgres_commit import PostgresCommit
from bridge.storage.journal.postgres_connection import (
    TimedConnection,
    connect,
    make_tables,
    unavailable,
)
from bridge.storage.journal.postgres_steps import Open, Tell, run_steps
from bridge.storage.journal.rows import (
    SIDES,
    STATES,
    Clock,
    group_of,
    pair_of,
    utc_now,
    write_of,
)

# Some 20 MB; every read of a route with ids asks for one.
_PAIRS_KEPT_MAX: Final = 50_000

# The loop stands still meanwhile: a slow server may cost this much once, then the pause is free.
_READ_PATIENCE_S: Final = 0.5
_READ_PAUSE_S: Final = 1.0


class PostgresJournal:
    """`WriteJournal`, `ReplayQueue`, `IdMap` and `GroupReader` in the database that `dsn` names.

    The plain (not `async`) methods are called from one thread only. Intents are taken only from
    owners whose lease has not passed (`PostgresReplicas`).

    Raises:
        StorageUnavailable: the server cannot be reached or refuses.
        ConfigInvalid: the schema there is of a later version.
    """

    def __init__(
        self,
        dsn: str,
        *,
        clock: Clock = utc_now,
        waiting_count_max: int = WAITING_COUNT_MAX_DEFAULT,
    ) -> None:
        make_tables(dsn)
        self._dsn = dsn
        self._clock = clock
        self._reading: TimedConnection | None = None
        self._read_again_at = 0.0
        self._whole_pairs: dict[tuple[str, str, str], IdPair] = {}
        self._commits = PostgresCommit(dsn, clock=clock, waiting_count_max=waiting_count_max)

    def close(self) -> None:
        """Write what waits and close the connections."""
        self._commits.close()
        if self._reading is not None:
            with suppress(psycopg.Error):
                self._reading.close()

    def ingress(self) -> PostgresIngressBook:
        """Return the queue of requests that are sent later, in the same schema and batches."""
        return PostgresIngressBook(self._commits, self._read, lambda: self._clock().timestamp())

    async def open(self, intent: WriteIntent) -> None:
        """Make the promise durable; see `WriteJournal.open`."""
        await self._commits.do(Open(intent))

    async def tell(self, draft: EntryDraft) -> None:
        """Leave an entry for the event log that stands for itself, in the commits of the writes."""
        await self._commits.do(Tell(draft))

    async def settle(
        self,
        intent_id: str,
        state: WriteState,
        *,
        response: HttpResponse | None = None,
        lane: str | None = None,
        ids: Sequence[MadeId] = (),
        reason: str | None = None,
        release_key: bool = False,
    ) -> int | None:
        """Record how the authority's call ended; see `WriteJournal.settle`."""
        step = Settle(intent_id, state, self._clock(), response, lane, ids, reason, release_key)
        sequence: int | None = await self._commits.do(step)
        return sequence

    def open_soon(self, intent: WriteIntent, *, done: Done) -> None:
        """See `WriteJournal.open_soon`."""
        self._commits.batches.submit(Open(intent), done)

    def settle_soon(
        self,
        intent_id: str,
        state: WriteState,
        *,
        response: HttpResponse,
        reason: str | None,
        release_key: bool,
        done: Done,
    ) -> None:
        """See `WriteJournal.settle_soon`."""
        step = Settle(intent_id, state, self._clock(), response, None, (), reason, release_key)
        self._commits.batches.submit(step, done)

    async def record(
        self,
        intent: WriteIntent,
        state: WriteState,
        *,
        response: HttpResponse | None = None,
        lane: str | None = None,
        ids: Sequence[MadeId] = (),
        reason: str | None = None,
    ) -> int | None:
        """Make an intent and its outcome durable in one commit; see `WriteJournal.record`."""
        step = Settle(
            intent.intent_id, state, self._clock(), response, lane, ids, reason, intent=intent
        )
        sequence: int | None = await self._commits.do(step)
        return sequence

    async def retry_later(self, intent_id: str, reason: str) -> None:
        """Count a replay that did not succeed; the write stays APPLIED."""
        await self._commits.do(Move(intent_id, WriteState.APPLIED, self._clock(), (), reason))

    async def finish(
        self,
        intent_id: str,
        state: WriteState,
        *,
        ids: Sequence[MadeId] = (),
        reason: str | None = None,
    ) -> None:
        """Record how the replay ended; see `ReplayQueue.finish`."""
        await self._commits.do(Move(intent_id, state, self._clock(), ids, reason))

    async def orphan(self, owner: str) -> Sequence[str]:
        """Put every intent of a dead `owner` in doubt; return their ids."""
        at = self._clock()
        why = "the gateway process died before it had the authority's answer"

        def orphan(connection: TimedConnection) -> list[str]:
            found = [row[0] for row in connection.execute(sql.ORPHANS, (owner,)).fetchall()]
            steps = [Settle(intent_id, WriteState.IN_DOUBT, at, reason=why) for intent_id in found]
            results = run_steps(connection, steps) if steps else []
            # Those that were settled meanwhile are refused.
            return [
                intent_id
                for intent_id, result in zip(found, results, strict=True)
                if result is None
            ]

        orphans: list[str] = await self._commits.do(orphan)
        return orphans

    async def prune(self, keep_s: float, count_max: int) -> int:
        """Forget writes that were final for longer than `keep_s`."""
        before = self._clock().timestamp() - keep_s

        def prune(connection: TimedConnection) -> int:
            return connection.execute(sql.PRUNE, (before, count_max)).rowcount

        count: int = await self._commits.do(prune)
        return count

    def state_of(self, intent_id: str) -> WriteState | None:
        """Return where the write stands; None when the journal does not have it."""
        rows = self._read(
            "SELECT state FROM bridge_journal.writes WHERE intent_id = %s", (intent_id,)
        )
        return STATES[rows[0][0]] if rows else None

    def lane_state(self, group: str, lane: str) -> LaneState:
        """Return what stands in the lane's way now."""
        [(holder, state, towards, parked)] = self._read(
            sql.LANE_STATE, {"group": group, "lane": lane}
        )
        return LaneState(
            in_flight=holder,
            in_doubt=state == WriteState.IN_DOUBT.value,
            unreplayed_to=None if towards is None else SIDES[towards],
            parked=bool(parked),
        )

    def behind(self, group: str, side: Side) -> Behind:
        """Return whether `side` may lack writes of any lane of the group now."""
        [(unreplayed, open_)] = self._read(sql.BEHIND, {"group": group, "side": side.value})
        return Behind(bool(unreplayed), bool(open_))

    def keyed(self, group: str, route: str, client_key: str) -> JournalledWrite | None:
        """Return the write to which the client's key belongs."""
        rows = self._read(sql.KEYED, (group, route, client_key))
        return write_of(rows[0]) if rows else None

    def news(self, after: int, count_max: int) -> LaneNews:
        """Return lanes that got entries by transactions after `after`.

        Numbers are those of transactions: a page holds whole ones, so that it may be a little
        longer than `count_max`.
        """
        rows = self._read(sql.NEWS, (str(after), count_max))
        [(nudge,)] = self._read(sql.NUDGE)
        return LaneNews(
            [(row[1], row[2], SIDES[row[3]]) for row in rows],
            rows[-1][0] if rows else after,
            nudge,
        )

    def head(self, group: str, lane: str) -> JournalledWrite | None:
        """Return the lane's next write to replay; None when empty, parked, or held."""
        rows = self._read(sql.HEAD, (group, lane))
        return write_of(rows[0]) if rows else None

    def doubtful(self, count_max: int, after: str | None = None) -> Sequence[JournalledWrite]:
        """Return writes that are in doubt, oldest first; see `ReplayQueue.doubtful`."""
        return [write_of(row) for row in self._read(sql.WRITE + sql.DOUBTFUL, (after, count_max))]

    def open_owners(self) -> Sequence[str]:
        """Return the owners that have an intent without an outcome."""
        return [owner for (owner,) in self._read(sql.OPEN_OWNERS)]

    def pair(self, group: str, entity: str, known_id: str) -> IdPair | None:
        """Return the pair that `known_id` belongs to, looked up as a legacy id first."""
        key = group, entity, known_id
        found = self._whole_pairs.get(key)
        if found is not None:
            return found
        found = self.pair_on(group, entity, Side.LEGACY, known_id)
        if found is None:
            return self.pair_on(group, entity, Side.MODERN, known_id)
        if found.modern_id is not None:
            # A whole pair never changes.
            if len(self._whole_pairs) >= _PAIRS_KEPT_MAX:
                self._whole_pairs.clear()
            self._whole_pairs[key] = found
        return found

    def pair_on(self, group: str, entity: str, side: Side, known_id: str) -> IdPair | None:
        """Return the pair whose id on `side` is `known_id`."""
        rows = self._read(sql.PAIR_BY[side.value], (group, entity, known_id))
        return pair_of(rows[0]) if rows else None

    def groups(self) -> Sequence[GroupState]:
        """Return every known group."""
        return [group_of(row) for row in self._read(sql.GROUPS)]

    def _read(self, query: LiteralString, values: Any = None) -> list[tuple[Any, ...]]:
        now = time.monotonic()
        if now < self._read_again_at:
            raise StorageUnavailable(
                "cannot read the write journal: its database did not answer a moment ago"
            )
        for again in (True, False):
            fresh = self._reading is None or self._reading.closed
            try:
                if self._reading is None or self._reading.closed:
                    self._reading = connect(
                        self._dsn, what="journal reads", patience_s=_READ_PATIENCE_S
                    )
                return self._reading.execute(query, values, binary=True).fetchall()
            except psycopg.Error as exc:
                # A connection that was idle while the server restarted says so only when used.
                lost = self._reading is not None and self._reading.closed
                if again and lost and not fresh and time.monotonic() - now < _READ_PATIENCE_S:
                    continue
                if lost or self._reading is None:
                    self._read_again_at = time.monotonic() + _READ_PAUSE_S
                raise unavailable("read the write journal", self._dsn, exc) from exc
        raise AssertionError("the second try returns or raises")
