"""What an index keeps of an entry: a dozen numbers, made from its leaf and payload. Pure.

Whatever is a word in the log (types, actors, keys) is a number here: of few different values the
place in a list of *forms*, of many a hash. So a row is small, and holds no text of anybody.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from bridge.eventlog.history.business_values import NUMBER_OF, hashed, moment_number
from bridge.model.entry import EntryKind, StoredEntry
from bridge.model.errors import ConfigInvalid
from bridge.model.search_role import FIELDS_MAX, Role

SLOTS: Final = FIELDS_MAX

_URN: Final = "urn:legacy-bridge:contract:"
_KEPT: Final = 1_024
_MADE: Final = tuple.__new__
_ABOUT_ROWS: Final = frozenset((EntryKind.EVENT.value, EntryKind.PARKED.value))


class FormKey(NamedTuple):
    """What many entries have in common."""

    kind: str
    type: str | None
    dataschema: str | None
    source: str | None

    @property
    def subject(self) -> str | None:
        """The contract's subject, or None for an entry without one."""
        return subject_of(self.dataschema)


class Slot(NamedTuple):
    """A declared field of a form: its values stand at one place of each row."""

    field: str
    role: str
    field_id: int
    """What names field and subject in the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form as an index keeps it."""

    form_id: int
    key: FormKey
    slots: tuple[Slot, ...]


class IndexRow(NamedTuple):
    """One entry in the index; the order of the columns in every store."""

    leaf_index: int
    form: int
    time: int | None
    """`time`, in microseconds from 1970."""
    lag: int | None
    """Microseconds from `time` to `recordedtime`."""
    entity: int | None
    """Hash of subject and key; of a truncate, of the subject alone."""
    former: int | None
    """The same of the key that the entity had before, where an update changed it."""
    actor: int | None
    correlation: int | None
    ticket: int | None
    v0: int | None
    v1: int | None
    v2: int | None
    v3: int | None
    v4: int | None
    v5: int | None


SearchFields = Mapping[str, Sequence[tuple[str, Role]]]
"""Declared fields with their roles, by `dataschema`; none for a contract that declares none."""

Declare = Callable[[], SearchFields]
"""Reads what the contracts declare now."""

FIELD_ID_FIRST: Final = 16
"""Below it are the columns that every entry may have; see `Column` of the ports."""


class FormBook:
    """The forms of an index; remembers new ones until its store has them."""

    def __init__(self, forms: Sequence[Form], declare: Declare) -> None:
        self._forms = {form.key: form for form in forms}
        self._declare = declare
        self._fields = declare()
        self._ids = {
            (form.key.subject, slot.field, slot.role): slot.field_id
            for form in forms
            for slot in form.slots
        }
        self.fresh: list[Form] = []
        """Made since the last time that the store was given them."""

    def get(self, key: FormKey) -> Form:
        """Return the form of `key`, made when it is new."""
        form = self._forms.get(key)
        if form is None:
            slots = tuple(
                Slot(name, role.value, self._field_id(key.subject, name, role.value))
                for name, role in self._declared(key)
            )
            form = Form(form_id=len(self._forms) + 1, key=key, slots=slots)
            self._forms[key] = form
            self.fresh.append(form)
        return form

    def changed(self) -> list[str]:
        """Return the `dataschema`s whose declared fields are others than the index was made by."""
        return sorted(
            {
                form.key.dataschema or ""
                for form in self._forms.values()
                if [(slot.field, slot.role) for slot in form.slots]
                != [(name, role.value) for name, role in self._declared(form.key)]
            }
        )

    def _declared(self, key: FormKey) -> Sequence[tuple[str, Role]]:
        if key.kind not in _ABOUT_ROWS or key.dataschema is None:
            return ()
        if key.dataschema not in self._fields:
            self._fields = self._declare()  # A contract that came while this ran.
        declared = self._fields.get(key.dataschema, ())
        if len(declared) > SLOTS:
            raise ConfigInvalid(
                f"cannot index {key.dataschema!r}: it declares {len(declared)} fields for search, "
                f"at most {SLOTS} are kept"
            )
        return declared

    def _field_id(self, subject: str | None, name: str, role: str) -> int:
        return self._ids.setdefault((subject, name, role), FIELD_ID_FIRST + len(self._ids))


class _Reader(NamedTuple):
    """How entries of one form are read."""

    form_id: int
    prefix: str
    """What stands before a key of this form where it is hashed."""
    is_about_row: bool
    fields: tuple[tuple[int, str, Callable[[Any], int | None]], ...]


