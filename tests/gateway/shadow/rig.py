"""A real worker with a mirror, and two sides that behave as a test wants."""

import os
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from adapters.upstream.pool import Pool, PoolLimits
from bridge.gateway.comparison.book import ComparisonBook
from bridge.gateway.comparison.sealed_request import RequestSeal
from bridge.gateway.dual.ports import IdMap
from bridge.gateway.plane.tap import Tap
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.gateway.routes.sections.shadow import ShadowRules
from bridge.gateway.shadow.limits import ShadowLimits
from bridge.gateway.shadow.mirror import Lanes, Mirror
from bridge.model.http import Headers
from bridge.model.stage import GroupState, Side, Stage
from tests.gateway.http.rig import BOTH, Gateway, route
from tests.gateway.http.upstream import Upstream
from tests.waiting import wait_until

QUIET = ComparisonRules(noise_fraction=1e-9)
"""No probes."""
EVERYTHING = ShadowRules(copies_per_s=1_000_000, probes_per_s=1_000_000, second_look_ms=20)


def json_answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    """Return an answer with a JSON body."""
    return (
        b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % (status, len(body))
    ) + body


def all_of(rules: ShadowRules = EVERYTHING, **changes: object) -> Route:
    """Return a route for every request of a group that reads, with both sides."""
    given: dict[str, object] = {"group": "orders", "upstreams": BOTH, "comparison": QUIET}
    given |= {"shadow": rules} | changes
    return route(str(given.pop("route_id", "all")), str(given.pop("path", "/{rest...}")), **given)


def _new_id() -> str:
    return uuid.uuid4().hex


class ShadowGateway(Gateway):
    """A worker whose group `orders` stands at a stage with two sides."""

    def __init__(
        self,
        upstreams: dict[str, int],
        *,
        routes: Sequence[Route],
        stage: Stage = Stage.SHADOW,
        epoch: int = 1,
        shadow_limits: ShadowLimits | None = None,
        seed: int | None = None,
        ids: IdMap | None = None,
        journal: Lanes | None = None,
        credentials: dict[str, Headers] | None = None,
        spool_folder: Path | None = None,
        **others: object,
    ) -> None:
        state = GroupState(group="orders", stage=stage, epoch=epoch, lanes_held=False)
        super().__init__(upstreams, routes=routes, groups=[state], **others)  # type: ignore[arg-type]  # The rig's own keys.
        self.book: ComparisonBook
        self.seal = RequestSeal(b"k" * 32, os.urandom)
        self.mirror: Mirror
        self._ports = upstreams
        self._shadow_limits = shadow_limits
        self._seed = seed
        self._ids = ids
        self._journal = journal
        self._credentials = credentials
        self._spool_folder = spool_folder

    def make_tap(self) -> Tap:
        """Return the mirror."""
        chance = random.Random(self._seed)
        self.book = ComparisonBook(
            key=b"k" * 32, chance=chance.random, new_id=_new_id, seal=self.seal
        )
        self.mirror = Mirror(
            open_pool=self._open_pool,
            book=self.book,
            ids=self._ids,
            journal=self._journal,
            limits=self._shadow_limits,
            credentials=self._credentials,
            spool_folder=self._spool_folder,
            observer=self.observer,
            chance=chance,
        )
        return self.mirror

    def _open_pool(self, upstream: str, connections_max: int) -> Pool:
        limits = PoolLimits(connections_max=connections_max, wait_ms=500)
        return Pool(
            upstream, "127.0.0.1", self._ports[upstream], limits=limits, observer=self.observer
        )

    def in_loop(self, work: Callable[[], object]) -> None:
        """Run `work` in the worker's event loop and wait for it."""
        done = threading.Event()

        def run() -> None:
            work()
            done.set()

        self.loop.call_soon_threadsafe(run)
        assert done.wait(10)

    def counts(self) -> Counter[str]:
        """Return every count of the copies that was told until now."""
        self.in_loop(self.mirror.report)
        total: Counter[str] = Counter()
        for note in self.observer.notes("shadow"):
            for name, count in note.facts.items():
                assert not isinstance(count, str)
                total[name] += round(count)
        return total

    def await_count(self, name: str, count: int = 1) -> Counter[str]:
        """Wait until `name` has reached `count`; return all counts."""
        wait_until(lambda: self.counts()[name] >= count, 10, f"{name} to be {count}")
        return self.counts()


@contextmanager
def sides() -> Iterator[tuple[Upstream, Upstream]]:
    """Two upstreams: legacy and modern."""
    legacy, modern = Upstream(), Upstream()
    try:
        yield legacy, modern
    finally:
        legacy.close()
        modern.close()


def ports_of(legacy: Upstream, modern: Upstream) -> dict[str, int]:
    """Return what a gateway needs of them."""
    return {Side.LEGACY.value: legacy.port, Side.MODERN.value: modern.port}
