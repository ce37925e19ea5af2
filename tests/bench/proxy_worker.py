"""The gateway's worker as a process of its own, with a route table of 200 and all its features."""

import asyncio
import dataclasses
import signal
import sys

from adapters.upstream.pool import Pool
from bridge.gateway.plane.listener import open_listener
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.plane.worker import serve
from bridge.gateway.plane.write_path import WritePath
from bridge.gateway.protection.breaker import Breaker
from bridge.gateway.protection.guarded_pool import GuardedPool, Guards
from bridge.gateway.protection.retry_budget import RetryBudget
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, Route
from bridge.gateway.routes.sections.rewriting import AnswerRewriting, RequestRewriting
from bridge.gateway.routes.sections.timeouts import Timeouts
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.wires.turns import run_in_turns
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.observer import SilentObserver
from bridge.model.stage import Side


class Fixed:
    """A generation that never changes."""

    def current(self) -> int:
        """Return the only one."""
        return 1

    def adopted(self, slot: int, value: int) -> None:
        """Nobody waits for it."""


class NoWrites(WritePath):
    """There is nothing to journal here."""

    async def write(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Never called."""
        raise AssertionError(decision)

    async def read(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Never called."""
        raise AssertionError(decision)

    def instead(self, decision: Decision, request: HttpRequest, asked_at: float) -> None:
        """Nobody else can be asked."""

    def translates(self, decision: Decision) -> bool:
        """Nothing to translate."""
        return False


def routes() -> tuple[Route, ...]:
    """Return 100 collections with a path for the whole and one for an item."""
    return tuple(
        Route(
            route_id=f"{name}-{number}",
            group=f"group{number % 10}",
            methods=methods,
            path=f"/api/v1/resource{number}/items{tail}",
            host=None,
            writes=False,
            key=None,
            ids=IdRules(),
            upstreams={Side.LEGACY: "app"},
            body_bytes_max=1 << 20,
            timeout_ms=30_000,
        )
        for number in range(100)
        for name, methods, tail in (
            ("list", (b"GET", b"POST"), ""),
            ("item", (b"GET", b"PUT", b"DELETE"), "/{id}"),
        )
    )


def featured() -> tuple[Route, ...]:
    """Return the routes with header rules and limits of time."""
    headers = {"set": {"X-Gateway": "bench"}, "remove": ("Pragma",)}
    answers = {"set": {"X-Served-By": "bench"}, "remove": ("X-Powered-By",)}
    return tuple(
        dataclasses.replace(
            route,
            request=RequestRewriting.model_validate({"both": {"headers": headers}}),
            response=AnswerRewriting.model_validate({"both": {"headers": answers}}),
            timeouts=Timeouts(connect_ms=3_000, first_byte_ms=30_000, idle_ms=60_000),
        )
        for route in routes()
    )


def guards() -> Guards:
    """Return a breaker and a retry budget, as the settings make them."""
    return Guards(
        limit=None,
        queue_max=1_024,
        queue_wait_s=3.0,
        breaker=Breaker(share=0.5, count_min=20, window_s=10.0, rest_s=1.0),
        bucket=None,
        retries=RetryBudget("app"),
    )


async def main(port: int, upstream_port: int) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    observer = SilentObserver()
    table = featured()
    await serve(
        open_listener("127.0.0.1", port, shared=True),
        load_table=lambda generation: RoutingTable.build(table, (), generation),
        generation=Fixed(),
        slot=0,
        write_path=NoWrites(),
        pools={"app": GuardedPool(Pool("app", "127.0.0.1", upstream_port), guards(), observer)},
        stop=stop,
        settings=PlaneSettings(trace=True),
        observer=observer,
    )


if __name__ == "__main__":
    run_in_turns(main(int(sys.argv[1]), int(sys.argv[2])))
