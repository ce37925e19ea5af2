"""The ingress and its sender in one process, around a write path in a test's hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from bridge.gateway.dual.admission import WriteLimits
from bridge.gateway.http.problems import problem
from bridge.gateway.ingress.sender import IngressSender
from bridge.gateway.ingress.service import AsyncIngress
from bridge.gateway.ingress.status import status_routes
from bridge.gateway.plane.keeper import TableKeeper
from bridge.gateway.plane.write_path import WritePath
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule, Route
from bridge.gateway.routes.sections.ingress import IngressRules
from bridge.gateway.routes.table import RoutingTable
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.stage import GroupState, Side, Stage
from bridge.storage.journal.memory import MemoryJournal
from bridge.storage.journal.memory_desk import MemoryJournalDesk
from tests.waiting import RecordingObserver, wait_until_async

ASYNC = ((b"Prefer", b"respond-async"),)
PREFIX = "/-/async"

Behaviour = Callable[[HttpRequest], HttpResponse]


class Path(WritePath):
    """A `WritePath` that answers as it is told, and counts how many it has at once."""

    def __init__(self) -> None:
        self.sent: list[HttpRequest] = []
        self.running = 0
        self.most = 0
        self.gate: asyncio.Event | None = None
        self.behaviours: list[Behaviour] = []
        """Of the next requests, one each; afterwards they are answered 201."""

    async def write(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Answer as the next behaviour says."""
        self.sent.append(request)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
            if self.behaviours:
                return self.behaviours.pop(0)(request)
            return HttpResponse(
                status=201, reason=b"Created", headers=((b"X-Side", b"legacy"),), body=b"made"
            )
        finally:
            self.running -= 1

    read = write

    def instead(self, decision: Decision, request: HttpRequest, asked_at: float) -> None:
        """Nobody else can be asked."""

    def translates(self, decision: Decision) -> bool:
        """No ids here."""
        return False


class Board:
    """A `Generation` that nobody turns."""

    def current(self) -> int:
        """Return the only generation."""
        return 1

    def adopted(self, slot: int, value: int) -> None:
        """Nobody asks."""


def refuses(status: int, code: str) -> Behaviour:
    """Answer with a problem of the gateway's own."""
    return lambda _: problem(status, code, "for the test")


class Rig:
    """One gateway with queues: group `orders` with two sides."""

    def __init__(
        self, stage: Stage = Stage.LEGACY, limits: WriteLimits | None = None, **rules: Any
    ) -> None:
        self.rules = IngressRules.model_validate({"mode": "preferred", **rules})
        self.journal = MemoryJournal()
        self.desk = MemoryJournalDesk(self.journal.state)
        self.desk.ensure_groups(["orders"])
        epoch = 0 if stage is Stage.LEGACY else 1
        state = GroupState(group="orders", stage=stage, epoch=epoch, lanes_held=False)
        self.journal.state.groups["orders"] = state
        self.book = self.journal.ingress()
        self.path = Path()
        self.observer = RecordingObserver()
        self.now = 1_000_000.0
        self.ingress = AsyncIngress(
            self.path,
            book=self.book,
            journal=self.journal,
            ids=self.journal,
            prefix=PREFIX,
            limits=limits,
            observer=self.observer,
            clock=lambda: self.now,
        )

    @property
    def routes(self) -> Sequence[Route]:
        """The routes: writes of orders by key, and those of the statuses."""
        both = {Side.LEGACY: "legacy", Side.MODERN: "modern"}
        order = Route(
            route_id="order-write",
            group="orders",
            methods=(b"PUT", b"POST"),
            path="/orders/{id}",
            host=None,
            writes=True,
            key=KeyRule(place=KeyPlace.PATH, name="id"),
            ids=IdRules(),
            upstreams=both,
            body_bytes_max=1 << 20,
            timeout_ms=1_000,
            ingress=self.rules,
        )
        # Of the same entity, in the same group, without a queue of its own.
        whole = replace(order, route_id="order-whole", methods=(b"PATCH",), ingress=IngressRules())
        apart = replace(
            whole, route_id="stock-write", group="stock", path="/stock/{id}", methods=(b"PUT",)
        )
        return (order, whole, apart, *status_routes(PREFIX))

    def table(self, number: int = 1) -> RoutingTable:
        """Return the table as the group stands."""
        return RoutingTable.build(self.routes, self.journal.groups(), number)

    async def send(
        self, method: str, target: str, headers: Headers = ASYNC, body: Any = None
    ) -> HttpResponse:
        """Take one request through the ingress as the data plane does."""
        request = HttpRequest(
            method=method.encode(),
            target=target.encode(),
            headers=((b"Host", b"a"), *headers),
            body=b"" if body is None else json.dumps(body).encode(),
        )
        decision = self.table().decide(request.method, b"a", request.target)
        assert isinstance(decision, Decision), decision
        if decision.journalled:
            return await self.ingress.write(decision, request)
        return await self.ingress.read(decision, request)

    async def accepted(self, target: str, headers: Headers = ASYNC, body: Any = None) -> str:
        """Queue a PUT; return its status URL."""
        answer = await self.send("PUT", target, headers, body)
        assert answer.status == 202, answer
        location = answer.header(b"location")
        assert location is not None
        return location.decode()

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Run the sender meanwhile."""
        by_id = {(route.group, route.route_id): route for route in self.routes}
        sender = IngressSender(
            book=self.book,
            journal=self.journal,
            path=self.path,
            keeper=TableKeeper(self.table, Board(), 0, self.observer),
            route=lambda group, route_id: by_id.get((group, route_id)),
            observer=self.observer,
            clock=lambda: self.now,
        )
        stop = asyncio.Event()
        task = asyncio.create_task(sender.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def drained(self) -> None:
        """Wait until nothing is unfinished."""
        await wait_until_async(lambda: not self.book.unfinished(1), timeout_s=10)
