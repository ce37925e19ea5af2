"""The write journal on PostgreSQL, as switching, operators and the sequencer use it (blocking).

Calls may come from any thread, one after the other; each change is one commit with its entry for
the event log.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final, LiteralString

import psycopg

from bridge.gateway.dual.ports import LaneCount
from bridge.gateway.dual.states import check_resolution
from bridge.gateway.reconciliation.ports import KeyPlace
from bridge.gateway.translation.ids import lane_of
from bridge.model.entry import EntryDraft
from bridge.model.errors import StaleEpoch
from bridge.model.stage import GroupState, Stage, Switch
from bridge.model.warrant import Warrant
from bridge.model.write import JournalledWrite, MadeId, WriteKind, WriteState
from bridge.storage.journal import postgres_desk_sql as desk_sql
from bridge.storage.journal import postgres_sql as sql
from bridge.storage.journal.batches import Failed
from bridge.storage.journal.entries import hold_entry, import_entry, switch_entry
from bridge.storage.journal.postgres_changes import Move, Settle
from bridge.storage.journal.postgres_connection import (
    TimedConnection,
    connect,
    lock_key,
    make_tables,
    unavailable,
)
from bridge.storage.journal.postgres_pairs import import_pairs
from bridge.storage.journal.postgres_steps import Step, run_steps
from bridge.storage.journal.rows import (
    SIDES,
    STATES,
    Clock,
    group_of,
    pending_of,
    pending_row,
    switch_of,
    switch_row,
    utc_now,
    write_of,
)
from bridge.switching.history import CHAIN_START, SwitchRecord, link

_IMPORT_COUNT_MAX: Final = 1_000

# A person waits; writes that hold a lock have given it back, or their server was lost, by then.
_PATIENCE_S: Final = 10.0


class PostgresJournalDesk:
    """`SwitchStore`, `WriteDesk` and `PendingEntries` in the database that `dsn` names."""

    def __init__(self, dsn: str, *, clock: Clock = utc_now) -> None:
        make_tables(dsn)
        self._dsn = dsn
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: TimedConnection | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()

    # Switching

    def ensure_groups(self, names: Iterable[str]) -> None:
        """Make the groups known, new ones at stage `legacy` and epoch 0."""
        with self._changing() as connection:
            connection.execute(desk_sql.ENSURE_GROUPS, (sorted(names),))

    def group(self, name: str) -> GroupState | None:
        """Return where the group stands, or None when it is unknown."""
        return next((state for state in self.groups() if state.group == name), None)

    def groups(self) -> Sequence[GroupState]:
        """Return every known group."""
        return [group_of(row) for row in self._rows(sql.GROUPS)]

    def switch(
        self,
        group: str,
        to: Stage,
        *,
        expected_epoch: int,
        warrant: Warrant,
        share_percent: float = 0.0,
    ) -> Switch:
        """Move the group to stage `to`; see `SwitchStore.switch`.

        Waits for the batches of writes that are just being opened: what was decided under the old
        epoch is there when this returns, or never.
        """
        with self._changing() as connection:
            connection.execute(sql.LOCK, ([lock_key("switches")],))
            connection.execute(sql.LOCK, ([lock_key("group", group)],))
            state = _group(connection, group)
            if state is None or state.epoch != expected_epoch:
                raise StaleEpoch(
                    f"cannot change group {group!r} to {to.value}: expected epoch "
                    f"{expected_epoch}, found {None if state is None else state.epoch}; reload "
                    "and decide again"
                )
            switch = Switch(
                group=group,
                epoch=expected_epoch + 1,
                from_stage=state.stage,
                to_stage=to,
                warrant=warrant,
                switched_at=self._clock(),
                from_share_percent=state.share_percent,
                to_share_percent=share_percent,
            )
            last = connection.execute(desk_sql.LAST_SWITCH).fetchone()
            record = link(CHAIN_START if last is None else last[0], switch)
            connection.execute(desk_sql.MOVE_GROUP, (to.value, switch.epoch, share_percent, group))
            connection.execute(desk_sql.INSERT_SWITCH, switch_row(record))
            _tell(connection, switch_entry(switch, record.hash))
        return switch

    def hold_lanes(self, group: str, *, held: bool, warrant: Warrant) -> GroupState:
        """Hold or resume replay to the other side."""
        with self._changing() as connection:
            connection.execute(desk_sql.HOLD_LANES, (held, group))
            state = _group(connection, group)
            assert state is not None, f"group {group!r} is checked by the switchboard"
            nudge = _nudge(connection)
            at = self._clock()
            draft = hold_entry(group, state.epoch, nudge, held=held, warrant=warrant, at=at)
            _tell(connection, draft)
        return state

    def force(self, group: str, until: float, draft: EntryDraft) -> GroupState:
        """Have tokens that force a side looked at; see `SwitchStore.force`."""
        with self._changing() as connection:
            connection.execute(desk_sql.FORCE, (until, group))
            state = _group(connection, group)
            assert state is not None, f"group {group!r} is checked by the switchboard"
            _tell(connection, draft)
        return state

    def history(self) -> Sequence[SwitchRecord]:
        """Return every switch, oldest first."""
        return [switch_of(row) for row in self._rows(desk_sql.SWITCHES)]

    # Decisions about writes

    def list_writes(
        self,
        *,
        group: str | None = None,
        state: WriteState | None = None,
        lane: str | None = None,
        kind: WriteKind | None = None,
        count_max: int = 100,
    ) -> Sequence[JournalledWrite]:
        """Return the newest writes first; see `WriteDesk.list_writes`."""
        condition = desk_sql.LIST_BY_STATE.get(state, desk_sql.LIST_OTHER)
        if state is None and (lane is not None or kind is not None):
            condition = desk_sql.LIST_ALL
        rows = self._rows(
            sql.WRITE + condition + desk_sql.LIST_REST,
            {
                "group": group,
                "state": state and state.value,
                "lane": lane,
                "kind": kind and kind.value,
                "special": kind is not None and kind is not WriteKind.CLIENT,
                "count": count_max,
            },
        )
        return [write_of(row) for row in rows]

    def id_keys(self, group: str, entity: str, after: int, count_max: int) -> Sequence[KeyPlace]:
        """Return ids by which clients know entities, behind the place `after` (`KnownIds`)."""
        rows = self._rows(desk_sql.ID_KEYS, (group, entity, after, count_max))
        return [KeyPlace(*row) for row in rows]

    def show(self, intent_id: str) -> JournalledWrite | None:
        """Return one write."""
        rows = self._rows(sql.SHOW, (intent_id,))
        return write_of(rows[0]) if rows else None

    def resolve(
        self,
        intent_id: str,
        outcome: WriteState,
        *,
        warrant: Warrant,
        ids: Mapping[str, str] | None = None,
    ) -> None:
        """Settle a write in doubt; see `WriteDesk.resolve`."""
        made = [MadeId(entity, id_, "") for entity, id_ in (ids or {}).items()]
        found = self._rows(desk_sql.STATE_AND_LANE, (intent_id,))
        if found:
            check_resolution(intent_id, STATES[found[0][0]], outcome)
        # A create's lane could not be named while its id was unknown.
        rename = bool(made) and bool(found) and found[0][1].startswith("new:")
        self._step(
            Settle(
                intent_id,
                outcome,
                self._clock(),
                lane=lane_of(made[0].entity, made[0].id) if rename else None,
                ids=made,
                reason=warrant.reason,
                release_key=outcome is WriteState.FAILED,
                warrant=warrant,
            ),
            nudge=False,
        )

    def replay(self, intent_id: str, warrant: Warrant) -> None:
        """Put a parked write back at the head of its lane."""
        self._decide(intent_id, WriteState.APPLIED, warrant)

    def skip(self, intent_id: str, warrant: Warrant) -> None:
        """Go on without this write on the other side."""
        self._decide(intent_id, WriteState.SKIPPED, warrant)

    def import_ids(
        self, group: str, entity: str, pairs: Sequence[tuple[str, str]], warrant: Warrant
    ) -> int:
        """Record known (legacy id, modern id) pairs; return how many were new."""
        count = 0
        for start in range(0, max(1, len(pairs)), _IMPORT_COUNT_MAX):
            some = pairs[start : start + _IMPORT_COUNT_MAX]
            with self._changing() as connection:
                connection.execute(sql.LOCK, ([lock_key("import", group, entity)],))
                new = import_pairs(connection, group, entity, some)
                count += new
                nudge = _nudge(connection)
                at = self._clock()
                draft = import_entry(group, entity, nudge, count=new, warrant=warrant, at=at)
                _tell(connection, draft)
        return count

    def lane_counts(self) -> Sequence[LaneCount]:
        """Return the backlog per group and direction."""
        now = self._clock()
        return [
            LaneCount(
                group,
                SIDES[towards],
                lanes,
                writes,
                parked,
                (now - datetime.fromisoformat(oldest)).total_seconds(),
            )
            for group, towards, lanes, writes, parked, oldest in self._rows(desk_sql.LANE_COUNTS)
        ]

    # Entries for the event log

    def tell(self, draft: EntryDraft) -> None:
        """Leave an entry that stands for itself, such as of an action that was refused."""
        with self._changing() as connection:
            _tell(connection, draft)

    def pending(self, count_max: int) -> list[tuple[int, EntryDraft]]:
        """Return up to `count_max` pending entries, in the order of their transactions.

        Those of transactions that might still be overtaken by an earlier one wait until it ended.
        """
        return [pending_of(row) for row in self._rows(desk_sql.PENDING, (count_max,))]

    def discard(self, through: int) -> None:
        """Forget what `pending` returned up to row number `through`: the log has them."""
        with self._changing() as connection:
            connection.execute(desk_sql.DISCARD, {"through": through})

    def _decide(self, intent_id: str, state: WriteState, warrant: Warrant) -> None:
        at = self._clock()
        step = Move(intent_id, state, at, (), warrant.reason, attempted=False, warrant=warrant)
        self._step(step, nudge=True)

    def _step(self, step: Step, *, nudge: bool) -> None:
        with self._connected() as connection:
            try:
                [result] = run_steps(connection, [step], nudge=nudge)
            except BaseException:
                _rollback(connection)
                raise
        if isinstance(result, Failed):
            raise result.error

    def _connect(self) -> TimedConnection:
        return connect(self._dsn, what="journal desk", patience_s=_PATIENCE_S)

    @contextmanager
    def _connected(self) -> Iterator[TimedConnection]:
        with self._lock:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = self._connect()
                elif not _answers(self._connection):
                    # It was idle while the server restarted: only using it tells.
                    self._connection = self._connect()
                yield self._connection
            except psycopg.Error as exc:
                raise unavailable("use the write journal", self._dsn, exc) from exc

    @contextmanager
    def _changing(self) -> Iterator[TimedConnection]:
        with self._connected() as connection, connection.transaction():
            yield connection

    def _rows(self, query: LiteralString, values: Any = None) -> list[tuple[Any, ...]]:
        with self._connected() as connection:
            return connection.execute(query, values, binary=True).fetchall()


def _answers(connection: TimedConnection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        connection.close()
        return False
    return True


def _rollback(connection: TimedConnection) -> None:
    with suppress(psycopg.Error):
        connection.execute("ROLLBACK")


def _group(connection: TimedConnection, name: str) -> GroupState | None:
    row = connection.execute(desk_sql.GROUP, (name,)).fetchone()
    return None if row is None else group_of(row)


def _nudge(connection: TimedConnection) -> int:
    row = connection.execute(sql.NUDGE_MORE).fetchone()
    assert row is not None, "the table is made with its row"
    return int(row[0])


def _tell(connection: TimedConnection, draft: EntryDraft) -> None:
    connection.execute(sql.INSERT_PENDING, tuple([value] for value in pending_row(draft)))
