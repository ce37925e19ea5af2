"""The routes that this deployment's gateway works by: its stored copy, or none yet."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bridge.gateway.routes.loader import load_routes
from bridge.gateway.routes.route import Route
from bridge.model.errors import BridgeError, StaleEpoch
from bridge.model.observer import Observer
from bridge.model.stage import Side
from bridge.runtime.configuration.gateway_settings import GatewaySettings
from bridge.runtime.wiring.log_opening import made
from bridge.storage.applied_routes import Applied, AppliedRoutes, digest_of, read_files


class RoutesInForce:
    """Reads the copy in force, again when another one is; one per process."""

    def __init__(self, data_dir: Path, gateway: GatewaySettings) -> None:
        self._gateway = gateway
        # Not made here: who only looks at files leaves nothing behind.
        self._data_dir = data_dir
        self.store = AppliedRoutes(data_dir / "routes")
        self._loaded: tuple[str | None, tuple[Route, ...]] | None = None
        self._failed: tuple[str, BaseException] | None = None
        self._reading: threading.Thread | None = None

    @property
    def edited(self) -> Path:
        """The folder that people edit."""
        return self._gateway.routes

    @property
    def folder(self) -> Path:
        """Where the files are that are in force; the edited ones before the first start."""
        applied = self.store.current()
        return self.edited if applied is None else applied.folder

    def adopt(self) -> Applied:
        """Return what is in force; a gateway that starts for the first time takes the edited files.

        Raises:
            ConfigInvalid: there is nothing in force, and the files have a fault.
            StorageUnavailable: the copy cannot be read, or written.
        """
        found = self.store.current()
        if found is not None:
            return found
        load_routes(self.edited, self.upstreams)
        made(self._data_dir)
        digest = self.store.keep(read_files(self.edited))
        try:
            return self.store.put_in_force(digest, instead_of=None, at=_now())
        except StaleEpoch:  # Another process that starts with us was first.
            return self.adopt()

    def routes(self) -> tuple[Route, ...]:
        """Return the routes in force; before the first start, those of the edited files.

        Raises:
            ConfigInvalid: they have a fault, such as an upstream that the settings lost.
            StorageUnavailable: the copy is damaged.
        """
        applied = self.store.current()
        digest = None if applied is None else applied.digest
        if self._failed is not None and self._failed[0] == digest:
            raise self._failed[1]
        if self._loaded is None or self._loaded[0] != digest:
            if applied is None:
                routes = load_routes(self.edited, self.upstreams)
            else:
                self.store.files(applied.digest)
                routes = load_routes(applied.folder, self.upstreams)
            self._loaded = (digest, routes)
        return self._loaded[1]

    def ready(self) -> bool:
        """Whether `routes` can be called without reading files; begins to read them when not.

        A thread of its own reads: hundreds of routes take half a second, which no request of an
        event loop should wait for.
        """
        applied = self.store.current()
        digest = None if applied is None else applied.digest
        for known in (self._loaded, self._failed):
            if known is not None and known[0] == digest:
                return True
        if digest is None:
            return True
        if self._reading is None or not self._reading.is_alive():
            self._reading = threading.Thread(target=self._read, args=(digest,), daemon=True)
            self._reading.start()
        return False

    def _read(self, digest: str) -> None:
        try:
            self.routes()
        except BaseException as exc:
            # The copy is never changed: it would fail again, as long as these settings hold.
            self._failed = (digest, exc)

    def is_newer(self) -> bool:
        """Whether another copy is in force than `routes` returned last."""
        applied = self.store.current()
        return self._loaded is None or self._loaded[0] != (applied and applied.digest)

    def is_edited(self) -> bool:
        """Whether the edited files are not what is in force."""
        applied = self.store.current()
        return applied is None or digest_of(read_files(self.edited)) != applied.digest

    @property
    def upstreams(self) -> tuple[str, ...]:
        """The upstreams that routes may name."""
        return tuple(self._gateway.upstreams)


class RouteBook:
    """Finds a route in force by its name, for who does not decide requests but finishes them."""

    def __init__(
        self,
        load: Callable[[], tuple[Route, ...]],
        generation: Callable[[], int],
        observer: Observer,
    ) -> None:
        self._load = load
        self._generation = generation
        self._observer = observer
        self._seen = generation()
        self._routes = _by_name(load())

    def route(self, group: str, route_id: str) -> Route | None:
        """Return the route; None when there is none any more."""
        if (value := self._generation()) != self._seen:
            try:
                self._routes = _by_name(self._load())
                self._seen = value
            except BridgeError as exc:
                # The last good routes stay, and it is tried again with the next write.
                self._observer.note("routes_unreadable", error=str(exc))
        return self._routes.get((group, route_id))


def _by_name(routes: Iterable[Route]) -> dict[tuple[str, str], Route]:
    return {(route.group, route.route_id): route for route in routes}


class TwoSidedGroups(Collection[str]):
    """The groups that have a modern side, by the routes in force whenever it is asked."""

    def __init__(self, routes: Callable[[], tuple[Route, ...]]) -> None:
        self._routes = routes

    def _groups(self) -> set[str]:
        return {route.group for route in self._routes() if Side.MODERN in route.upstreams}

    def __contains__(self, group: object) -> bool:
        return group in self._groups()

    def __iter__(self) -> Iterator[str]:
        return iter(self._groups())

    def __len__(self) -> int:
        return len(self._groups())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
