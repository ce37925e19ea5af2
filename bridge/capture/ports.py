"""What capture asks of a source of changes, of the contracts and of the event log."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from bridge.capture.cursor import CaptureCursor
from bridge.capture.findings import Finding, Leave, SetupStep
from bridge.capture.snapshot.ports import ChunkReader
from bridge.contracts.contract_fit import ContractFit
from bridge.eventlog.ports import EventLogReader, EventLogWriter
from bridge.model.change import Relation, Row, RowChange, TransactionPart
from bridge.model.event import Breach, ChangeOrigin, Event


class Received(NamedTuple):
    """What a stream had to give at one moment, in commit order."""

    parts: list[TransactionPart]
    position: int | None
    """With nothing half received: everything up to here was sent to us, `parts` included."""
    size: int = 0
    """About how many bytes of the wire, or of a stage, `parts` came from."""


class ChangeStream(Protocol):
    """An open replication stream. One thread drives it."""

    def receive(self, changes_max: int, timeout_ms: int) -> Received:
        """Return what has arrived; waits up to `timeout_ms` when nothing has.

        Returns as soon as the source has no more to give for now, or about `changes_max` changes
        are there: never waits for a fuller batch. Keepalives are answered inside.

        Raises:
            SourceUnavailable: the stream is broken; open another at the durable position.
            DecodeError: the source sent bytes that are not its protocol.
        """

    def acknowledge(self, end_lsn: int) -> None:
        """Tell the source that everything up to `end_lsn` is durable. Never goes back."""

    def keep_alive(self) -> None:
        """Answer the source while the caller is busy; cheap, call at least each second."""

    def close(self) -> None:
        """End the stream, cleanly if the source still answers; the slot stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShape:
    """A captured table as the catalog describes it now."""

    relation: Relation
    key: tuple[str, ...]
    """Columns that identify a row and order a snapshot; empty for a table without a key."""
    row_filter: str | None = None
    """SQL condition of the rows that are published; a snapshot reads only these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """A source that is ready to be read."""

    system_id: str
    timeline: int
    start_lsn: int
    """Where the stream starts: our durable position, or the new slot's first."""
    tables: tuple[TableShape, ...]


class Snapshot(Protocol):
    """The captured tables exactly as all commits before one position of the stream left them."""

    @property
    def position(self) -> int:
        """A transaction is in the snapshot if and only if its commit LSN is below this."""

    @property
    def taken_at(self) -> datetime:
        """The source's clock when the snapshot was taken (aware, UTC)."""

    def chunks(self, table: TableShape, rows_max: int) -> Iterator[list[Row]]:
        """Yield the rows of `table`, up to `rows_max` at a time, in no order.

        Raises:
            SourceUnavailable: the snapshot is gone; take another and begin again.
        """

    def row_estimate(self, table: TableShape) -> int:
        """Return about how many rows the table has; 0 when nobody knows."""

    def close(self) -> None:
        """Release the snapshot."""


class ChangeSource(Protocol):
    """A legacy database that can be captured."""

    def prepare(
        self, cursor: CaptureCursor | None, check: Callable[[TableShape], None] | None = None
    ) -> Preparation:
        """Check the source, create what is missing, and judge whether `cursor` still fits.

        `check` sees every table before anything is created: what it raises leaves the source as it
        was, without a slot that would hold its WAL for nobody.

        Raises:
            SourceUnfit: a setting or a right is missing, or changes after `cursor` are lost.
            SourceUnavailable: it cannot be reached now.
        """

    def stream(self, start_lsn: int) -> ChangeStream:
        """Open the stream of changes that committed at or after `start_lsn`."""

    def snapshot(self) -> Snapshot:
        """Take a snapshot; waits for older open transactions, for a bounded time."""

    def chunks(self) -> ChunkReader:
        """Return what reads rows beside the stream; connects when it is first used."""


class SourceInspection(Protocol):
    """Looks at a source and touches nothing; each kind of source has its own."""

    def inspect(self) -> list[Finding]:
        """Return what was found, per source and per table.

        Needs no right beyond connecting: what may not be looked at is itself a finding, and so
        is a source that does not answer.
        """

    def setup_steps(self) -> list[SetupStep]:
        """Return what setting up would run now, in order; empty when nothing is missing.

        Raises:
            SourceUnfit: there is nothing that would set it up; `inspect` tells all reasons.
            SourceUnavailable: it cannot be reached now.
        """


class SourceSetup(Protocol):
    """Creates what capture needs in a source, and removes it again without a trace."""

    def set_up(self) -> list[SetupStep]:
        """Run exactly the inspection's `setup_steps`, and return them."""

    def teardown_steps(self) -> list[SetupStep]:
        """Return what `take_down` would run now; empty when nothing of ours is there."""

    def take_down(self, *, force: bool = False) -> Leave:
        """Remove everything of ours, then look whether anything is left.

        Raises:
            SourceUnfit: a capture still reads; with `force` our own is ended, never another's.
        """


class TableMapper(Protocol):
    """Turns changes of one table, in one shape, into events of one contract."""

    def map(
        self, change: RowChange, origin: ChangeOrigin
    ) -> Event | Breach | Sequence[Event | Breach]:
        """Return the event or events in their order, or what is wrong with the change."""


class TableContracts(Protocol):
    """The contracts of all captured tables."""

    def tables(self, source: str) -> Sequence[str]:
        """Return the tables of `source` that have a contract, as `schema.table`."""

    def mapper(self, source: str, relation: Relation) -> TableMapper | None:
        """Return the mapper for a table in this shape; None when it has no contract.

        Raises `ConfigInvalid` when the mapping does not fit the table's columns.
        """

    def fit(self, source: str, relation: Relation) -> ContractFit | None:
        """Return the version that fits a table in this shape best; None when it has no contract."""

    def refresh(self) -> None:
        """Look whether versions were added; keeps what is there when they cannot be read."""


class CaptureLog(EventLogWriter, EventLogReader, Protocol):
    """The event log as capture uses it: append, and read its own cursor."""
