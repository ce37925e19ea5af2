"""Logs and sources that fail on purpose."""

import os
import signal
import threading
from collections.abc import Callable, Sequence

from bridge.capture.cursor import CaptureCursor
from bridge.capture.ports import (
    CaptureLog,
    ChangeSource,
    ChangeStream,
    Preparation,
    Received,
    Snapshot,
    TableShape,
)
from bridge.capture.snapshot.ports import ChunkReader
from bridge.model.entry import (
    Appended,
    CursorMove,
    EntryDraft,
    SourceCursor,
    StoredEntry,
    TreeHead,
)
from tests.capture.running import SOURCE, cursor_of


class Crash(Exception):
    """Stands for the end of the process."""


class FaultyLog:
    """Calls `fault(number, "before" or "after")` around each append; what it raises passes."""

    def __init__(self, log: CaptureLog, fault: Callable[[int, str], None]) -> None:
        self._log = log
        self._fault = fault
        self.appends = 0

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        """Append, with faults around it."""
        self.appends += 1
        self._fault(self.appends, "before")
        appended = self._log.append(drafts, cursor=cursor)
        self._fault(self.appends, "after")
        return appended

    def head(self) -> TreeHead:
        """As the log."""
        return self._log.head()

    def read(self, start: int, count_max: int) -> list[StoredEntry]:
        """As the log."""
        return self._log.read(start, count_max)

    def leaf_hashes(self, start: int, stop: int) -> list[bytes]:
        """As the log."""
        return self._log.leaf_hashes(start, stop)

    def tile_roots(self, level: int, start: int, stop: int) -> list[bytes]:
        """As the log."""
        return self._log.tile_roots(level, start, stop)

    def find(self, entry_id: str) -> StoredEntry | None:
        """As the log."""
        return self._log.find(entry_id)

    def cursor(self, source: str) -> SourceCursor | None:
        """As the log."""
        return self._log.cursor(source)

    def change_token(self) -> int:
        """As the log."""
        return self._log.change_token()


def crash_at(numbers: set[int], moment: str) -> Callable[[int, str], None]:
    """Return a fault that raises `Crash` at these appends."""

    def fault(number: int, now: str) -> None:
        if number in numbers and now == moment:
            raise Crash(f"{moment} append {number}")

    return fault


def kill_at(number: int, moment: str) -> Callable[[int, str], None]:
    """Return a fault that kills the process at this append, as the kernel would."""

    def fault(now_number: int, now: str) -> None:
        if now_number == number and now == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    return fault


class Gate:
    """A fault that holds appends while it is closed."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self.held = threading.Event()

    def close(self) -> None:
        """Hold the next append."""
        self._open.clear()

    def open(self) -> None:
        """Let appends pass."""
        self._open.set()

    def __call__(self, number: int, now: str) -> None:
        """Wait while the gate is closed."""
        if now == "before" and not self._open.is_set():
            self.held.set()
            assert self._open.wait(60), "nobody opened the gate"


class CheckedSource:
    """A source whose every acknowledgement is compared with the durable cursor."""

    def __init__(self, source: ChangeSource, log: CaptureLog) -> None:
        self._source = source
        self._log = log
        self.acknowledged = 0

    def prepare(
        self, cursor: CaptureCursor | None, check: Callable[[TableShape], None] | None = None
    ) -> Preparation:
        """As the source."""
        return self._source.prepare(cursor, check)

    def snapshot(self) -> Snapshot:
        """As the source."""
        return self._source.snapshot()

    def chunks(self) -> ChunkReader:
        """As the source."""
        return self._source.chunks()

    def stream(self, start_lsn: int) -> ChangeStream:
        """Open a stream that checks."""
        assert start_lsn <= cursor_of(self._log).end_lsn
        return _CheckedStream(self, self._source.stream(start_lsn), self._log)


class _CheckedStream:
    def __init__(self, owner: CheckedSource, stream: ChangeStream, log: CaptureLog) -> None:
        self._owner = owner
        self._stream = stream
        self._log = log

    def receive(self, changes_max: int, timeout_ms: int) -> Received:
        return self._stream.receive(changes_max, timeout_ms)

    def acknowledge(self, end_lsn: int) -> None:
        assert self._log.cursor(SOURCE) is not None
        assert end_lsn <= cursor_of(self._log).end_lsn, "acknowledged what is not durable"
        assert end_lsn >= self._owner.acknowledged, "an acknowledgement went back"
        self._owner.acknowledged = end_lsn
        self._stream.acknowledge(end_lsn)

    def keep_alive(self) -> None:
        self._stream.keep_alive()

    def close(self) -> None:
        self._stream.close()
