"""Wire the log's index: its store, its follower, and what answers questions by it."""

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
from bridge.runtime.log_opening import made
from bridge.runtime.settings import Settings
from bridge.runtime.wiring import Stores
from bridge.storage.postgres_log_index import PostgresLogIndex
from bridge.storage.sqlite_log_index import SqliteLogIndex

INDEX_FILE = "index.db"


def open_log_index(settings: Settings) -> LogIndexWriter:
    """Return the index, beside the log: in a file of `data_dir`, or in the log's database."""
    url = settings.event_log.url
    if url == "sqlite":
        return SqliteLogIndex(made(settings.data_dir) / INDEX_FILE)
    return PostgresLogIndex(url)


def search_fields(settings: Settings) -> SearchFields:
    """Return the fields that the contracts declare for search.

    Raises:
        ConfigInvalid: the contracts cannot be loaded.
    """
    return {
        data_schema_urn(contract.subject, contract.version): tuple(contract.mapping.search.items())
        for contract in _contracts(settings)
        if contract.mapping is not None
    }


def key_fields(settings: Settings) -> KeyFields:
    """Return how the contracts spell keys, by subject; a newer version goes before an older."""
    found = {}
    for contract in _contracts(settings):
        if contract.mapping is not None:
            shapes = {rule.name: rule.shape for rule in contract.mapping.fields}
            found[contract.subject] = tuple(
                (name, _json_type(shapes[name])) for name in contract.mapping.key
            )
    return found


def index_follower(
    stores: Stores, index: LogIndexWriter, observer: Observer | None = None
) -> IndexFollower:
    """Return the follower that keeps `index`."""
    settings = stores.settings
    known = search_fields(settings)

    def declared() -> SearchFields:
        nonlocal known
        try:
            known = search_fields(settings)
        except ConfigInvalid as exc:
            # As for capture: contracts with problems change nothing, and are noted.
            if observer is not None:
                observer.note("contracts_not_read", error=str(exc))
        return known

    return IndexFollower(stores.event_log(), index, declared, observer=observer)


def search_desk(stores: Stores) -> SearchDesk:
    """Return what answers questions."""
    settings = stores.settings
    return SearchDesk(
        stores.event_log,
        lambda: open_log_index(settings),
        lambda: search_fields(settings),
        lambda: key_fields(settings),
        stores.pseudonyms,
    )


def _contracts(settings: Settings) -> list[Contract]:
    """Return the contracts; a deployment without sources needs none."""
    folder = settings.contracts.dir
    if not settings.sources and not folder.is_dir():
        return []
    return ContractSet.load(folder, type_prefix=settings.contracts.type_prefix).contracts()


def _json_type(shape: FieldType) -> str:
    if shape.name == "boolean":
        return "boolean"
    return "integer" if shape.conversion == "integer" else "string"
