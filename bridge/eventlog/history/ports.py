"""What searching asks of a store for its index.

An index is a projection of the log in a store of its own: it may be lost, and is made again from
the log. Rows are kept in the log's order. Once a *segment* of them is complete, each value in it is
*posted* by column and number, sorted, in one go: so writing never touches an old place, and what a
question costs grows with the number of segments, not with the number of entries.

Implementations: `bridge.storage.log_index.sqlite`, `bridge.storage.log_index.postgres`; one
conformance suite in `tests/eventlog/history/`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from bridge.eventlog.history.index_rows import Form, IndexRow
from bridge.model.errors import StorageUnavailable

# At ten million entries three hundred segments: a look into each is milliseconds, and reading the
# rows of the newest one, which has no postings yet, is a few milliseconds too.
SEGMENT_ENTRIES_DEFAULT: Final = 32_768


class Column(IntEnum):
    """What is posted of every entry that has it; declared fields have numbers from 16 on."""

    FORM = 0
    ENTITY = 1  # Both the present and the former key.
    ACTOR = 2
    CORRELATION = 3
    TICKET = 4


class Posted(NamedTuple):
    """Numbers of one column, both ends included."""

    column: int
    low: int
    high: int


class Placed(NamedTuple):
    """A declared field's range in the rows of some forms."""

    forms: tuple[int, ...]
    slot: int
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What rows have to be; everything has to hold."""

    forms: tuple[int, ...] | None = None
    time: tuple[int, int] | None = None
    """First and last number of `time`."""
    recorded: tuple[int, int] | None = None
    entities: tuple[int, ...] | None = None
    actor: int | None = None
    correlation: int | None = None
    ticket: int | None = None
    fields: tuple[tuple[Placed, ...], ...] = ()
    """For each condition its places; one of them has to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexState:
    """How far an index is."""

    next_index: int
    """The first entry that is not in it."""
    anchor: bytes
    """Leaf hash of the entry before that, empty at 0: whether this is still the log that it was
    made from."""
    first_index: int
    """The first entry that is in it: the log may have been pruned before."""


class Span(NamedTuple):
    """The times in a complete segment; None where no entry has one."""

    segment: int
    time_low: int | None
    time_high: int | None
    recorded_low: int | None
    recorded_high: int | None


class IndexView(Protocol):
    """One unchanging picture of an index."""

    @property
    def state(self) -> IndexState:
        """How far it is."""

    @property
    def segment_entries(self) -> int:
        """How many entries are in a segment."""

    def forms(self) -> Sequence[Form]:
        """Return all forms."""

    def spans(self) -> Sequence[Span]:
        """Return the complete segments, in order."""

    def count(self, segments: Sequence[int], posted: Posted, count_max: int) -> int:
        """Return how many postings there are in `segments`, counted up to `count_max`."""

    def probe(
        self,
        segments: Sequence[int],
        posted: Posted,
        selection: Selection,
        bounds: range,
        *,
        newest_first: bool,
        count_max: int,
    ) -> list[int]:
        """Return indices within `bounds` that are posted and fit, the first `count_max`."""

    def scan(
        self, bounds: range, selection: Selection, *, newest_first: bool, count_max: int
    ) -> list[int]:
        """Return indices within `bounds` whose rows fit, the first `count_max`."""

    def rows(self, start: int, count_max: int) -> list[IndexRow]:
        """Return rows from index `start` on, in order."""


class LogIndexReader(Protocol):
    """Answers questions; any number of processes may."""

    def view(self) -> AbstractContextManager[IndexView]:
        """Hold one picture; no writer waits for it.

        Raises:
            IndexDamaged: the store is damaged; the follower makes it anew.
            StorageUnavailable: it cannot be read now.
        """

    def size_bytes(self) -> int:
        """Return how much storage the index takes."""

    def close(self) -> None:
        """Release the store."""


class LogIndexWriter(LogIndexReader, Protocol):
    """Takes in what the log has new; one process does, another that tries is refused."""

    def take(self, rows: Sequence[IndexRow], forms: Sequence[Form], moved: IndexState) -> bool:
        """Add rows and new forms and move the state, in one commit.

        `rows` follow on what is there. False: somebody else moved it meanwhile, nothing was
        written, and the caller reads the state again.
        """

    def clear(self) -> None:
        """Forget everything; also what cannot be read any more."""


class IndexDamaged(StorageUnavailable):
    """The index cannot be used as it is; the log is whole, and the follower makes a new one."""