class RowMaker:
    """Makes rows of entries, in the log's order; one thread uses it."""

    def __init__(self, book: FormBook) -> None:
        self._book = book
        self._readers: dict[tuple[object, ...], _Reader] = {}
        # Like entries of a transaction share times, actor and correlation.
        self._times: dict[object, int | None] = {}
        self._names: dict[str, int] = {}

    def row(self, entry: StoredEntry) -> IndexRow:
        """Return what the index keeps of `entry`; never raises for what a payload holds."""
        told = orjson.loads(entry.leaf)["fields"]
        get = told.get
        parts = (entry.kind._value_, get("type"), get("dataschema"), get("source"))
        reader = self._readers.get(parts) or self._reader(parts)
        time = self._moment(get("time"))
        recorded = self._moment(get("recordedtime"))
        entity = former = None
        values: list[int | None] = [None] * SLOTS
        if reader.is_about_row:
            payload, key = entry.payload, entry.partition_key
            if key is not None:
                entity = hashed(reader.prefix + key)
            elif is_truncation(told):
                entity = hashed(reader.prefix)
            # An old key stands in `before`; without that there is nothing to read but the fields.
            has_before = b'"before":' in payload
            if reader.fields or has_before:
                data = payload_data(payload)
                after = data.get("after")
                if type(after) is dict:
                    for place, name, number_of in reader.fields:
                        value = after.get(name)
                        if value is not None:
                            values[place] = number_of(value)
                old = former_key(data) if has_before else None
                if old is not None:
                    former = hashed(reader.prefix + old)
        # Half the time of calling `IndexRow`; this runs for every entry.
        return _MADE(
            IndexRow,
            (
                entry.leaf_index,
                reader.form_id,
                time,
                None if time is None or recorded is None else recorded - time,
                entity,
                former,
                self._name(actor_id(told)),
                self._name(get("correlation")),
                self._name(get("ticket")),
                *values,
            ),
        )

    def _reader(self, parts: tuple[Any, ...]) -> _Reader:
        form = self._book.get(FormKey(*parts))
        reader = self._readers[parts] = _Reader(
            form.form_id,
            truncation_of(form.key.subject),
            form.key.kind in _ABOUT_ROWS,
            tuple(
                (place, slot.field, NUMBER_OF[Role(slot.role)])
                for place, slot in enumerate(form.slots)
            ),
        )
        return reader

    def _moment(self, text: object) -> int | None:
        times = self._times
        if text in times:
            return times[text]
        if len(times) >= _KEPT:
            times.clear()
        number = times[text] = moment_number(text)
        return number

    def _name(self, text: object) -> int | None:
        if type(text) is not str:
            return None
        number = self._names.get(text)
        if number is None:
            if len(self._names) >= _KEPT:
                self._names.clear()
            number = self._names[text] = hashed(text)
        return number


def form_key(kind: str, told: Mapping[str, Any]) -> FormKey:
    """Return what an entry with these leaf fields has in common with many others."""
    return FormKey(kind, told.get("type"), told.get("dataschema"), told.get("source"))


def subject_of(dataschema: str | None) -> str | None:
    """Return the contract's subject that a `dataschema` of ours names."""
    if dataschema is None or not dataschema.startswith(_URN):
        return None
    return dataschema[len(_URN) :].rpartition(":")[0] or None


def truncation_of(subject: str | None) -> str:
    """Return what stands for all entities of `subject` at once; no key is empty."""
    return f"{subject}\n"


def is_truncation(told: Mapping[str, Any]) -> bool:
    """Whether a leaf's fields tell that a table was emptied."""
    legacy = told.get("legacy")
    return isinstance(legacy, dict) and legacy.get("op") == "truncated"


def actor_id(told: Mapping[str, Any]) -> str | None:
    """Return the id of the actor that a leaf's fields name."""
    actor = told.get("actor")
    if isinstance(actor, dict):
        actor = actor.get("id")
    return actor if isinstance(actor, str) else None


def payload_data(payload: bytes) -> dict[str, Any]:
    """Return the `data` of an event's payload; empty for what is none."""
    try:
        tree = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return {}
    data = tree.get("data") if isinstance(tree, dict) else None
    return data if isinstance(data, dict) else {}


def former_key(data: Mapping[str, Any]) -> str | None:
    """Return the key that the row had before an update changed it, as events spell keys."""
    key, before = data.get("key"), data.get("before")
    if not isinstance(key, dict) or not isinstance(before, dict) or "after" not in data:
        return None
    if not all(name in before for name in key):
        return None
    old = {name: before[name] for name in key}
    return None if old == key else orjson.dumps(old).decode()
