"""Row changes as a source reports them.

`RowChange` and `TransactionPart` are named tuples, not dataclasses: they are made once per row on
the hot path, where a frozen dataclass costs four times as much to build.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple, TypeAlias


class ChangeKind(Enum):
    """What happened to a row; the value is the last-but-one word of the event type."""

    CREATED = "created"  # Set by the decoder for an INSERT.
    UPDATED = "updated"  # Set by the decoder for an UPDATE, key changes included.
    DELETED = "deleted"  # Set by the decoder for a DELETE.
    TRUNCATED = "truncated"  # Set by the decoder once per truncated table; it has no row.
    READ = "read"  # Set by a snapshot: the row existed at the snapshot's position.


class BeforeImage(Enum):
    """Which old values a change carries; decided by the table's replica identity."""

    FULL = "full"  # All columns (REPLICA IDENTITY FULL).
    KEY = "key"  # Only the identity columns.
    NONE = "none"  # None: an insert, a read, or an update that left the key alone.


class Unsent(Enum):
    """Marks a cell that the source did not send (unchanged TOAST, non-key of an old row)."""

    UNSENT = "unsent"


UNSENT: Final = Unsent.UNSENT

Cell: TypeAlias = str | bytes | Unsent | None
"""A column's value in the database's own text form, NULL, or not sent; bytes when the text is not
UTF-8 (a SQL_ASCII database holds anything)."""

Row: TypeAlias = tuple[Cell, ...]
"""Cells in the column order of the change's `Relation`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as the replication stream describes it."""

    name: str
    type_oid: int
    type_modifier: int
    is_key: bool
    """Whether it is part of the table's replica identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table's shape at one point of the stream.

    It knows only what the stream said: no defaults, no constraints, no catalog look-ups.
    """

    oid: int
    schema: str
    table: str
    identity: str
    """PostgreSQL's `relreplident`: `d` default, `i` index, `f` full, `n` nothing."""
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """`schema.table`, as mappings name it."""
        return f"{self.schema}.{self.table}"


class Truncation(NamedTuple):
    """What a TRUNCATE said beside the tables that it emptied."""

    cascade: bool
    restart_identity: bool


class RowChange(NamedTuple):
    """One row operation, in the order in which the source applied it."""

    kind: ChangeKind
    relation: Relation
    before: Row | None
    before_image: BeforeImage
    after: Row | None
    truncation: Truncation | None = None
    """Only for TRUNCATED."""


class LogicalMessage(NamedTuple):
    """What the application wrote into the stream itself, by `pg_logical_emit_message`."""

    transactional: bool
    """False: it stands for itself, even when the transaction around it rolled back."""
    prefix: str
    content: bytes
    lsn: int


Change: TypeAlias = RowChange | LogicalMessage
"""What takes an ordinal in a transaction."""


class TransactionPart(NamedTuple):
    """Changes of one committed transaction, or a stretch of a large one.

    `first_ordinal` counts changes from 0 within the transaction. Only a `final` part has an
    `end_lsn` that may be confirmed to the source.
    """

    xid: int
    commit_lsn: int
    commit_time: datetime
    first_ordinal: int
    changes: Sequence[Change]
    final: bool
    end_lsn: int | None
    origin: str | None = None
    """Replication origin: where the source itself got the transaction from."""
    change_count: int | None = None
    """How many changes the whole transaction has; None when it is not known yet."""
