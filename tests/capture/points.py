"""Named points of capture, at which a test lets something happen: a kill, a cut, an error.

Wrappers count how often each point is reached and call what the test gave; they pass everything
else on, so that they also fit ports that grow.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

from bridge.capture.cursor import parse_cursor
from bridge.capture.ports import CaptureLog, ChangeSource, ChangeStream, Received
from bridge.capture.protocol.staging import StageFile, StageStore
from bridge.model.entry import Appended, CursorMove, EntryDraft
from tests.capture.running import SOURCE

STREAM_POINTS = (
    "append.before",
    "append.after",
    "part.before",
    "part.after",
    "acknowledge.before",
    "acknowledge.after",
    "receive.before",
    "receive.after",
)
"""`part`: an append after which a large transaction is half in the log."""

SNAPSHOT_POINTS = ("snapshot.before", "snapshot.after")
"""An append of a chunk of rows, or of the mark behind a table."""

STAGE_POINTS = ("stage.before", "stage.after")
"""A write of an open transaction's changes to its stage on disk."""


class Points:
    """Calls `action` once, when `point` is reached for the `number`-th time (from 1)."""

    def __init__(self, point: str, number: int, action: Callable[[], None]) -> None:
        self._wanted = (point, number)
        self._action = action
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.fired = threading.Event()

    def reach(self, point: str) -> None:
        """Count, and act if it is the one; the reader and the appender both call."""
        with self._lock:
            self._counts[point] += 1
            # At or beyond, so that an action is not missed for being late.
            due = (
                point == self._wanted[0]
                and self._counts[point] >= self._wanted[1]
                and not self.fired.is_set()
            )
            if due:
                self.fired.set()
        if due:
            self._action()


def die() -> None:
    """End this process as the kernel would."""
    os.kill(os.getpid(), signal.SIGKILL)


class PointedLog:
    """A log whose appends are points."""

    def __init__(self, log: CaptureLog, points: Points) -> None:
        self._log = log
        self._points = points
        self._snapshot: object = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        """Append, with a point before and after."""
        kind = "append" if cursor is None else self._kind(cursor)
        self._points.reach(f"{kind}.before")
        appended = self._log.append(drafts, cursor=cursor)
        self._points.reach(f"{kind}.after")
        return appended

    def _kind(self, move: CursorMove) -> str:
        if move.source != SOURCE:
            return "memory"  # Something that capture remembers beside its place.
        cursor = parse_cursor(move.state)
        snapshot, self._snapshot = self._snapshot, cursor.snapshot
        if snapshot is not None and snapshot != cursor.snapshot:
            return "snapshot"
        return "append" if cursor.part is None else "part"


class PointedSource:
    """A source whose streams reach points."""

    def __init__(self, source: ChangeSource, points: Points) -> None:
        self._source = source
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def stream(self, start_lsn: int) -> ChangeStream:
        """Open a stream with points."""
        stream = PointedStream(self._source.stream(start_lsn), self._points)
        return cast(ChangeStream, stream)


class PointedStream:
    """A stream that reaches points whenever something arrives or is acknowledged anew."""

    def __init__(self, stream: ChangeStream, points: Points) -> None:
        self._stream = stream
        self._points = points
        self._acknowledged = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def receive(self, changes_max: int, timeout_ms: int) -> Received:
        """Receive; the point before it counts only once something came."""
        self._points.reach("receive.before")
        received = self._stream.receive(changes_max, timeout_ms)
        if received.parts:
            self._points.reach("receive.after")
        return received

    def acknowledge(self, end_lsn: int) -> None:
        """Acknowledge, with a point before and after a position that is new."""
        if end_lsn == self._acknowledged:
            self._stream.acknowledge(end_lsn)
            return
        self._acknowledged = end_lsn
        self._points.reach("acknowledge.before")
        self._stream.acknowledge(end_lsn)
        self._points.reach("acknowledge.after")


class PointedStages:
    """Stages whose writes are points."""

    def __init__(self, stages: StageStore, points: Points) -> None:
        self._stages = stages
        self._points = points

    def clear(self) -> None:
        """As the stages."""
        self._stages.clear()

    def create(self, xid: int) -> StageFile:
        """Return a stage with points."""
        return cast(StageFile, PointedStage(self._stages.create(xid), self._points))


class PointedStage:
    """A stage whose writes are points."""

    def __init__(self, stage: StageFile, points: Points) -> None:
        self._stage = stage
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage, name)

    def append(self, data: bytes) -> None:
        """Append, with a point before and after."""
        self._points.reach("stage.before")
        self._stage.append(data)
        self._points.reach("stage.after")


def pointed(
    source: ChangeSource, log: CaptureLog, points: Points
) -> tuple[ChangeSource, CaptureLog]:
    """Return source and log with points."""
    return (
        cast(ChangeSource, PointedSource(source, points)),
        cast(CaptureLog, PointedLog(log, points)),
    )
