"""Wire the log's index: its store, its follower, and what answers questions by it."""

import threading
from collections.abc import Callable
from contextlib import closing

from bridge.contracts.contract_set import ContractSet
from bridge.contracts.field_types import FieldType
from bridge.contracts.loading import Contract
from bridge.contracts.names import data_schema_urn
from bridge.eventlog.history.desk import KeyFields, SearchDesk
from bridge.eventlog.history.follower import IndexFollower
from bridge.eventlog.history.index_rows import SearchFields
from bridge.eventlog.history.ports import LogIndexWriter
from bridge.model.errors import ConfigInvalid
from bridge.model.observer import Observer
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.wiring.log_opening import made
from bridge.runtime.wiring.stores import Stores
from bridge.storage.log_index.sqlite import SqliteLogIndex

INDEX_FILE = "index.db"

# A person has to change a file first.
_CONTRACTS_RETRY_S = 5.0


def open_log_index(settings: Settings) -> LogIndexWriter:
    """Return the index, beside the log: in a file of `data_dir`, or in the log's database."""
    url = settings.event_log.url
    if url == "sqlite":
        return SqliteLogIndex(made(settings.data_dir) / INDEX_FILE)
    # Imported where it is needed: most indexes are a file.
    from bridge.storage.log_index.postgres import PostgresLogIndex

    return PostgresLogIndex(url)


def indexed_entries(settings: Settings) -> int | None:
    """Return how many entries the index has; None where the log role has made none yet."""
    if settings.event_log.url == "sqlite" and not (settings.data_dir / INDEX_FILE).exists():
        return None
    with closing(open_log_index(settings)) as index, index.view() as view:
        return view.state.next_index


class Declared:
    """What the contracts declare for search, read again when their files change."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._seen: object = None
        self._contracts: list[Contract] = []

    def fields(self) -> SearchFields:
        """Return the declared fields by `dataschema`.

        Raises:
            ConfigInvalid: the contracts cannot be loaded.
        """
        return {
            data_schema_urn(found.subject, found.version): tuple(found.mapping.search.items())
            for found in self._current()
            if found.mapping is not None
        }

    def keys(self) -> KeyFields:
        """Return how keys are spelled, by subject; a newer version goes before an older."""
        found = {}
        for contract in self._current():
            if contract.mapping is not None:
                shapes = {rule.name: rule.shape for rule in contract.mapping.fields}
                found[contract.subject] = tuple(
                    (name, _json_type(shapes[name])) for name in contract.mapping.key
                )
        return found

    def _current(self) -> list[Contract]:
        contracts = self._settings.contracts
        with self._lock:
            # A deployment without sources needs no contracts.
            if not self._settings.sources and not contracts.dir.is_dir():
                return []
            seen = [
                (path, path.stat().st_mtime_ns, path.stat().st_size)
                for path in sorted(contracts.dir.glob("*/*/*"))
            ]
            if seen != self._seen:
                loaded = ContractSet.load(contracts.dir, type_prefix=contracts.type_prefix)
                self._contracts, self._seen = loaded.contracts(), seen
            return self._contracts


def index_follower(
    stores: Stores, index: LogIndexWriter, observer: Observer | None = None
) -> IndexFollower:
    """Return the follower that keeps `index`."""
    declared = Declared(stores.settings)
    known = declared.fields()

    def fields() -> SearchFields:
        nonlocal known
        try:
            known = declared.fields()
        except ConfigInvalid as exc:
            # As for capture: contracts with problems change nothing, and are noted.
            if observer is not None:
                observer.note("contracts_not_read", error=str(exc))
        return known

    return IndexFollower(stores.event_log(), index, fields, observer=observer)


def index_service(stores: Stores, observer: Observer) -> Callable[[threading.Event], None]:
    """Return the loop that keeps the index in the log role.

    Contracts with problems keep it waiting, and nothing else in the role: the log is signed all the
    same.
    """

    def run(stop: threading.Event) -> None:
        index = open_log_index(stores.settings)
        try:
            while not stop.is_set():
                try:
                    index_follower(stores, index, observer).run(stop)
                except ConfigInvalid as exc:
                    observer.note("index_delayed", error=str(exc))
                    stop.wait(_CONTRACTS_RETRY_S)
        finally:
            index.close()

    return run


def search_desk(stores: Stores) -> SearchDesk:
    """Return what answers questions."""
    declared = Declared(stores.settings)
    return SearchDesk(
        stores.event_log,
        lambda: open_log_index(stores.settings),
        declared.fields,
        declared.keys,
        stores.pseudonyms,
    )


def _json_type(shape: FieldType) -> str:
    if shape.name == "boolean":
        return "boolean"
    return "integer" if shape.conversion == "integer" else "string"
