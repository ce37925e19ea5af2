"""How well a table in one shape fits the contracts that publish it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from bridge.contracts.loading import Contract
from bridge.contracts.mapping import TableMapping
from bridge.contracts.means import Sealer
from bridge.contracts.row_policies import table_mapper
from bridge.contracts.subjects import SubjectRule, by_column
from bridge.contracts.table_mapper import TableMapper
from bridge.model.change import Relation, RowChange
from bridge.model.event import Breach, ChangeOrigin, Event

# Types of `pg_type` whose values a field type reads as they are. A field type that is not listed
# takes any text.
_NATURAL: Final[dict[str, frozenset[int]]] = {
    "integer": frozenset((20, 21, 23, 26)),
    "decimal": frozenset((20, 21, 23, 26, 1700)),
    "float": frozenset((20, 21, 23, 700, 701, 1700)),
    "boolean": frozenset((16,)),
    "timestamp": frozenset((1114,)),
    "timestamptz": frozenset((1184,)),
    "date": frozenset((1082,)),
    "time": frozenset((1083, 1266)),
    "json": frozenset((114, 3802)),
    "bytes": frozenset((17,)),
    "uuid": frozenset((2950,)),
}


class RowMapper(Protocol):
    """Turns changes of one table, in one shape, into events of one contract."""

    def map(
        self, change: RowChange, origin: ChangeOrigin
    ) -> Event | Breach | Sequence[Event | Breach]:
        """Return the event or events in their order, or what is wrong with the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractFit:
    """The contract version that fits a relation best, and where it does not."""

    subject: str
    version: str
    mapper: RowMapper | None
    """Maps what can be mapped: without `unmapped` columns and without the fields of `missing`
    ones. None when a field of the key is missing."""
    field_types: Mapping[str, str]
    """Field type by mapped column."""
    dropped: frozenset[str]
    """Columns that a person decided to leave in the legacy database."""
    protected: frozenset[str]
    """Columns whose values may be logged only masked, hashed or as a token."""
    key_columns: tuple[str, ...]
    unmapped: tuple[str, ...]
    """Columns that this version neither maps nor drops."""
    missing: tuple[str, ...]
    """Columns that it maps and the table lacks."""
    subjects: tuple[SubjectRule, ...] = ()
    """Whose data the table holds, in terms of its columns; empty where nothing is sealed."""
    sealer: Sealer | None = None

    @property
    def is_exact(self) -> bool:
        """Whether every column is accounted for."""
        return not self.unmapped and not self.missing

    def reads(self, column: str, type_oid: int) -> bool:
        """Whether values of a type are what the column's field expects; True if not mapped."""
        natural = _NATURAL.get(self.field_types.get(column, ""))
        return natural is None or type_oid in natural


def fit_contract(
    versions: Sequence[Contract], relation: Relation, type_prefix: str
) -> ContractFit | None:
    """Return the best fit among `versions` (newest first, each with a mapping), or None.

    Best is the newest that fits exactly: rows of an old shape, still to be read, keep the version
    that was made for them. Else the newest that lacks no column, else the newest.
    """
    if not versions:
        return None
    fits = [_gaps(contract, relation) for contract in versions]
    best = min(
        range(len(fits)), key=lambda place: (bool(fits[place][1]), bool(fits[place][0]), place)
    )
    return _fit(versions[best], relation, *fits[best], type_prefix)


def _gaps(contract: Contract, relation: Relation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the relation's unmapped columns, and the mapped ones that it lacks."""
    mapping = contract.mapping
    assert mapping is not None, "only contracts with a mapping publish"
    mapped = {rule.column for rule in mapping.fields}
    names = [column.name for column in relation.columns]
    unmapped = tuple(name for name in names if name not in mapped and name not in mapping.drop)
    return unmapped, tuple(sorted(mapped.difference(names)))


def _fit(
    contract: Contract,
    relation: Relation,
    unmapped: tuple[str, ...],
    missing: tuple[str, ...],
    type_prefix: str,
) -> ContractFit:
    mapping = contract.mapping
    assert mapping is not None, "only contracts with a mapping publish"
    columns = {rule.name: rule.column for rule in mapping.fields}
    return ContractFit(
        subject=mapping.subject,
        version=mapping.version,
        mapper=_mapper(contract, mapping, relation, unmapped, missing, type_prefix),
        field_types={rule.column: rule.type for rule in mapping.fields if rule.codes is None},
        dropped=mapping.drop,
        protected=frozenset(rule.column for rule in mapping.fields if rule.protect is not None),
        key_columns=tuple(columns[name] for name in mapping.key),
        unmapped=unmapped,
        missing=missing,
        subjects=() if mapping.means.unsealed else by_column(mapping.subjects, columns),
        sealer=mapping.means.sealer,
    )


def _mapper(
    contract: Contract,
    mapping: TableMapping,
    relation: Relation,
    unmapped: tuple[str, ...],
    missing: tuple[str, ...],
    type_prefix: str,
) -> TableMapper | None:
    fields = tuple(rule for rule in mapping.fields if rule.column not in missing)
    if not {*mapping.key} <= {rule.name for rule in fields}:
        return None
    partial = replace(mapping, fields=fields, drop=mapping.drop | {*unmapped})
    return table_mapper(partial, relation, contract.data_schema, type_prefix)
