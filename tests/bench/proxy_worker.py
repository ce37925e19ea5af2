"""The gateway's worker as a process of its own, with a route table of 200, for the benchmark."""

import asyncio
import signal
import sys

from adapters.upstream.pool import Pool
from bridge.gateway.plane.listener import open_listener
from bridge.gateway.plane.worker import serve
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, Route
from bridge.gateway.routes.table import RoutingTable
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side


class Fixed:
    """A generation that never changes."""

    def current(self) -> int:
        """Return the only one."""
        return 1

    def adopted(self, slot: int, value: int) -> None:
        """Nobody waits for it."""


class NoWrites:
    """There is nothing to journal here."""

    async def write(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Never called."""
        raise AssertionError(decision)

    async def read(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Never called."""
        raise AssertionError(decision)

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


async def main(port: int, upstream_port: int) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(
        open_listener("127.0.0.1", port, shared=True),
        load_table=lambda generation: RoutingTable.build(routes(), (), generation),
        generation=Fixed(),
        slot=0,
        write_path=NoWrites(),
        pools={"app": Pool("app", "127.0.0.1", upstream_port)},
        stop=stop,
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
