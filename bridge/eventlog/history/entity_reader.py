"""History of one entity, and its state as of any time, read from the log by way of its index."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bridge.eventlog.history.business_values import hashed, moment_number
from bridge.eventlog.history.candidates import Walk
from bridge.eventlog.history.entity_state import (
    NOT_TOLD,
    Effect,
    EntityState,
    FieldChange,
    Status,
    effect,
)
from bridge.eventlog.history.follower import IndexedLog
from bridge.eventlog.history.index_rows import truncation_of
from bridge.eventlog.history.ports import Column, IndexView, LogIndexReader, Posted, Selection
from bridge.eventlog.history.query import EntityKey
from bridge.eventlog.history.search import entries_at, is_of
from bridge.eventlog.history.told import Told
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, LimitExceeded

STEPS_DEFAULT: Final = 1_000
# The newest steps are kept and the rest only replayed: memory holds this many.
STEPS_MAX: Final = 10_000
# A key that changed again and again; each change looks into the history of the key before.
KEYS_MAX: Final = 16
_AT_ONCE: Final = 200

Counts = Callable[[Told], bool]
"""Whether an entry counts for what is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One entry in the history of an entity."""

    index: int
    """Its place in the log; what a proof of it is asked by."""
    entry_id: str
    kind: str
    operation: str | None
    type: str | None
    time: str | None
    recorded: str | None
    actor: str | None
    known: str | None
    """How the actor is known."""
    reason: str | None
    ticket: str | None
    correlation: str | None
    changes: tuple[FieldChange, ...]
    status: str
    """Whether the entity is there behind this entry."""
    note: str | None
    sealed: int
    """How many parts of the event are sealed for a data subject and not shown here."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return told | {"changes": [change.as_json() for change in self.changes]}


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityHistory:
    """All that the log tells of an entity."""

    steps: tuple[Step, ...]
    """Oldest first; the newest of them when there are more than were asked for."""
    omitted: int
    """How many older steps are not shown."""
    state: EntityState
    """As of the last of them."""
    indexed: int
    log_size: int

    @property
    def behind(self) -> int:
        """How many entries of the log the answer cannot know."""
        return max(0, self.log_size - self.indexed)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """The state of an entity as of a time."""

    state: EntityState
    step: Step | None
    """The last entry that counts; None when none does."""
    next_step: Step | None
    """The first entry behind it: until then the state was so."""
    caveats: tuple[str, ...]
    """What may be wrong with the answer all the same."""
    indexed: int
    log_size: int

    @property
    def behind(self) -> int:
        """How many entries of the log the answer cannot know."""
        return max(0, self.log_size - self.indexed)


class EntityReader:
    """Reads histories from one log and its index."""

    def __init__(self, log: IndexedLog, index: LogIndexReader) -> None:
        self._log = log
        self._index = index

    def history(self, entity: EntityKey, *, steps_max: int = STEPS_DEFAULT) -> EntityHistory:
        """Return what the log tells of `entity`, oldest first.

        Raises:
            ConfigInvalid: `steps_max` is not 1 to `STEPS_MAX`.
            StorageUnavailable: log or index cannot be read now.
        """
        if not 1 <= steps_max <= STEPS_MAX:
            raise ConfigInvalid(f"cannot show {steps_max} steps: ask for 1 to {STEPS_MAX}")
        size = self._log.head().size
        kept: deque[Step] = deque(maxlen=steps_max)
        count, state = 0, NOT_TOLD
        with self._index.view() as view:
            indexed = view.state.next_index
            for told, done in _Replay(self._log, view, entity, lambda told: True).steps():
                count, state = count + 1, done.state
                kept.append(_step(told, done))
        return EntityHistory(
            steps=tuple(kept), omitted=count - len(kept), state=state, indexed=indexed,
            log_size=size,
        )  # fmt: skip

    def as_of(
        self,
        entity: EntityKey,
        *,
        time: datetime | None = None,
        recorded: datetime | None = None,
    ) -> AsOf:
        """Return the state of `entity` after everything that had happened at `time`.

        With `recorded`, only what had been taken in by then counts: what we could know. With both,
        what we knew at `recorded` about `time`.

        Raises:
            ConfigInvalid: neither is given, or one has no zone.
            StorageUnavailable: log or index cannot be read now.
        """
        latest = _number("time", time), _number("recordedtime", recorded)
        if latest == (None, None):
            raise ConfigInvalid("cannot show a state as of no time: give a time")

        def counts(told: Told) -> bool:
            found = told.time_number(), told.recorded_number()
            return all(
                asked is None or (at is not None and at <= asked)
                for at, asked in zip(found, latest, strict=True)
            )

        size = self._log.head().size
        state, step, source = NOT_TOLD, None, None
        with self._index.view() as view:
            indexed = view.state.next_index
            replay = _Replay(self._log, view, entity, counts)
            for told, done in replay.steps():
                state, step, source = done.state, _step(told, done), told.fields.get("source")
            following = replay.following
            caveats = tuple(_gaps(self._log, view, source, state.index, counts))
        if step is None:
            state = _before(following, entity.key, indexed)
        return AsOf(
            state=state,
            step=step,
            next_step=None if following is None else _step(following, None),
            caveats=caveats,
            indexed=indexed,
            log_size=size,
        )


