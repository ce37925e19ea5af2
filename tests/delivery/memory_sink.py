"""An `EventSink` in memory whose faults are told in advance."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bridge.delivery.ports import Progress
from bridge.model.entry import StoredEntry
from bridge.model.errors import SinkUnavailable


@dataclass(frozen=True, slots=True)
class Pass:
    """Let `count` calls through before the next fault."""

    count: int


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse: nothing happened."""


@dataclass(frozen=True, slots=True)
class ActThenFail:
    """Do it, and lose the answer."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Do it, and keep the answer back until `release`."""


Fault: TypeAlias = Pass | Reject | ActThenFail | Hold


class MemorySink:
    """Keeps what it is offered; each entry, and each connect, meets the next fault of its queue."""

    def __init__(self) -> None:
        self.arrived: list[StoredEntry] = []
        self.connects = 0
        self._faults: dict[str, deque[Fault]] = {"connect": deque(), "publish": deque()}
        self._through = -1
        self._held: list[StoredEntry] = []
        self._failure: SinkUnavailable | None = None
        self._connected = False

    def inject(self, operation: str, *faults: Fault) -> None:
        """Queue `faults` for `connect` or `publish`."""
        self._faults[operation].extend(faults)

    def release(self) -> None:
        """Deliver the answers that `Hold` kept back."""
        self._held.clear()
        if self._failure is None and self.arrived:
            self._through = self.arrived[-1].leaf_index

    def connect(self) -> None:
        self._through, self._failure = -1, None
        self._held.clear()
        self.connects += 1
        if isinstance(self._next_fault("connect"), Reject):
            self._connected = False
            raise SinkUnavailable("cannot reach the sink: told to refuse")
        self._connected = True

    def offer(self, entries: Sequence[StoredEntry]) -> None:
        self._require_sound()
        for entry in entries:
            fault = self._next_fault("publish")
            if isinstance(fault, Reject):
                self._failure = SinkUnavailable("cannot publish: told to refuse")
                return
            self.arrived.append(entry)
            if isinstance(fault, ActThenFail):
                self._failure = SinkUnavailable("lost the connection: told to lose the answer")
                return
            if isinstance(fault, Hold) or self._held:
                self._held.append(entry)
            else:
                self._through = entry.leaf_index

    def progress(self, timeout_ms: int = 0) -> Progress:
        self._require_sound()
        return Progress(self._through, 0, 0)

    @property
    def through(self) -> int:
        return self._through

    def close(self) -> None:
        self._connected = False

    def _require_sound(self) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._connected:
            raise SinkUnavailable("cannot publish: not connected")

    def _next_fault(self, operation: str) -> Fault | None:
        faults = self._faults[operation]
        if not faults:
            return None
        fault = faults.popleft()
        if isinstance(fault, Pass):
            if fault.count > 1:
                faults.appendleft(Pass(fault.count - 1))
            return None
        return fault
