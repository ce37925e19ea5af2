"""The contracts of a running process, read again when a person says that there are new ones."""

from collections.abc import Callable

from bridge.contracts.contract_fit import ContractFit
from bridge.contracts.contract_set import ContractSet
from bridge.contracts.table_mapper import TableMapper
from bridge.model.change import Relation
from bridge.model.errors import ConfigInvalid
from bridge.model.observer import Observer, SilentObserver


class ContractShelf:
    """Answers like the newest `ContractSet` that could be loaded whole."""

    def __init__(self, load: Callable[[], ContractSet], observer: Observer | None = None) -> None:
        """Load the first set; raises `ConfigInvalid` when it cannot be."""
        self._load = load
        self._observer = observer or SilentObserver()
        self._current = load()

    def tables(self, source: str) -> list[str]:
        """Return the tables of `source` that some contract publishes, as `schema.table`, sorted."""
        return self._current.tables(source)

    def mapper(self, source: str, relation: Relation) -> TableMapper | None:
        """Return a mapper for `relation` as it stands; see `ContractSet.mapper`."""
        return self._current.mapper(source, relation)

    def fit(self, source: str, relation: Relation) -> ContractFit | None:
        """Return the version that fits `relation` best; see `ContractSet.fit`."""
        return self._current.fit(source, relation)

    def refresh(self) -> None:
        """Load the set again; one with problems changes nothing, and is noted."""
        try:
            self._current = self._load()
        except ConfigInvalid as exc:
            self._observer.note("contracts_not_read", error=str(exc))
