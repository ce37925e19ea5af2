"""All contracts of a deployment, loaded once and never changed."""

from pathlib import Path
from typing import Any

from bridge.contracts.loading import Contract, read_contracts
from bridge.contracts.names import is_type_prefix, version_numbers
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

    def __init__(self, contracts: list[Contract], *, type_prefix: str) -> None:
        """Take contracts that have no problems; `load` is the usual way."""
        if not is_type_prefix(type_prefix):
            raise ConfigInvalid(
                f"cannot use event type prefix {type_prefix!r}: expected a reverse domain name "
                "such as 'com.example'"
            )
        self._type_prefix = type_prefix
        self._contracts = {(c.subject, c.version): c for c in contracts}
        self._publishing: dict[tuple[str, str], Contract] = {}
        for contract in sorted(contracts, key=lambda c: version_numbers(c.version)):
            if contract.mapping is not None:  # The newest minor publishes.
                place = (contract.mapping.source, contract.mapping.table)
                self._publishing[place] = contract

    @classmethod
    def load(cls, directory: Path, *, type_prefix: str) -> "ContractSet":
        """Read `directory`.

        Raises:
            ConfigInvalid: names the files and what is wrong with each.
        """
        contracts, problems = read_contracts(directory)
        if problems:
            more = len(problems) - _PROBLEMS_TOLD_MAX
            told = "; ".join(problems[:_PROBLEMS_TOLD_MAX])
            rest = f"; {more} more" if more > 0 else ""
            raise ConfigInvalid(f"cannot load contracts from {str(directory)!r}: {told}{rest}")
        return cls(contracts, type_prefix=type_prefix)

    def contracts(self) -> list[Contract]:
        """Return all contracts, by subject and version."""
        return sorted(
            self._contracts.values(), key=lambda c: (c.subject, version_numbers(c.version))
        )

    def tables(self, source: str) -> list[str]:
        """Return the tables of `source` that some contract publishes, as `schema.table`, sorted."""
        return sorted(table for name, table in self._publishing if name == source)

    def mapper(self, source: str, relation: Relation) -> TableMapper | None:
        """Return a mapper for `relation` as it stands, or None when no contract publishes it.

        It compiles: call it once per `Relation` and keep the answer.

        Raises:
            ConfigInvalid: names the columns over which the relation and the mapping disagree.
        """
        contract = self._publishing.get((source, relation.name))
        if contract is None or contract.mapping is None:
            return None
        return TableMapper(contract.mapping, relation, contract.data_schema, self._type_prefix)

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

    def validate(self, data: Any, subject: str, version: str) -> str | None:
        """Return None when `data` fits the contract, else why not: path and rule, no value."""
        found = self._contracts.get((subject, version))
        if found is None:
            return f"contract {subject!r} version {version!r} is not known here"
        return found.data_schema.reason(data)
