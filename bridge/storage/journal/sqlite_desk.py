"""The write journal on SQLite, as switching, operators and the sequencer use it (blocking).

Calls may come from any thread, one after the other; each change is one commit with its entry for
the event log.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from bridge.gateway.dual.ports import LaneCount
from bridge.gateway.dual.states import check_resolution
from bridge.gateway.reconciliation.ports import KeyPlace
from bridge.gateway.translation.ids import lane_of
from bridge.model.entry import EntryDraft
from bridge.model.errors import StaleEpoch
from bridge.model.stage import GroupState, Stage, Switch
from bridge.model.warrant import Warrant
from bridge.model.write import JournalledWrite, MadeId, WriteKind, WriteState
from bridge.storage.journal import sql
from bridge.storage.journal.entries import hold_entry, import_entry, switch_entry
from bridge.storage.journal.file import connect, storage_errors, transaction
from bridge.storage.journal.operations import move_write, settle_write
from bridge.storage.journal.pairs import import_pairs
from bridge.storage.journal.rows import (
    SIDES,
    Clock,
    group_of,
    pending_of,
    pending_row,
    switch_of,
    switch_row,
    utc_now,
    write_of,
)
from bridge.storage.journal.sqlite import read_groups
from bridge.switching.history import CHAIN_START, SwitchRecord, link

# Writes of the running gateway wait while a commit is made: keep each to some 10 ms.
_IMPORT_COUNT_MAX = 1_000


class SqliteJournalDesk:
    """`SwitchStore`, `WriteDesk` and `PendingEntries` over one file."""

    def __init__(self, path: Path, *, clock: Clock = utc_now) -> None:
        self._connection = connect(path)
        self._lock = threading.Lock()
        self._clock = clock

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    # Switching

    def ensure_groups(self, names: Iterable[str]) -> None:
        """Make the groups known, new ones at stage `legacy` and epoch 0."""
        with self._changing() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO groups (name, stage, epoch, lanes_held) "
                "VALUES (?, 'legacy', 0, 0)",
                [(name,) for name in names],
            )

    def group(self, name: str) -> GroupState | None:
        """Return where the group stands, or None when it is unknown."""
        return next((state for state in self.groups() if state.group == name), None)

    def groups(self) -> Sequence[GroupState]:
        """Return every known group."""
        with self._lock:
            return read_groups(self._connection)

    def switch(
        self,
        group: str,
        to: Stage,
        *,
        expected_epoch: int,
        warrant: Warrant,
        share_percent: float = 0.0,
    ) -> Switch:
        """Move the group to stage `to`; see `SwitchStore.switch`."""
        with self._changing() as connection:
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
            last = connection.execute(
                "SELECT hash FROM switches ORDER BY number DESC LIMIT 1"
            ).fetchone()
            record = link(CHAIN_START if last is None else last[0], switch)
            connection.execute(
                "UPDATE groups SET stage = ?, epoch = ?, share_percent = ? WHERE name = ?",
                (to.value, switch.epoch, share_percent, group),
            )
            connection.execute(sql.INSERT_SWITCH, switch_row(record))
            connection.execute(sql.INSERT_PENDING, pending_row(switch_entry(switch, record.hash)))
        return switch

    def hold_lanes(self, group: str, *, held: bool, warrant: Warrant) -> GroupState:
        """Hold or resume replay to the other side."""
        with self._changing() as connection:
            connection.execute(
                "UPDATE groups SET lanes_held = ? WHERE name = ?", (int(held), group)
            )
            state = _group(connection, group)
            assert state is not None, f"group {group!r} is checked by the switchboard"
            nudge = _nudge(connection)
            draft = hold_entry(
                group,
                state.epoch,
                nudge,
                held=held,
                warrant=warrant,
                at=self._clock(),
            )
            connection.execute(sql.INSERT_PENDING, pending_row(draft))
        return state

    def force(self, group: str, until: float, draft: EntryDraft) -> GroupState:
        """Have tokens that force a side looked at; see `SwitchStore.force`."""
        with self._changing() as connection:
            connection.execute(
                "UPDATE groups SET forced_until = max(forced_until, ?) WHERE name = ?",
                (until, group),
            )
            state = _group(connection, group)
            assert state is not None, f"group {group!r} is checked by the switchboard"
            connection.execute(sql.INSERT_PENDING, pending_row(draft))
        return state

    def history(self) -> Sequence[SwitchRecord]:
        """Return every switch, oldest first."""
        return [switch_of(row) for row in self._rows(sql.SWITCHES)]

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
        conditions = {
            None: "w.state IN ('in_doubt', 'parked')" if lane is None and kind is None else "TRUE",
            WriteState.IN_DOUBT: "w.state IN ('in_doubt', 'parked') AND w.state = 'in_doubt'",
            WriteState.PARKED: "w.state IN ('in_doubt', 'parked') AND w.state = 'parked'",
            WriteState.INTENT: "w.state IN ('intent', 'in_doubt') AND w.state = 'intent'",
            WriteState.APPLIED: "w.state = 'applied' "
            "AND w.number IN (SELECT write_number FROM lane_entries)",
        }
        condition = conditions.get(state, "w.state = :state")
        if kind is not None and kind is not WriteKind.CLIENT:
            condition += " AND w.kind <> 'client'"  # As its index says.
        rows = self._rows(
            f"{sql.WRITE} WHERE {condition} AND (:group IS NULL OR w.group_name = :group) "
            "AND (:lane IS NULL OR w.lane = :lane) AND (:kind IS NULL OR w.kind = :kind) "
            "ORDER BY w.number DESC LIMIT :count",
            {
                "group": group,
                "state": state and state.value,
                "lane": lane,
                "kind": kind and kind.value,
                "count": count_max,
            },
        )
        return [write_of(row) for row in rows]

    def id_keys(self, group: str, entity: str, after: int, count_max: int) -> Sequence[KeyPlace]:
        """Return ids by which clients know entities, behind the place `after` (`KnownIds`)."""
        rows = self._rows(sql.ID_KEYS, (group, entity, after, count_max))
        return [KeyPlace(*row) for row in rows]

    def show(self, intent_id: str) -> JournalledWrite | None:
        """Return one write."""
        rows = self._rows(sql.WRITE + "WHERE w.intent_id = ?", (intent_id,))
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
        with self._changing() as connection:
            row = connection.execute(sql.WRITE_FACTS, (intent_id,)).fetchone()
            if row is not None:
                check_resolution(intent_id, WriteState(row[6]), outcome)
            # A create's lane could not be named while its id was unknown.
            rename = bool(made) and row is not None and row[5].startswith("new:")
            settle_write(
                connection,
                intent_id,
                outcome,
                at=self._clock(),
                lane=lane_of(made[0].entity, made[0].id) if rename else None,
                ids=made,
                reason=warrant.reason,
                release_key=outcome is WriteState.FAILED,
                warrant=warrant,
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
                new = import_pairs(connection, group, entity, some)
                count += new
                draft = import_entry(
                    group,
                    entity,
                    _nudge(connection),
                    count=new,
                    warrant=warrant,
                    at=self._clock(),
                )
                connection.execute(sql.INSERT_PENDING, pending_row(draft))
        return count

    def lane_counts(self) -> Sequence[LaneCount]:
        """Return the backlog per group and direction."""
        rows = self._rows(
            "SELECT e.group_name, e.towards, COUNT(DISTINCT e.lane), COUNT(*), SUM(e.parked), "
            "MIN(w.opened_at) FROM lane_entries e JOIN writes w ON w.number = e.write_number "
            "GROUP BY e.group_name, e.towards ORDER BY 1, 2"
        )
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
            for group, towards, lanes, writes, parked, oldest in rows
        ]

    # Entries for the event log

    def tell(self, draft: EntryDraft) -> None:
        """Leave an entry that stands for itself, such as of an action that was refused."""
        with self._changing() as connection:
            connection.execute(sql.INSERT_PENDING, pending_row(draft))

    def pending(self, count_max: int) -> list[tuple[int, EntryDraft]]:
        """Return up to `count_max` pending entries, oldest first."""
        rows = self._rows(
            "SELECT number, kind, entry_id, fields, payload FROM pending_entries "
            "ORDER BY number LIMIT ?",
            (count_max,),
        )
        return [pending_of(row) for row in rows]

    def discard(self, through: int) -> None:
        """Forget pending entries up to row number `through`: the log has them."""
        with self._changing() as connection:
            connection.execute("DELETE FROM pending_entries WHERE number <= ?", (through,))

    def _decide(self, intent_id: str, state: WriteState, warrant: Warrant) -> None:
        with self._changing() as connection:
            move_write(
                connection,
                intent_id,
                state,
                at=self._clock(),
                reason=warrant.reason,
                attempted=False,
                warrant=warrant,
            )
            _nudge(connection)

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        with (
            self._lock,
            storage_errors("change the write journal"),
            transaction(self._connection),
        ):
            yield self._connection

    def _rows(
        self, query: str, values: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        with self._lock, storage_errors("read the write journal"):
            return self._connection.execute(query, values).fetchall()


def _group(connection: Connection, name: str) -> GroupState | None:
    row = connection.execute(sql.GROUPS + " WHERE name = ?", (name,)).fetchone()
    return None if row is None else group_of(row)


def _nudge(connection: Connection) -> int:
    connection.execute("UPDATE nudges SET number = number + 1")
    number: int = connection.execute(sql.NUDGE).fetchone()[0]
    return number
