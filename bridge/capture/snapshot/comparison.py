"""Compare a table with the last state that the log tells of it, while both go on.

The source is read in the same short transactions as for its events. A chunk is compared once the
log has passed everything in it; a row that a transaction changed that the chunk does not contain
is read again. So what is told to differ differs, however busy the source is; a row that changes
faster than it can be read is counted as such and not judged.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Final, NamedTuple, Protocol

from bridge.capture.ports import TableShape
from bridge.capture.snapshot.logged_rows import EntryTold, RowTold, entry_told, payload_told
from bridge.capture.snapshot.pacing import Pacing, SnapshotLimits
from bridge.capture.snapshot.ports import Chunk, ChunkOrder, ChunkReader
from bridge.capture.snapshot.window import Key, key_of, key_places, key_row
from bridge.contracts.names import source_urn
from bridge.eventlog.ports import EventLogReader
from bridge.model.change import ChangeKind, Row
from bridge.model.errors import SourceUnavailable
from bridge.model.lsn import format_lsn

# A page of the log in memory at once.
_PAGE_ENTRIES: Final = 2_000

# Each has at most 8 MiB of rows.
_CHUNKS_AHEAD_MAX: Final = 8

# How often a row that changes while it is compared is read again.
_ROUNDS_MAX: Final = 5

_KEYS_PER_CHUNK: Final = 500

# The log normally passes within a second what the source has committed.
PASS_TIMEOUT_S_DEFAULT: Final = 60.0
_PASS_POLL_S: Final = 0.05

DIFFERENCES_MAX: Final = 100_000
"""More than this is not a repair but a new reading: no more are listed, all are counted."""


class Difference(Enum):
    """How source and log disagree about a row."""

    MISSING = "missing"  # The source has it, the log does not.
    DIFFERENT = "different"  # Both have it, with other values.
    EXTRA = "extra"  # The log has it, the source does not.


class LastRow(NamedTuple):
    """The last state of a row in the log."""

    fields: Mapping[str, str] | None
    """Digest by field; None: deleted."""
    xid: int
    position: int


class LastState(Protocol):
    """A table as the log tells it; grows while the log is followed."""

    def apply(self, told: Iterable[EntryTold]) -> None:
        """Take in what entries say, in the log's order."""

    def find(self, key: str) -> LastRow | None:
        """Return the last state of a row, gone ones included."""

    def mark_seen(self, keys: Iterable[str]) -> None:
        """Remember that the source has these rows."""

    def unseen(self) -> Iterator[str]:
        """Yield the keys of rows that the log has and the source was not seen to have."""

    def row_count(self) -> int:
        """Return how many rows the log has."""


class RowEvents(Protocol):
    """Spells rows of the source as events, and keys of events as the source's."""

    def payload(self, kind: ChangeKind, row: Row) -> bytes | None:
        """Return the event of a row, or None when it would break its contract unreadably."""

    def source_key(self, key: str) -> Key | None:
        """Return the source's text of a key that an event has, or None when it cannot be said."""


class Found(NamedTuple):
    """One row that differs."""

    difference: Difference
    key: str
    """As events have it."""
    source_key: Key | None
    """As the source has it; None: it cannot be asked for, nor repaired."""


@dataclass(slots=True, kw_only=True)
class TableReport:
    """What a comparison of one table gave."""

    table: str
    source_rows: int = 0
    log_rows: int = 0
    counts: dict[Difference, int] = field(default_factory=lambda: dict.fromkeys(Difference, 0))
    found: list[Found] = field(default_factory=list)
    """The first `DIFFERENCES_MAX` of them."""
    changing: int = 0
    """Rows that changed each time they were looked at."""
    unreadable: int = 0
    """Rows of the source that cannot be spelled as events at all."""

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return any(self.counts.values())

    def add(self, difference: Difference, key: str, source_key: Key | None) -> None:
        """Count a row that differs, and list it while there is room."""
        self.counts[difference] += 1
        if len(self.found) < DIFFERENCES_MAX:
            self.found.append(Found(difference, key, source_key))


Progress = Callable[[str, int, int], None]
"""Told what is being read (`log` or `source`), how much is done, and of how much (0: unknown)."""


