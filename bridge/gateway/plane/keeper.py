"""Hold the one reference to the route table, and follow the switches."""

import time
from collections.abc import Callable
from typing import Protocol

from bridge.gateway.routes.table import RoutingTable
from bridge.model.errors import BridgeError
from bridge.model.observer import Observer

# A table that cannot be built (store locked, routes broken) is tried again ten times a second.
_RELOAD_RETRY_S = 0.1
# A switch waits 2 s for the workers; a slow old write may hold our word back for most of that.
_ADOPT_WAIT_S = 1.5


class TableNotReady(BridgeError):
    """What the table is built of is still being read; ask again with the next look."""


class Generation(Protocol):
    """The switch counter in shared memory."""

    def current(self) -> int:
        """Return the generation that is in force; read on every request."""

    def adopted(self, slot: int, value: int) -> None:
        """Tell that this worker decides by generation `value` and no older one any more."""


class Flight:
    """Writes under way that an old table sent past the journal."""

    __slots__ = ("count", "landed")

    def __init__(self) -> None:
        self.count = 0
        self.landed: Callable[[], None] | None = None

    def land(self) -> None:
        """One of them has ended."""
        self.count -= 1
        if self.count == 0 and self.landed is not None:
            self.landed()


class TableKeeper:
    """Holds the one reference to the table, and replaces it when the generation changes."""

    def __init__(
        self,
        load: Callable[[int], RoutingTable],
        generation: Generation,
        slot: int,
        observer: Observer,
    ) -> None:
        self._load = load
        self._generation = generation
        self._current = generation.current
        self._slot = slot
        self._observer = observer
        self._seen = generation.current()
        self._retry_at: float | None = None
        self._adopt_by: float | None = None
        self._told = -1
        self.flight = Flight()
        self.table = load(self._seen)
        self._tell()

    def latest(self) -> RoutingTable:
        """Return the table to decide a request by."""
        value = self._current()
        if value != self._seen:
            self._reload(value)
        return self.table

    def poll(self) -> None:
        """Look without a request: an idle worker must adopt too, or a switch waits for it."""
        value = self._current()
        now = time.monotonic()
        if value != self._seen or (self._retry_at is not None and now >= self._retry_at):
            self._reload(value)
        if self._adopt_by is not None and now >= self._adopt_by:
            self._observer.note(
                "adopted_early", generation=self._seen, writes_in_flight=self.flight.count
            )
            self._tell()

    def _reload(self, value: int) -> None:
        self._seen = value
        try:
            table = self._load(value)
        except TableNotReady:
            self._retry_at = time.monotonic()
            return
        except BridgeError as exc:
            # The last good table stays: reads go on, and the journal refuses its old epochs.
            self._retry_at = time.monotonic() + _RELOAD_RETRY_S
            self._observer.note("table_failed", generation=value, error=str(exc))
            return
        self._retry_at = None
        self.table = table
        self._observer.note("table_swapped", generation=value)
        old, self.flight = self.flight, Flight()
        if old.count:
            # These writes pass the journal; a switch that calls the journal complete must wait.
            old.landed = self._tell
            self._adopt_by = time.monotonic() + _ADOPT_WAIT_S
        else:
            self._tell()

    def _tell(self) -> None:
        self._adopt_by = None
        if self._told != self._seen:
            self._told = self._seen
            self._generation.adopted(self._slot, self._seen)
