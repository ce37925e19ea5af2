"""A table as a database describes it, in words that a contract is drafted from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDescription:
    """One column."""

    name: str
    type: Mapping[str, Any]
    """The field's type as a mapping spells it, e.g. `{"type": "integer"}`."""
    sql_type: str
    """As the database spells it, e.g. `numeric(12,2)`."""
    nullable: bool
    comment: str | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schema keywords that the catalog vouches for: `maxLength`, `minimum`, `enum`, …"""
    generated: bool = False
    """Whether the database computes it: replication does not carry it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDescription:
    """One table."""

    schema: str
    table: str
    columns: tuple[ColumnDescription, ...]
    key: tuple[str, ...]
    """Columns of the primary key, in its order; empty without one."""
    comment: str | None = None

    @property
    def name(self) -> str:
        """`schema.table`, as mappings name it."""
        return f"{self.schema}.{self.table}"
