"""Search the log by way of its index: a page at a time, each within a bounded effort.

The index names candidates; each is read from the log and compared again before it is shown, so a
wrong index can hide an entry (until it is made again), but never show a wrong one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.eventlog.history.business_values import (
    NUMBER_MAX,
    NUMBER_MIN,
    ROLES,
    Wanted,
    hashed,
    moment_number,
    wanted,
)
from bridge.eventlog.history.candidates import Term, Walk
from bridge.eventlog.history.follower import IndexedLog
from bridge.eventlog.history.index_rows import Form, SearchFields, Slot, truncation_of
from bridge.eventlog.history.ports import (
    Column,
    IndexView,
    LogIndexReader,
    Placed,
    Posted,
    Selection,
)
from bridge.eventlog.history.query import LogQuery, any_of, page_start, page_token
from bridge.eventlog.history.told import Hit, Told, hit
from bridge.model.entry import StoredEntry
from bridge.model.errors import ConfigInvalid
from bridge.model.search_role import Role

# In estimated microseconds: with reading what was found, an answer is there within 100 ms.
EFFORT_MAX: Final = 60_000.0
_READ_COST: Final = 60.0
_CANDIDATES_MIN: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPage:
    """An answer, and how far it reaches."""

    hits: tuple[Hit, ...]
    next_page: str | None
    """Token of the next page; None: there is nothing more."""
    searched: int | None
    """The last entry that was looked at; None when none had to be."""
    cut: bool
    """Whether the effort ran out before the page was full: the next page goes on from there."""
    indexed: int
    """The index has the entries below this."""
    log_size: int
    """The log has the entries below this."""
    first_index: int
    """The first entry that the log still has."""

    @property
    def behind(self) -> int:
        """How many entries of the log the answer cannot know."""
        return max(0, self.log_size - self.indexed)


class LogSearch:
    """Answers queries over one log and its index."""

    def __init__(
        self,
        log: IndexedLog,
        index: LogIndexReader,
        fields: SearchFields,
        *,
        effort_max: float = EFFORT_MAX,
    ) -> None:
        self._log = log
        self._index = index
        self._fields = fields
        self._effort_max = effort_max

    def search(self, query: LogQuery) -> SearchPage:
        """Return one page of `query`.

        Raises:
            ConfigInvalid: a condition names a field that no contract declares, or a value that
                its role cannot be compared with.
            StorageUnavailable: log or index cannot be read now, or the index is being repaired.
        """
        self._check_names(query)
        log_size, first_index = self._log.head().size, self._log.first_index()
        reached = page_start(query)
        with self._index.view() as view:
            indexed = view.state.next_index
            asked = Asked(query, view.forms())
            bounds = _bounds(query, reached, max(first_index, view.state.first_index), indexed)
            found = _Found(query, asked)
            if bounds and not asked.is_empty:
                found.fill(self._log, self._walk(view, asked, query), bounds, self._effort_max)
        last = found.hits[-1].index if found.more else found.searched
        goes_on = found.more or found.cut
        return SearchPage(
            hits=tuple(found.hits),
            next_page=page_token(query, last) if goes_on and last is not None else None,
            searched=last,
            cut=found.cut,
            indexed=indexed,
            log_size=log_size,
            first_index=first_index,
        )

    def _walk(self, view: IndexView, asked: "Asked", query: LogQuery) -> Walk:
        return Walk(
            view=view,
            selection=asked.selection,
            terms=asked.terms,
            newest_first=query.newest_first,
            count_max=max(_CANDIDATES_MIN, query.limit + 1),
        )

    def _check_names(self, query: LogQuery) -> None:
        declared = {name: role for fields in self._fields.values() for name, role in fields}
        for condition in query.fields:
            if condition.field in ROLES:
                wanted(condition, ROLES[condition.field])
            elif condition.field not in declared:
                known = ", ".join([*sorted(ROLES), *sorted(declared.keys() - ROLES.keys())])
                raise ConfigInvalid(
                    f"cannot search by {condition.field!r}: no contract declares it under "
                    f"'search'; known here: {known}"
                )
            else:
                wanted(condition, declared[condition.field])


class _Found:
    """Fills a page."""

    def __init__(self, query: LogQuery, asked: "Asked") -> None:
        self._query = query
        self._asked = asked
        self.hits: list[Hit] = []
        self.more = False
        self.cut = False
        self.searched: int | None = None

    def fill(self, log: IndexedLog, walk: Walk, bounds: range, effort_max: float) -> None:
        effort = 0.0
        last = bounds.start if self._query.newest_first else bounds.stop - 1
        for found in walk.found(bounds):
            for entry in entries_at(log, found.indices):
                effort += _READ_COST
                told = Told(entry)
                if not self._asked.holds(told):
                    continue
                if len(self.hits) == self._query.limit:
                    self.more = True
                    return
                self.hits.append(hit(told, self._asked.names(told)))
            self.searched = found.reached
            effort += found.cost
            if effort >= effort_max and found.reached != last:
                self.cut = True
                return
        self.searched = last


class Asked:
    """A query in the words of one index."""

    def __init__(self, query: LogQuery, forms: Sequence[Form]) -> None:
        self._query = query
        self._by_key = {form.key: form for form in forms}
        kinds = {kind.value for kind in query.kinds}
        fitting = [
            form
            for form in forms
            if any_of(form.key.kind, kinds)
            and any_of(form.key.subject, query.subjects)
            and query.has_type(form.key.type)
        ]
        self._wanted = [
            {role: _wanted_as(query, at, role) for role in Role} for at in range(len(query.fields))
        ]
        fields = tuple(self._placed(at, fitting) for at in range(len(query.fields)))
        for places in fields:
            having = {form for place in places for form in place.forms}
            fitting = [form for form in fitting if form.form_id in having]
        self.is_empty = not fitting
        narrowed = len(fitting) < len(forms)
        entities = None
        if query.entity is not None:
            entities = (query.entity.number(), hashed(truncation_of(query.entity.subject)))
        self.selection = Selection(
            forms=tuple(form.form_id for form in fitting) if narrowed else None,
            time=_range(query.time_from, query.time_to),
            recorded=_range(query.recorded_from, query.recorded_to),
            entities=entities,
            actor=_hash(query.actor),
            correlation=_hash(query.correlation),
            ticket=_hash(query.ticket),
            fields=fields,
        )
        self.terms = tuple(self._terms(fitting, narrowed))

    def holds(self, told: Told) -> bool:
        """Whether an entry of the log is what was asked for, by its own bytes."""
        query, entry = self._query, told.entry
        if not (
            (not query.kinds or entry.kind in query.kinds)
            and any_of(told.subject, query.subjects)
            and query.has_type(told.type)
            and query.actor in (None, told.actor)
            and query.correlation in (None, told.correlation)
            and query.ticket in (None, told.ticket)
            and _within(self.selection.time, told.time_number())
            and _within(self.selection.recorded, told.recorded_number())
        ):
            return False
        if query.entity is not None and not is_of(told, query.entity.subject, query.entity.key):
            return False
        return all(self._field_holds(at, told) for at in range(len(query.fields)))

    def names(self, told: Told) -> list[str]:
        """Return the names of the declared fields of an entry."""
        return [slot.field for slot in self._slots(told)]

    def _field_holds(self, at: int, told: Told) -> bool:
        asked = self._query.fields[at].field
        for slot in self._slots(told):
            if asked in (slot.field, slot.role):
                found = self._wanted[at][Role(slot.role)]
                value = told.values((slot.field,)).get(slot.field)
                if found is not None and value is not None and found.holds(value):
                    return True
        return False

    def _slots(self, told: Told) -> Sequence[Slot]:
        form = self._by_key.get(told.form_key)
        return () if form is None else form.slots

    def _placed(self, at: int, forms: Sequence[Form]) -> tuple[Placed, ...]:
        condition = self._query.fields[at]
        places: dict[tuple[int, int, int], list[int]] = {}
        for form in forms:
            for place, slot in enumerate(form.slots):
                if condition.field in (slot.field, slot.role):
                    found = self._wanted[at][Role(slot.role)]
                    if found is not None:
                        key = (place, found.low, found.high)
                        places.setdefault(key, []).append(form.form_id)
        return tuple(Placed(tuple(ids), *key) for key, ids in places.items())

    def _terms(self, fitting: Sequence[Form], narrowed: bool) -> Iterator[Term]:
        """Yield what postings can answer, the conditions that are usually rarest first."""
        selection = self.selection
        if selection.entities is not None:
            yield tuple(Posted(Column.ENTITY, number, number) for number in selection.entities)
        for column, number in (
            (Column.CORRELATION, selection.correlation),
            (Column.TICKET, selection.ticket),
            (Column.ACTOR, selection.actor),
        ):
            if number is not None:
                yield (Posted(column, number, number),)
        for at, condition in enumerate(self._query.fields):
            posted = {}
            for form in fitting:
                for slot in form.slots:
                    if condition.field in (slot.field, slot.role):
                        found = self._wanted[at][Role(slot.role)]
                        if found is not None:
                            posted[slot.field_id] = Posted(slot.field_id, found.low, found.high)
            yield tuple(posted.values())
        if narrowed:
            yield tuple(Posted(Column.FORM, form.form_id, form.form_id) for form in fitting)


def is_of(told: Told, subject: str, key: str) -> bool:
    """Whether an entry is about one entity: by its key, by the key it had, or by all at once."""
    if told.subject != subject or not told.is_about_row:
        return False
    return key in (told.entry.partition_key, told.former_key) or told.empties_table


def entries_at(log: IndexedLog, indices: Sequence[int]) -> Iterator[StoredEntry]:
    """Yield the entries at `indices`, in their order; neighbours are read together."""
    at = 0
    while at < len(indices):
        step = 1 if at + 1 < len(indices) and indices[at + 1] > indices[at] else -1
        stop = at + 1
        while stop < len(indices) and indices[stop] == indices[stop - 1] + step:
            stop += 1
        run = indices[at:stop]
        entries = log.read(min(run), len(run))
        yield from (entries if step == 1 else reversed(entries))
        at = stop


def _bounds(query: LogQuery, reached: int | None, start: int, stop: int) -> range:
    if reached is None:
        return range(start, stop)
    if query.newest_first:
        return range(start, min(stop, reached))
    return range(max(start, reached + 1), stop)


def _wanted_as(query: LogQuery, at: int, role: Role) -> Wanted | None:
    """Return what a condition asks of a role; None where its values make no sense there."""
    condition = query.fields[at]
    if condition.field in ROLES and ROLES[condition.field] is not role:
        return None
    try:
        return wanted(condition, role)
    except ConfigInvalid:
        return None


def _range(start: object, stop: object) -> tuple[int, int] | None:
    """Return the numbers of a stretch of time: from `start`, before `stop`."""
    if start is None and stop is None:
        return None
    low, high = (None if moment is None else moment_number(str(moment)) for moment in (start, stop))
    return (NUMBER_MIN if low is None else low, NUMBER_MAX if high is None else high - 1)


def _within(asked: tuple[int, int] | None, found: int | None) -> bool:
    return asked is None or (found is not None and asked[0] <= found <= asked[1])


def _hash(text: str | None) -> int | None:
    return None if text is None else hashed(text)
