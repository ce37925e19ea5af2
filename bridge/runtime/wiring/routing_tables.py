"""Build a worker's route tables from the routes in force and from where the groups stand."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from bridge.gateway.dual.ports import GroupReader
from bridge.gateway.http.target import parse_authority
from bridge.gateway.plane.keeper import TableNotReady
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.routes.timings import Timings
from bridge.model.errors import StorageUnavailable
from bridge.model.http import HttpRequest
from bridge.model.stage import GroupState
from bridge.runtime.wiring.routes_in_force import RoutesInForce

# How long an idle worker may decide by an old table when a switch was killed half-way.
LOOK_FOR_SWITCHES_S: Final = 1.0


class Counter(Protocol):
    """The generation, as `bridge.storage` keeps it for one machine or for several."""

    def current(self) -> int:
        """Return the generation that is in force."""

    def bump(self) -> int:
        """Begin another one."""


class RoutingTables:
    """The tables of one worker, one after the other."""

    def __init__(
        self,
        in_force: RoutesInForce,
        groups: GroupReader,
        generation: Counter,
        served: Callable[[tuple[Route, ...]], tuple[Route, ...]],
    ) -> None:
        """`served` adds the routes that the gateway answers by itself."""
        self._in_force = in_force
        self._groups = groups
        self._generation = generation
        self._served = served
        self._routes = served(in_force.routes())
        self._loaded: Sequence[GroupState] = ()
        self._timings = Timings()
        self._forced_until = 0.0

    def load(self, number: int) -> RoutingTable:
        """Return the table of generation `number`.

        Only what was applied counts: files that somebody edits meanwhile are not looked at.

        Raises:
            TableNotReady: the routes are being read, in a thread of their own.
        """
        loaded = list(self._groups.groups())
        if not self._in_force.ready():
            raise TableNotReady("cannot build the table: its routes are being read")
        self._routes = self._served(self._in_force.routes())
        self._loaded = loaded
        self._forced_until = max((state.forced_until for state in loaded), default=0.0)
        forcible = self._forced_until > time.time()
        if not forcible:
            self._forced_until = 0.0
        return RoutingTable.build(self._routes, loaded, number, self._timings, forcible=forcible)

    def redecide(self, request: HttpRequest) -> Decision | None:
        """Decide a request again, by where the groups stand now."""
        raw = request.header(b"host")
        host = parse_authority(raw).name if raw is not None else None
        groups, number = self._groups.groups(), self._generation.current()
        table = RoutingTable.build(self._routes, groups, number, self._timings)
        lines = [b"%b: %b" % pair for pair in request.headers]
        decision = table.decide(request.method, host, request.target, lines)
        return decision if isinstance(decision, Decision) else None

    async def look_for_news(self) -> None:
        """The counter is the hint; this is the promise, should a switch die before its bump."""
        while True:
            await asyncio.sleep(LOOK_FOR_SWITCHES_S)
            with contextlib.suppress(StorageUnavailable):
                # The last token has ended: requests need not be looked through any more.
                over = 0 < self._forced_until <= time.time()
                new = list(self._groups.groups()) != self._loaded
                if new or over or self._in_force.is_newer():
                    self._generation.bump()