class TableComparison:
    """Compares one table once."""

    def __init__(
        self,
        source_name: str,
        shape: TableShape,
        reader: ChunkReader,
        log: EventLogReader,
        state: LastState,
        events: RowEvents,
        *,
        log_position: Callable[[], int],
        limits: SnapshotLimits,
        progress: Progress = lambda what, done, total: None,
        pass_timeout_s: float = PASS_TIMEOUT_S_DEFAULT,
    ) -> None:
        """`log_position` says up to where the log has the source."""
        self._source_name = source_name
        self._shape = shape
        self._reader = reader
        self._log = log
        self._state = state
        self._events = events
        self._log_position = log_position
        self._pacing = Pacing(limits)
        self._progress = progress
        self._pass_timeout_s = pass_timeout_s
        self._next_index = 0
        self._first: Chunk | None = None
        self._urn = source_urn(source_name)
        places = key_places(shape.relation, shape.key)
        assert places, "only a table with a key can be compared"
        self._places = places
        self.report = TableReport(table=shape.relation.name)

    def run(self) -> TableReport:
        """Compare the whole table.

        Raises:
            SourceUnavailable: the source does not answer, or the log does not follow it.
        """
        self._follow()
        doubtful: dict[Key, None] = {}
        after: Key | None = None
        # Read ahead: an idle log says only each second how far it is.
        unjudged: deque[Chunk] = deque()
        while True:
            chunk = self._read(after=after)
            self._first = self._first or chunk
            unjudged.append(chunk)
            self.report.source_rows += len(chunk.rows)
            self._progress("source", self.report.source_rows, chunk.row_estimate)
            while unjudged and (chunk.ended or len(unjudged) > _CHUNKS_AHEAD_MAX):
                self._pass(unjudged[0])
                self._compare(unjudged.popleft(), doubtful, first_look=True)
            if chunk.ended:
                break
            after = chunk.after
            time.sleep(self._pacing.learn(chunk.took_ms, full=chunk.full))
        self._follow()
        for key in list(islice(self._state.unseen(), DIFFERENCES_MAX)):
            source_key = self._events.source_key(key)
            if source_key is None:
                self._judge_unasked(key)
            else:
                doubtful[source_key] = None
        self._settle(list(doubtful))
        self.report.log_rows = self._state.row_count()
        return self.report

    def _settle(self, keys: list[Key]) -> None:
        """Look at single rows until each is judged, or changes too often."""
        for _ in range(_ROUNDS_MAX):
            doubtful: dict[Key, None] = {}
            for start in range(0, len(keys), _KEYS_PER_CHUNK):
                chunk = self._read(keys=keys[start : start + _KEYS_PER_CHUNK])
                self._pass(chunk)
                self._compare(chunk, doubtful)
                for key in chunk.absent:
                    self._judge_absent(key, chunk, doubtful)
            keys = list(doubtful)
            if not keys:
                return
        self.report.changing += len(keys)

    def _compare(
        self, chunk: Chunk, doubtful: dict[Key, None], *, first_look: bool = False
    ) -> None:
        """Judge rows of a chunk; at first look what differs is only noted, to be looked at again.

        The second look is at a few rows and soon after the log passed them, so that nothing that
        is merely late is taken for a difference.
        """
        later = first_look and len(doubtful) < DIFFERENCES_MAX
        seen = []
        for row in chunk.rows:
            told = self._told(ChangeKind.READ, row)
            if told is None:
                self.report.unreadable += 1
                continue
            seen.append(told.key)
            last = self._state.find(told.key)
            if last is not None and last.fields == told.fields:
                continue
            source_key = key_of(row, self._places)
            if later or (last is not None and not _contains(chunk, last)):
                doubtful[source_key] = None
            elif last is None or last.fields is None:
                self.report.add(Difference.MISSING, told.key, source_key)
            else:
                self.report.add(Difference.DIFFERENT, told.key, source_key)
        self._state.mark_seen(seen)

    def _judge_absent(self, key: Key, chunk: Chunk, doubtful: dict[Key, None]) -> None:
        told = self._told(ChangeKind.DELETED, key_row(self._shape.relation, self._shape.key, key))
        last = None if told is None else self._state.find(told.key)
        if told is None or last is None or last.fields is None:
            return  # Neither has it.
        if _contains(chunk, last):
            self.report.add(Difference.EXTRA, told.key, key)
        else:
            doubtful[key] = None

    def _judge_unasked(self, key: str) -> None:
        """Judge a row whose key the source cannot be asked for: no chunk of the table had it."""
        last = self._state.find(key)
        assert self._first is not None, "a table has one chunk at least"
        assert last is not None, "it is the log that has it"
        if _contains(self._first, last):
            self.report.add(Difference.EXTRA, key, None)
        else:
            self.report.changing += 1

    def _told(self, kind: ChangeKind, row: Row) -> RowTold | None:
        payload = self._events.payload(kind, row)
        if payload is None:
            return None
        try:
            rows, _ = payload_told(payload)
        except (ValueError, KeyError, IndexError):
            return None
        return rows[-1]

    def _read(self, *, after: Key | None = None, keys: Sequence[Key] = ()) -> Chunk:
        return self._reader.read(
            ChunkOrder(
                relation=self._shape.relation,
                key=self._shape.key,
                row_filter=self._shape.row_filter,
                rows_max=self._pacing.rows,
                after=after,
                keys=keys,
                only_keys=bool(keys),
            )
        )

    def _pass(self, chunk: Chunk) -> None:
        """Follow the log until it has everything that a chunk contains."""
        deadline = time.monotonic() + self._pass_timeout_s
        while self._log_position() < chunk.position:
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    f"cannot compare table {self._shape.relation.name!r} of source "
                    f"{self._source_name!r}: the log is at {format_lsn(self._log_position())}, the "
                    f"rows were read at {format_lsn(chunk.position)}, and it has not come there in "
                    f"{self._pass_timeout_s:.0f} s; does its capture run?"
                )
            time.sleep(_PASS_POLL_S)
        self._follow()

    def _follow(self) -> None:
        """Take in what was appended since."""
        size = self._log.head().size
        while self._next_index < size:
            entries = self._log.read(self._next_index, _PAGE_ENTRIES)
            if not entries:
                break
            self._next_index = entries[-1].leaf_index + 1
            told = (entry_told(e, self._urn, self._shape.relation.name) for e in entries)
            self._state.apply(found for found in told if found is not None)
            self._progress("log", self._next_index, size)


def _contains(chunk: Chunk, last: LastRow) -> bool:
    """Whether a chunk contains what the log said last about a row."""
    if last.xid == 0:
        return last.position <= chunk.position  # It was read, not changed.
    return chunk.visibility.contains(last.xid)