class _Replay:
    """Reads the entries of one entity in the log's order."""

    def __init__(
        self,
        log: IndexedLog,
        view: IndexView,
        entity: EntityKey,
        counts: Counts,
        *,
        stop: int | None = None,
        depth: int = 0,
    ) -> None:
        self._log = log
        self._view = view
        self._entity = entity
        self._counts = counts
        self._stop = view.state.next_index if stop is None else stop
        self._depth = depth
        self.following: Told | None = None
        """After all steps: the first entry behind the last that counts."""

    def steps(self) -> Iterator[tuple[Told, Effect]]:
        """Yield the entries that count, each with what it did."""
        state = NOT_TOLD
        for told in self._entries():
            if not self._counts(told):
                self.following = self.following or told
                continue
            done = effect(state, told, self._entity.key, self._carried)
            state = done.state
            self.following = None
            yield told, done

    def _carried(self, key: str, before: int) -> EntityState:
        """Return the state of another key of the same subject just before an entry."""
        if self._depth >= KEYS_MAX:
            raise LimitExceeded(
                f"cannot follow this entity: its key changed more than {KEYS_MAX} times; show the "
                "history of an earlier key"
            )
        state = NOT_TOLD
        other = EntityKey(subject=self._entity.subject, key=key)
        replay = _Replay(
            self._log, self._view, other, self._counts, stop=before, depth=self._depth + 1
        )
        for _, done in replay.steps():
            state = done.state
        return state

    def _entries(self) -> Iterator[Told]:
        subject, key = self._entity.subject, self._entity.key
        numbers = (self._entity.number(), hashed(truncation_of(subject)))
        walk = Walk(
            view=self._view,
            selection=Selection(entities=numbers),
            terms=(tuple(Posted(Column.ENTITY, number, number) for number in numbers),),
            newest_first=False,
            count_max=_AT_ONCE,
        )
        start = max(self._log.first_index(), self._view.state.first_index)
        for found in walk.found(range(start, self._stop)):
            for entry in entries_at(self._log, found.indices):
                told = Told(entry)
                if is_of(told, subject, key):
                    yield told


def _step(told: Told, done: Effect | None) -> Step:
    entry, fields = told.entry, told.fields
    actor = fields.get("actor")
    sealed = fields.get("sealed")
    return Step(
        index=entry.leaf_index,
        entry_id=entry.entry_id,
        kind=entry.kind.value,
        operation=told.operation,
        type=told.type,
        time=told.time,
        recorded=told.recorded,
        actor=told.actor,
        known=(actor.get("known") or actor.get("via")) if isinstance(actor, dict) else None,
        reason=told.reason,
        ticket=told.ticket,
        correlation=told.correlation,
        changes=() if done is None else done.changes,
        status=Status.UNKNOWN.value if done is None else done.state.status.value,
        note=None if done is None else done.note,
        sealed=len(sealed) if isinstance(sealed, list) else 0,
    )


def _before(first: Told | None, key: str, indexed: int) -> EntityState:
    """Return the state before the first entry that tells of an entity."""
    if first is None:
        why = f"the log has no entry of it among the first {indexed}"
        return EntityState(status=Status.UNKNOWN, why=why)
    index = first.entry.leaf_index
    if first.entry.kind is EntryKind.EVENT and first.operation == "created":
        return EntityState(
            status=Status.ABSENT, why=f"entry {index} tells how it was created, later"
        )
    if first.former_key is not None and first.entry.partition_key == key:
        return EntityState(
            status=Status.ABSENT, why=f"entry {index} tells how it got this key, later"
        )
    return EntityState(
        status=Status.UNKNOWN,
        why=f"the first that the log tells of it is entry {index}, later; it may have been there",
    )


def _gaps(
    log: IndexedLog, view: IndexView, source: str | None, since: int | None, counts: Counts
) -> Iterator[str]:
    """Yield the gaps of a source behind the entry that told the state."""
    forms = tuple(
        form.form_id
        for form in view.forms()
        if form.key.kind == EntryKind.GAP.value and form.key.source == source
    )
    if since is None or not forms:
        return
    walk = Walk(
        view=view,
        selection=Selection(forms=forms),
        terms=(tuple(Posted(Column.FORM, form, form) for form in forms),),
        newest_first=False,
        count_max=_AT_ONCE,
    )
    for found in walk.found(range(since + 1, view.state.next_index)):
        for entry in entries_at(log, found.indices):
            told = Told(entry)
            if told.fields.get("outcome") == "closed" and _known_by(told, counts):
                yield (
                    f"entry {entry.leaf_index}: changes of the source between "
                    f"{told.fields.get('from_lsn')} and {told.fields.get('to_lsn')} were lost; the "
                    "state is right only if its table was compared or read again since"
                )


def _known_by(gap: Told, counts: Counts) -> bool:
    """Whether a gap counts: it has no time of its own but the one at which it was recorded."""
    gap.fields.setdefault("time", gap.fields.get("recordedtime"))
    return counts(gap)


def _number(name: str, moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ConfigInvalid(
            f"cannot show a state as of a {name} without a zone: end it with Z or an offset"
        )
    return moment_number(moment.astimezone(UTC).isoformat())
