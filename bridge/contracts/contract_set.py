"""All contracts of a deployment, loaded once and never changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.contracts.contract_fit import ContractFit, fit_contract
from bridge.contracts.erased_fields import LenientSchemas
from bridge.contracts.loading import Contract, read_contracts
from bridge.contracts.mapping import TableMapping
from bridge.contracts.means import Means
from bridge.contracts.names import is_type_prefix, version_numbers
from bridge.contracts.row_policies import table_mapper
from bridge.contracts.table_mapper import TableMapper
from bridge.model.change import Relation
from bridge.model.errors import ConfigInvalid

# Enough to see the pattern; `check` lists them all.
_PROBLEMS_TOLD_MAX = 5


def check(directory: Path) -> list[str]:
    """Return every problem of the contracts folder, each naming its file; empty when sound."""
    return read_contracts(directory)[1]


class ContractSet:
    """Looks up contracts and mappers. Safe to share between threads."""

    def __init__(
        self, contracts: list[Contract], *, type_prefix: str, means: Means | None = None
    ) -> None:
        """Take contracts that have no problems; `load` is the usual way."""
        if not is_type_prefix(type_prefix):
            raise ConfigInvalid(
                f"cannot use event type prefix {type_prefix!r}: expected a reverse domain name "
                "such as 'com.example'"
            )
        self._type_prefix = type_prefix
        self._lenient = LenientSchemas()
        contracts = [contract.equipped(means) for contract in contracts] if means else contracts
        self._contracts = {(c.subject, c.version): c for c in contracts}
        # Newest first: it publishes, and older ones what still comes in the shape of their time.
        self._publishing: dict[tuple[str, str], list[Contract]] = {}
        for contract in sorted(contracts, key=lambda c: version_numbers(c.version), reverse=True):
            if contract.mapping is not None:
                place = (contract.mapping.source, contract.mapping.table)
                self._publishing.setdefault(place, []).append(contract)

    @classmethod
    def load(
        cls, directory: Path, *, type_prefix: str, means: Means | None = None
    ) -> "ContractSet":
        """Read `directory`; `means` is what mappings need beside their text.

        Raises:
            ConfigInvalid: names the files and what is wrong with each.
        """
        contracts, problems = read_contracts(directory)
        if problems:
            more = len(problems) - _PROBLEMS_TOLD_MAX
            told = "; ".join(problems[:_PROBLEMS_TOLD_MAX])
            rest = f"; {more} more" if more > 0 else ""
            raise ConfigInvalid(f"cannot load contracts from {str(directory)!r}: {told}{rest}")
        return cls(contracts, type_prefix=type_prefix, means=means)

    def contracts(self) -> list[Contract]:
        """Return all contracts, by subject and version."""
        return sorted(
            self._contracts.values(), key=lambda c: (c.subject, version_numbers(c.version))
        )

    def tables(self, source: str) -> list[str]:
        """Return the tables of `source` that some contract publishes, as `schema.table`, sorted."""
        return sorted(table for name, table in self._publishing if name == source)

    def mappings(self, source: str) -> list[TableMapping]:
        """Return the mappings of `source` in all their versions, the oldest of a table first."""
        return [
            contract.mapping
            for (name, _), versions in sorted(self._publishing.items())
            if name == source
            for contract in reversed(versions)
            if contract.mapping is not None
        ]

    def mapper(self, source: str, relation: Relation) -> TableMapper | None:
        """Return a mapper for `relation` as it stands, or None when no contract publishes it.

        It compiles: call it once per `Relation` and keep the answer.

        Raises:
            ConfigInvalid: names the columns over which the relation and the mapping disagree.
        """
        fit = self.fit(source, relation)
        if fit is None:
            return None
        if fit.is_exact and isinstance(fit.mapper, TableMapper):
            return fit.mapper
        # Its newest version says what is wrong.
        newest = self._publishing[source, relation.name][0]
        assert newest.mapping is not None, "only contracts with a mapping publish"
        return table_mapper(newest.mapping, relation, newest.data_schema, self._type_prefix)

    def fit(self, source: str, relation: Relation) -> ContractFit | None:
        """Return the version that fits `relation` best, or None when no contract publishes it.

        It compiles: call it once per `Relation` and keep the answer.
        """
        versions = self._publishing.get((source, relation.name), [])
        return fit_contract(versions, relation, self._type_prefix)

    def refresh(self) -> None:
        """Do nothing: a set never changes; `ContractShelf` loads another."""

    def contract(self, subject: str, version: str) -> Contract:
        """Return one contract.

        Raises:
            ConfigInvalid: there is none.
        """
        found = self._contracts.get((subject, version))
        if found is None:
            known = sorted(v for s, v in self._contracts if s == subject)
            hint = f"known versions: {', '.join(known)}" if known else "the subject is not known"
            raise ConfigInvalid(f"cannot find contract {subject!r} version {version!r}: {hint}")
        return found

    def validate(
        self, data: Any, subject: str, version: str, erased: Sequence[str] = ()
    ) -> str | None:
        """Return None when `data` fits the contract, else why not: path and rule, no value.

        Fields of `erased` (JSON Pointers) may be missing: nobody can read them any more.
        """
        found = self._contracts.get((subject, version))
        if found is None:
            return f"contract {subject!r} version {version!r} is not known here"
        schema = found.data_schema
        if erased:
            schema = self._lenient.of(subject, version, schema, erased)
        return schema.reason(data)
