"""Two peers, a journal, writers and a replayer: the dual write path without the data plane."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg

from bridge.gateway.dual.admission import WriteLimits
from bridge.gateway.dual.ports import GroupReader, SeenChanges
from bridge.gateway.dual.replay_service import ReplayService
from bridge.gateway.dual.replayer import ReplayLimits
from bridge.gateway.dual.resolver import ResolverLimits
from bridge.gateway.dual.writer import DualWriter
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule, Route
from bridge.gateway.routes.sections.dual import DualRules
from bridge.gateway.upstream_ports import Upstream
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.stage import GroupState, Side, Stage
from bridge.storage.journal.postgres import PostgresJournal
from bridge.storage.journal.postgres_desk import PostgresJournalDesk
from bridge.storage.journal.postgres_replicas import PostgresReplicas
from bridge.storage.journal.sqlite import SqliteJournal
from bridge.storage.journal.sqlite_desk import SqliteJournalDesk
from tests.gateway.dual.peer import Peer
from tests.gateway.dual.raw_upstream import RawUpstream
from tests.waiting import RecordingObserver, wait_until_async
from tests.warrants import by

GROUP = "orders"
_BY_ORDER = KeyRule(place=KeyPlace.PATH, name="order_id", entity="order")
_IDS = IdRules(path={"order_id": "order"}, response={"/order_id": "order"})


def _route(route_id: str, method: bytes, path: str, key: KeyRule | None, ids: IdRules) -> Route:
    return Route(
        route_id=route_id,
        group=GROUP,
        methods=(method,),
        path=path,
        host=None,
        writes=method != b"GET",
        key=key,
        ids=ids,
        upstreams={Side.LEGACY: "legacy-app", Side.MODERN: "modern-orders"},
        body_bytes_max=1 << 20,
        timeout_ms=2_000,
    )


ROUTES: Mapping[str, Route] = MappingProxyType(
    {
        route.route_id: route
        for route in (
            _route(
                "order-create",
                b"POST",
                "/orders",
                KeyRule(place=KeyPlace.CREATED, name="/order_id", entity="order"),
                IdRules(response={"/order_id": "order"}),
            ),
            _route("order-status", b"PUT", "/orders/{order_id}/status", _BY_ORDER, _IDS),
            _route("order-delete", b"DELETE", "/orders/{order_id}", _BY_ORDER, _IDS),
            _route("order-read", b"GET", "/orders/{order_id}", None, _IDS),
        )
    }
)


def find_route(group: str, route_id: str) -> Route | None:
    """Return a route of the rig, as the replayer looks it up."""
    return ROUTES.get(route_id) if group == GROUP else None


def decide(state: GroupState, request: HttpRequest) -> Decision:
    """Decide a request as the route table does."""
    parts = request.target.decode().partition("?")[0].strip("/").split("/")
    route_id = {
        b"POST": "order-create",
        b"PUT": "order-status",
        b"DELETE": "order-delete",
        b"GET": "order-read",
    }[request.method]
    return Decision(
        route=ROUTES[route_id],
        stage=state.stage,
        epoch=state.epoch,
        authority=Side.MODERN if state.stage is Stage.MODERN else Side.LEGACY,
        params={"order_id": parts[1]} if len(parts) > 1 else {},
        journalled=True,
    )


class Worker:
    """One gateway worker: it decides by the table it has until something tells it otherwise."""

    def __init__(
        self,
        writer_of: Callable[[Callable[[HttpRequest], Decision | None]], DualWriter],
        groups: GroupReader,
        route: Callable[[str, str], Route | None] = find_route,
    ) -> None:
        self._groups = groups
        self._route = route
        self.table: GroupState
        self.refresh()
        self.writer = writer_of(self._redecide)

    def refresh(self) -> None:
        """Build the table anew."""
        self.table = next(state for state in self._groups.groups() if state.group == GROUP)

    def _redecide(self, request: HttpRequest) -> Decision | None:
        self.refresh()
        return self.decide(request)

    def decide(self, request: HttpRequest) -> Decision:
        """Decide by the table that it has."""
        decision = decide(self.table, request)
        route = self._route(decision.route.group, decision.route.route_id)
        return decision if route is None else decision._replace(route=route)

    async def send(
        self, method: str, target: str, body: Any = None, headers: Headers = ()
    ) -> HttpResponse:
        """Take one request through the write path (or the read path, for a GET)."""
        request = a_request(method, target, body, headers)
        decision = self.decide(request)
        if method == "GET":
            return await self.writer.read(decision, request)
        return await self.writer.write(decision, request)


def a_request(method: str, target: str, body: Any = None, headers: Headers = ()) -> HttpRequest:
    """Return a request with a JSON body."""
    return HttpRequest(
        method=method.encode(),
        target=target.encode(),
        headers=((b"Content-Type", b"application/json"), *headers),
        body=b"" if body is None else json.dumps(body).encode(),
    )


def value_of(response: HttpResponse) -> Any:
    """Return the JSON of an answer."""
    return json.loads(response.body)


class Rig:
    """Everything that a dual write needs, in one process and on real sockets."""

    def __init__(self, folder: Path, legacy: Peer, modern: Peer, dsn: str | None = None) -> None:
        """`dsn` names a database for the journal; without it, it is a file in `folder`."""
        self.path = folder / "journal.db"
        self._dsn = dsn
        self._replicas = None if dsn is None else PostgresReplicas(dsn, lease_s=60)
        self.legacy = legacy
        self.modern = modern
        self.desk: SqliteJournalDesk | PostgresJournalDesk
        self.journal: SqliteJournal | PostgresJournal
        if dsn is None:
            self.desk, self.journal = SqliteJournalDesk(self.path), SqliteJournal(self.path)
        else:
            self.desk, self.journal = PostgresJournalDesk(dsn), PostgresJournal(dsn)
        self.desk.ensure_groups([GROUP])
        self.observer = RecordingObserver()
        self.upstreams: dict[str, Upstream] = {
            "legacy-app": RawUpstream(legacy.port),
            "modern-orders": RawUpstream(modern.port),
        }
        self.alive: Callable[[str], bool] = lambda owner: True
        self.rules: dict[str, DualRules] = {}
        """Dual rules of single routes, in place of none."""
        self.credentials: dict[str, Headers] = {}
        self.changes: SeenChanges | None = None
        self.doubtful_count_max = 1_000

    def rule(self, route_id: str, **rules: Any) -> None:
        """Give a route dual rules, for workers and replayers that are made afterwards."""
        self.rules[route_id] = DualRules.model_validate(rules)

    def route(self, group: str, route_id: str) -> Route | None:
        """Return a route with its rules."""
        found = find_route(group, route_id)
        rules = self.rules.get(route_id)
        return found if found is None or rules is None else replace(found, dual=rules)

    def switch(self, to: Stage) -> None:
        """Switch the group, without telling any worker."""
        state = self.desk.group(GROUP)
        assert state is not None
        self.desk.switch(GROUP, to, expected_epoch=state.epoch, warrant=by("test", "test"))

    def worker(self, name: str = "worker-a", **limits: int) -> Worker:
        """Return a worker that shares the journal."""
        self._live(name)
        return Worker(
            lambda redecide: DualWriter(
                journal=self.journal,
                ids=self.journal,
                upstreams=self.upstreams,
                owner=name,
                redecide=redecide,
                limits=WriteLimits(**limits),
                observer=self.observer,
                swapped=frozenset(self.credentials),
            ),
            self.journal,
            self.route,
        )

    @asynccontextmanager
    async def replaying(self, **limits: int) -> AsyncIterator[ReplayService]:
        """Run the replayer and the resolver meanwhile."""
        self._live("replay-test")
        service = ReplayService(
            journal=self.journal,
            upstreams=self.upstreams,
            route=self.route,
            alive=lambda owner: self.alive(owner),
            owner="replay-test",
            credentials=self.credentials,
            changes=self.changes,
            limits=ReplayLimits(**limits),
            resolver_limits=ResolverLimits(
                look_ms=5,
                doubtful_count_max=self.doubtful_count_max,
                backoff_ms_min=5,
                backoff_ms_max=20,
            ),
            observer=self.observer,
        )
        stop = asyncio.Event()
        task = asyncio.create_task(service.run(stop))
        try:
            yield service
        finally:
            stop.set()
            await task

    @contextmanager
    def journal_away(self) -> Iterator[None]:
        """Let nobody write to the journal meanwhile; it can be read."""
        if self._dsn is None:
            with closing(sqlite3.connect(self.path, isolation_level=None)) as holder:
                holder.execute("BEGIN IMMEDIATE")
                yield
                holder.execute("ROLLBACK")
        else:
            with psycopg.connect(self._dsn) as other:
                other.execute("LOCK TABLE bridge_journal.writes IN EXCLUSIVE MODE")
                yield

    def _live(self, owner: str) -> None:
        if self._replicas is not None:
            self._replicas.take(owner)

    async def drained(self, timeout_s: float = 20) -> None:
        """Wait until every lane is empty."""
        await wait_until_async(
            lambda: not self.desk.lane_counts(), timeout_s=timeout_s, what="empty lanes"
        )

    def pairs(self) -> dict[str, str]:
        """Return legacy id → modern id of the orders that both sides have."""
        found = {}
        for legacy_id in self.legacy.orders:
            pair = self.journal.pair(GROUP, "order", legacy_id)
            if pair is not None and pair.modern_id is not None:
                found[legacy_id] = pair.modern_id
        return found

    def close(self) -> None:
        """Release everything."""
        self.journal.close()
        self.desk.close()
        if self._replicas is not None:
            self._replicas.close()
        self.legacy.close()
        self.modern.close()
