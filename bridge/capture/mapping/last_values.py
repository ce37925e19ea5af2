"""The last known values of rows, so that a long value that was not sent again can be filled in.

A projection of the event log, kept for the tables that ask for it (`refill: true`) and their long
columns only. It is right by three rules:

- it stores beside the values the index of the log up to which it has read, and the hash of the leaf
  before that index; at the start of each session it reads on from there, or everything anew when
  the hash is not in the log, so a crash, a lost file or a restored log cost time and nothing else;
- it moves only after the log's append has returned, so it is never ahead of the log;
- what was mapped and not yet appended lies in memory, and is dropped when a session begins.

Nothing is ever asked of the source.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import orjson

from bridge.capture.mapping.remembered import (
    FORGET_TABLE,
    Effect,
    Remembered,
    TableMemory,
    effects,
    rules_of,
    schema_of,
)
from bridge.capture.ports import CaptureLog
from bridge.contracts.mapping import TableMapping
from bridge.contracts.names import source_urn
from bridge.model.entry import Appended, CursorMove, EntryDraft, EntryKind, StoredEntry
from bridge.model.event import Breach, Event
from bridge.model.observer import Observer, SilentObserver

# A page of the log, and one commit of the store, in memory at once while catching up.
_PAGE_ENTRIES: Final = 1_000


class Place(NamedTuple):
    """Up to where the log is in the store."""

    next_index: int
    anchor: bytes
    """Hash of the leaf before `next_index`; empty at 0."""


BEGIN: Final = Place(0, b"")


class LastValueStore(Protocol):
    """Keeps last values and places; what one call writes is durable together or not at all."""

    def places(self) -> Mapping[str, Place]:
        """Return the place of every table that has one."""

    def find(self, table: str, key: str) -> Mapping[str, Remembered]:
        """Return what is remembered of a row."""

    def apply(self, changes: Iterable[tuple[str, Effect]], places: Mapping[str, Place]) -> None:
        """Apply effects on tables in their order, and move places."""

    def drop(self, table: str) -> None:
        """Forget a table and its place."""


class _StagedRow:
    def __init__(self, hides: bool) -> None:
        self.hides = hides
        """Whether nothing that the store has of this row still holds."""
        self.fields: dict[str, Remembered | None] = {}


class _StagedTable:
    """What was mapped since the last append."""

    def __init__(self) -> None:
        self.forgotten = False
        self.rows: dict[str, _StagedRow] = {}

    def apply(self, effect: Effect) -> None:
        if effect.key is None:
            self.forgotten = True
            self.rows.clear()
        elif effect.fields is None:
            self.rows[effect.key] = _StagedRow(hides=True)
        else:
            row = self.rows.setdefault(effect.key, _StagedRow(hides=False))
            row.fields.update(effect.fields)


class LastValues:
    """The last values of one source; implements `LastKnown` for its mappers.

    Mapping and appending happen on one thread.
    """

    def __init__(
        self,
        source: str,
        mappings: Iterable[TableMapping],
        store: LastValueStore,
        *,
        observer: Observer | None = None,
    ) -> None:
        """`mappings` are all versions of all tables of the source, the oldest version first."""
        self._source = source
        self._source_urn = source_urn(source)
        self._store = store
        self._observer = observer or SilentObserver()
        self._log: CaptureLog | None = None
        self._memories: dict[str, TableMemory] = {}
        self._following: frozenset[str] = frozenset()
        self._staged: dict[str, _StagedTable] = {}
        for mapping in mappings:
            self.learn(mapping)

    def learn(self, mapping: TableMapping) -> None:
        """Take in how a version of a table's contract maps it; the latest one counts."""
        known = self._memories.get(mapping.table)
        rules = {**(known.rules if known else {}), schema_of(mapping): rules_of(mapping)}
        self._memories[mapping.table] = TableMemory(fields=mapping.refilled, rules=rules)

    def over(self, log: CaptureLog) -> CaptureLog:
        """Return `log` such that this memory follows what is appended through it."""
        self._log = log
        return _FollowedLog(log, self)

    def resume(self) -> None:
        """Begin a session: drop what was never appended, and read what the log has since.

        Raises `StorageUnavailable` or `LogCorrupt`, as the store and the log do.
        """
        assert self._log is not None, "`over` comes first"
        self._staged.clear()
        wanted = {table for table, memory in self._memories.items() if memory.fields}
        places = dict(self._store.places())
        for table in places.keys() - wanted:
            self._store.drop(table)
        size = self._log.head().size
        current = {table: self._checked(table, places.get(table, BEGIN)) for table in wanted}
        self._catch_up(current, size)
        self._following = frozenset(wanted)

    def find(self, table: str, schema: str, key: str) -> Mapping[str, bytes]:
        """Return the remembered fields of a row that the rules of `schema` would map alike."""
        staged = self._staged.get(table)
        row = staged.rows.get(key) if staged else None
        hidden = (staged is not None and staged.forgotten) or (row is not None and row.hides)
        found: dict[str, Remembered | None] = {}
        if not hidden and table in self._following:
            found.update(self._store.find(table, key))
        if row is not None:
            found.update(row.fields)
        rules = self._memories[table].rules.get(schema, {})
        return {
            name: remembered.value
            for name, remembered in found.items()
            if remembered is not None and remembered.rule == rules.get(name)
        }

    def stage(self, table: str, mapped: Event | Breach) -> None:
        """Take note of a mapped change, before it is appended."""
        staged = self._staged.setdefault(table, _StagedTable())
        memory = self._memories[table]
        parked = isinstance(mapped, Breach)
        for effect in effects(mapped.payload, memory, key=mapped.key, parked=parked):
            staged.apply(effect)

    def appended(self, drafts: Sequence[EntryDraft], appended: Appended) -> None:
        """Follow an append that returned: its entries count from now on."""
        self._staged.clear()
        if not drafts or not self._following:
            return
        assert self._log is not None, "`over` comes first"
        changes = [
            change
            for draft in drafts
            for change in self._changes(
                draft.kind, draft.fields, draft.payload, draft.partition_key, self._following
            )
        ]
        # What others appended in between is not of this source: only its capture appends for it.
        next_index = appended.first_index + len(drafts)
        (anchor,) = self._log.leaf_hashes(next_index - 1, next_index)
        self._store.apply(changes, dict.fromkeys(self._following, Place(next_index, anchor)))

    def _checked(self, table: str, place: Place) -> Place:
        """Return `place` if the log still is the one that it was read from, else the beginning."""
        if place.next_index == 0:
            return BEGIN
        assert self._log is not None, "`over` comes first"
        if self._log.leaf_hashes(place.next_index - 1, place.next_index) == [place.anchor]:
            return place
        self._store.drop(table)
        self._observer.note("last_values_rebuilt", source=self._source, table=table)
        return BEGIN

    def _catch_up(self, places: Mapping[str, Place], size: int) -> None:
        assert self._log is not None, "`over` comes first"
        start = min((place.next_index for place in places.values()), default=size)
        if start < size:
            self._observer.note("last_values_behind", source=self._source, entries=size - start)
        while start < size:
            entries = self._log.read(start, min(_PAGE_ENTRIES, size - start))
            assert entries, "the log has entries up to its size"
            stop = start + len(entries)
            changes = [
                change
                for entry in entries
                for change in self._stored_changes(
                    entry,
                    frozenset(t for t, at in places.items() if at.next_index <= entry.leaf_index),
                )
            ]
            (anchor,) = self._log.leaf_hashes(stop - 1, stop)
            moved = {t: Place(stop, anchor) for t, at in places.items() if at.next_index < stop}
            self._store.apply(changes, moved)
            start = stop

    def _stored_changes(
        self, entry: StoredEntry, tables: frozenset[str]
    ) -> Iterable[tuple[str, Effect]]:
        if entry.kind not in _TELLING:
            return ()
        fields = orjson.loads(entry.leaf)["fields"]
        return self._changes(entry.kind, fields, entry.payload, entry.partition_key, tables)

    def _changes(
        self,
        kind: EntryKind,
        fields: Mapping[str, Any],
        payload: bytes,
        key: str | None,
        tables: frozenset[str],
    ) -> list[tuple[str, Effect]]:
        """Return what one entry does to the memory of `tables`."""
        if kind not in _TELLING or fields.get("source") != self._source_urn:
            return []
        if kind is EntryKind.GAP:
            # Any row may have changed in it, unseen.
            return [(table, FORGET_TABLE) for table in sorted(tables)]
        table = fields.get("legacy", {}).get("table")
        if table not in tables:
            return []
        found = effects(payload, self._memories[table], key=key, parked=kind is EntryKind.PARKED)
        return [(table, effect) for effect in found]


_TELLING: Final = frozenset((EntryKind.EVENT, EntryKind.PARKED, EntryKind.GAP))


class _FollowedLog:
    """The event log, with a memory that follows its appends."""

    def __init__(self, log: CaptureLog, memory: LastValues) -> None:
        self._log = log
        self._memory = memory
        self.head = log.head
        self.read = log.read
        self.leaf_hashes = log.leaf_hashes
        self.tile_roots = log.tile_roots
        self.find = log.find
        self.cursor = log.cursor
        self.change_token = log.change_token

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        """Append, then remember; as the log's own."""
        appended = self._log.append(drafts, cursor=cursor)
        self._memory.appended(drafts, appended)
        return appended
