"""Everything that a person may ask of the log's index, in the words that a person types.

The index is opened for each question and closed again: the follower may have made a new file.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from bridge.eventlog.history.entity_reader import (
    STEPS_DEFAULT,
    AsOf,
    EntityHistory,
    EntityReader,
)
from bridge.eventlog.history.follower import IndexedLog
from bridge.eventlog.history.index_rows import Declare
from bridge.eventlog.history.ports import LogIndexReader
from bridge.eventlog.history.query import EntityKey, LogQuery
from bridge.eventlog.history.search import LogSearch, SearchPage
from bridge.model.errors import ConfigInvalid, StorageUnavailable
from bridge.model.pseudonym import Pseudonyms

KeyFields = Mapping[str, tuple[tuple[str, str], ...]]
"""Key fields with their JSON types (`integer`, `boolean`, `string`), by subject."""

WAIT_S_MAX: Final = 30.0
"""The follower takes in a second what is appended in one; one that is this far behind is being made
again, or does not run."""
_LOOK_S: Final = 0.05
_KEY_CHARACTERS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStatus:
    """How far the index is."""

    indexed: int
    first_index: int
    log_size: int
    complete_segments: int
    bytes: int

    @property
    def behind(self) -> int:
        """How many entries it lacks."""
        return max(0, self.log_size - self.indexed)


class SearchDesk:
    """Answers questions over one log; safe to share between threads."""

    def __init__(
        self,
        log: Callable[[], IndexedLog],
        open_index: Callable[[], LogIndexReader],
        declare: Declare,
        key_fields: Callable[[], KeyFields],
        pseudonyms: Callable[[], Pseudonyms],
    ) -> None:
        self._log = log
        self._open_index = open_index
        self._declare = declare
        self._key_fields = key_fields
        self._pseudonyms = pseudonyms

    def search(self, query: LogQuery, *, effort_max: float | None = None) -> SearchPage:
        """Return one page; raises as `LogSearch.search`."""
        more = {} if effort_max is None else {"effort_max": effort_max}
        with self._index() as index:
            return LogSearch(self._log(), index, self._declare(), **more).search(query)

    def history(self, entity: EntityKey, *, steps_max: int = STEPS_DEFAULT) -> EntityHistory:
        """Return the history of one entity; raises as `EntityReader.history`."""
        with self._index() as index:
            return EntityReader(self._log(), index).history(entity, steps_max=steps_max)

    def as_of(self, entity: EntityKey, *, time: datetime | None, recorded: datetime | None) -> AsOf:
        """Return the state of one entity; raises as `EntityReader.as_of`."""
        with self._index() as index:
            return EntityReader(self._log(), index).as_of(entity, time=time, recorded=recorded)

    def status(self) -> IndexStatus:
        """Return how far the index is."""
        size = self._log().head().size
        with self._index() as index, index.view() as view:
            return IndexStatus(
                indexed=view.state.next_index,
                first_index=view.state.first_index,
                log_size=size,
                complete_segments=len(view.spans()),
                bytes=index.size_bytes(),
            )

    def field_names(self) -> frozenset[str]:
        """Return the names of all declared fields."""
        return frozenset(name for fields in self._declare().values() for name, _ in fields)

    def wait(self, *, wait_s: float = WAIT_S_MAX) -> None:
        """Return when the index has all that is in the log now.

        Raises:
            StorageUnavailable: it does not get there in `wait_s`.
        """
        target = self._log().head().size
        deadline = time.monotonic() + wait_s
        looking = threading.Event()
        with self._index() as index:
            while True:
                with index.view() as view:
                    indexed = view.state.next_index
                if indexed >= target:
                    return
                if time.monotonic() >= deadline:
                    raise StorageUnavailable(
                        f"cannot wait for the log's index any longer: it has {indexed} of {target} "
                        f"entries after {wait_s:g} s; does the log role run?"
                    )
                looking.wait(_LOOK_S)

    def entity(self, subject: str, text: str) -> EntityKey:
        """Return the entity that a person names by its key.

        `text` is the value of a key with one field, `FIELD=VALUE,FIELD=VALUE`, or a JSON object.

        Raises:
            ConfigInvalid: the subject is not known here, or the key has another form.
        """
        if len(text) > _KEY_CHARACTERS_MAX:
            raise ConfigInvalid(f"cannot find an entity by a key of {len(text)} characters")
        known = self._key_fields()
        fields = known.get(subject)
        if text.lstrip().startswith("{"):
            return EntityKey(subject=subject, key=_json_key(subject, text, fields))
        if fields is None:
            raise ConfigInvalid(
                f"cannot find an entity of {subject!r}: no contract has this subject; known here: "
                f"{', '.join(sorted(known)) or 'none'}. A key as JSON needs no contract"
            )
        return EntityKey(subject=subject, key=_typed_key(subject, text, fields))

    def recorded(self, query: LogQuery) -> dict[str, Any]:
        """Return what the entry of a search says of it: no values, and a pseudonym for a key."""
        told = query.shown()
        if query.entity is not None:
            told["entity"] = self.pseudonym(query.entity)
        if query.fields:
            told["fields"] = sorted(
                f"{condition.field} {condition.comparison}" for condition in query.fields
            )
        told["limit"] = query.limit
        return told

    def pseudonym(self, entity: EntityKey) -> str:
        """Return the entity's name in leaves."""
        return self._pseudonyms().entity(entity.subject, entity.key)

    @contextmanager
    def _index(self) -> Iterator[LogIndexReader]:
        index = self._open_index()
        try:
            yield index
        finally:
            index.close()


def _json_key(subject: str, text: str, fields: tuple[tuple[str, str], ...] | None) -> str:
    try:
        key = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise ConfigInvalid(f"cannot find an entity of {subject!r}: its key is not JSON") from exc
    if fields:
        names = [name for name, _ in fields]
        if set(key) != set(names):
            raise _wrong_key(subject, names)
        key = {name: key[name] for name in names}
    return orjson.dumps(key).decode()


def _typed_key(subject: str, text: str, fields: tuple[tuple[str, str], ...]) -> str:
    names = [name for name, _ in fields]
    if not names:
        raise ConfigInvalid(f"cannot find an entity of {subject!r}: its table has no key")
    if len(names) == 1:
        parts = [text.removeprefix(f"{names[0]}=")]
    else:
        given = dict(part.strip().partition("=")[::2] for part in text.split(","))
        if set(given) != set(names):
            raise _wrong_key(subject, names)
        parts = [given[name] for name in names]
    key = {
        name: _typed(subject, name, kind, part)
        for (name, kind), part in zip(fields, parts, strict=True)
    }
    return orjson.dumps(key).decode()


def _typed(subject: str, name: str, kind: str, text: str) -> int | bool | str:
    if kind == "string":
        return text
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError as exc:
        raise ConfigInvalid(
            f"cannot find an entity of {subject!r}: key field {name!r} is of type {kind!r}"
        ) from exc


def _wrong_key(subject: str, names: list[str]) -> ConfigInvalid:
    form = ",".join(f"{name}=…" for name in names)
    return ConfigInvalid(f"cannot find an entity of {subject!r}: its key has the form {form}")
