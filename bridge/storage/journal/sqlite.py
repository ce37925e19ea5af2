"""The write journal on SQLite, as gateway workers and the replayer use it.

Several processes share the file. Writes go through the process's commit thread; reads are indexed
look-ups on a connection of their own, which the write-ahead log lets run beside any writer.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bridge.gateway.dual.ports import Behind, Done, IdPair, LaneNews, LaneState
from bridge.model.entry import EntryDraft
from bridge.model.http import HttpResponse
from bridge.model.stage import GroupState, Side
from bridge.model.write import JournalledWrite, MadeId, WriteIntent, WriteState
from bridge.storage.journal import sql
from bridge.storage.journal.batches import WAITING_COUNT_MAX_DEFAULT
from bridge.storage.journal.commit import GroupCommit
from bridge.storage.journal.file import connect, storage_errors
from bridge.storage.journal.ingress_sqlite import SqliteIngressBook
from bridge.storage.journal.operations import (
    move_write,
    orphan_writes,
    prune_writes,
    record_write,
)
from bridge.storage.journal.rows import (
    SIDES,
    STATES,
    Clock,
    group_of,
    pair_of,
    pending_row,
    utc_now,
    write_of,
)
from bridge.storage.journal.sqlite_steps import Open, Settle

# Some 20 MB; every read of a route with ids asks for one.
_PAIRS_KEPT_MAX: Final = 50_000


class SqliteJournal:
    """`WriteJournal`, `ReplayQueue`, `IdMap` and `GroupReader` over one file.

    The plain (not `async`) methods are called from one thread only.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock = utc_now,
        waiting_count_max: int = WAITING_COUNT_MAX_DEFAULT,
    ) -> None:
        self._commits = GroupCommit(path, waiting_count_max=waiting_count_max)
        self._reading = connect(path)
        self._clock = clock
        self._whole_pairs: dict[tuple[str, str, str], IdPair] = {}

    def close(self) -> None:
        """Write what waits and release the file."""
        self._commits.close()
        self._reading.close()

    def ingress(self) -> SqliteIngressBook:
        """Return the queue of requests that are sent later, in the same file and commits."""
        return SqliteIngressBook(self._commits, self._reading, lambda: self._clock().timestamp())

    async def open(self, intent: WriteIntent) -> None:
        """Make the promise durable; see `WriteJournal.open`."""
        await self._commits.do(Open(intent))

    async def tell(self, draft: EntryDraft) -> None:
        """Leave an entry for the event log that stands for itself, in the commits of the writes."""
        await self._commits.do(lambda one: one.execute(sql.INSERT_PENDING, pending_row(draft)))

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
        at = self._clock()
        sequence: int | None = await self._commits.do(
            Settle(intent_id, state, at, response, lane, ids, reason, release_key)
        )
        return sequence

    def open_soon(self, intent: WriteIntent, *, done: Done) -> None:
        """See `WriteJournal.open_soon`."""
        self._commits.submit(Open(intent), done)

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
        self._commits.submit(step, done)

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
        at = self._clock()

        def record(connection: sqlite3.Connection) -> int | None:
            return record_write(
                connection,
                intent,
                state,
                at=at,
                response=response,
                lane=lane,
                ids=ids,
                reason=reason,
            )

        return await self._commits.do(record)

    async def retry_later(self, intent_id: str, reason: str) -> None:
        """Count a replay that did not succeed; the write stays APPLIED."""
        await self._move(intent_id, WriteState.APPLIED, (), reason)

    async def finish(
        self,
        intent_id: str,
        state: WriteState,
        *,
        ids: Sequence[MadeId] = (),
        reason: str | None = None,
    ) -> None:
        """Record how the replay ended; see `ReplayQueue.finish`."""
        await self._move(intent_id, state, ids, reason)

    async def _move(
        self, intent_id: str, state: WriteState, ids: Sequence[MadeId], reason: str | None
    ) -> None:
        at = self._clock()
        await self._commits.do(
            lambda connection: move_write(
                connection, intent_id, state, at=at, ids=ids, reason=reason
            )
        )

    async def orphan(self, owner: str) -> Sequence[str]:
        """Put every intent of a dead `owner` in doubt; return their ids."""
        at = self._clock()
        return await self._commits.do(lambda connection: orphan_writes(connection, owner, at))

    async def prune(self, keep_s: float, count_max: int) -> int:
        """Forget writes that were final for longer than `keep_s`."""
        before = self._clock().timestamp() - keep_s
        return await self._commits.do(
            lambda connection: prune_writes(connection, before, count_max)
        )

    def state_of(self, intent_id: str) -> WriteState | None:
        """Return where the write stands; None when the journal does not have it."""
        with storage_errors("read a write of the journal"):
            row = self._reading.execute(sql.STATE_OF, (intent_id,)).fetchone()
        return None if row is None else STATES[row[0]]

    def lane_state(self, group: str, lane: str) -> LaneState:
        """Return what stands in the lane's way now."""
        with storage_errors("read a lane of the journal"):
            holder = self._reading.execute(sql.IN_FLIGHT, (group, lane)).fetchone()
            waiting = self._reading.execute(sql.UNREPLAYED, (group, lane)).fetchone()
        return LaneState(
            in_flight=None if holder is None else holder[0],
            in_doubt=holder is not None and holder[1] == WriteState.IN_DOUBT.value,
            unreplayed_to=None if waiting is None else SIDES[waiting[0]],
            parked=waiting is not None and bool(waiting[1]),
        )

    def behind(self, group: str, side: Side) -> Behind:
        """Return whether `side` may lack writes of any lane of the group now."""
        with storage_errors("read the lanes of the journal"):
            found = self._reading.execute(sql.BEHIND, (group, side.value, group)).fetchone()
        return Behind(bool(found[0]), bool(found[1]))

    def keyed(self, group: str, route: str, client_key: str) -> JournalledWrite | None:
        """Return the write to which the client's key belongs."""
        return self._write(
            "WHERE w.group_name = ? AND w.route = ? AND w.client_key = ?", group, route, client_key
        )

    def news(self, after: int, count_max: int) -> LaneNews:
        """Return lanes that got entries with a queue number above `after`."""
        with storage_errors("read the lanes of the journal"):
            rows = self._reading.execute(sql.NEWS, (after, count_max)).fetchall()
            nudge = self._reading.execute(sql.NUDGE).fetchone()[0]
        return LaneNews(
            [(row[1], row[2], SIDES[row[3]]) for row in rows],
            rows[-1][0] if rows else after,
            nudge,
        )

    def head(self, group: str, lane: str) -> JournalledWrite | None:
        """Return the lane's next write to replay; None when empty, parked, or held."""
        with storage_errors("read a lane of the journal"):
            row = self._reading.execute(sql.HEAD, (group, lane)).fetchone()
            if row is None or self._reading.execute(sql.PARKED_OR_HELD, row).fetchone()[0]:
                return None
        return self._write("WHERE w.number = ?", row[0])

    def doubtful(self, count_max: int, after: str | None = None) -> Sequence[JournalledWrite]:
        """Return writes that are in doubt, oldest first; see `ReplayQueue.doubtful`."""
        with storage_errors("read writes in doubt of the journal"):
            rows = self._reading.execute(sql.WRITE + sql.DOUBTFUL, (after, count_max)).fetchall()
        return [write_of(row) for row in rows]

    def open_owners(self) -> Sequence[str]:
        """Return the owners that have an intent without an outcome."""
        with storage_errors("read open writes of the journal"):
            rows = self._reading.execute(
                "SELECT DISTINCT owner FROM writes WHERE state IN ('intent', 'in_doubt') "
                "AND state = 'intent'"
            ).fetchall()
        return [owner for (owner,) in rows]

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
        with storage_errors("read the id map"):
            return pair_of(
                self._reading.execute(sql.PAIR_BY[side.value], (group, entity, known_id)).fetchone()
            )

    def groups(self) -> Sequence[GroupState]:
        """Return every known group."""
        return read_groups(self._reading)

    def _write(self, where: str, *values: str | int) -> JournalledWrite | None:
        with storage_errors("read a write of the journal"):
            row = self._reading.execute(sql.WRITE + where, values).fetchone()
        return None if row is None else write_of(row)


def read_groups(connection: sqlite3.Connection) -> list[GroupState]:
    """Return every group of the journal."""
    with storage_errors("read the groups of the journal"):
        rows = connection.execute(sql.GROUPS + " ORDER BY name").fetchall()
    return [group_of(row) for row in rows]
