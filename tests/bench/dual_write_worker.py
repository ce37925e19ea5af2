"""A gateway worker with a write journal, as a process of its own: plain and dual routes."""

import asyncio
import os
import signal
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from adapters.upstream.client import UpstreamClient
from adapters.upstream.pool import Pool, PoolLimits
from bridge.gateway.dual.writer import DualWriter
from bridge.gateway.plane.listener import open_listener
from bridge.gateway.plane.worker import serve
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule, Route
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.wires.turns import run_in_turns
from bridge.model.observer import SilentObserver
from bridge.model.stage import Side
from bridge.storage.generation import Generation
from bridge.storage.journal.postgres import PostgresJournal
from bridge.storage.journal.postgres_replicas import PostgresReplicas
from bridge.storage.journal.sqlite import SqliteJournal


def routes() -> tuple[Route, ...]:
    """Return a route that is passed through and one that is written to both sides."""

    def route(name: str, group: str, *, writes: bool, upstreams: dict[Side, str]) -> Route:
        return Route(
            route_id=name,
            group=group,
            methods=(b"POST",),
            path=f"/{name}/{{id}}",
            host=None,
            writes=writes,
            key=KeyRule(place=KeyPlace.PATH, name="id"),
            ids=IdRules(),
            upstreams=upstreams,
            body_bytes_max=1 << 20,
            timeout_ms=30_000,
        )

    both = {Side.LEGACY: "app", Side.MODERN: "app"}
    return (
        route("plain", "plain", writes=False, upstreams={Side.LEGACY: "app"}),
        route("dual", "orders", writes=True, upstreams=both),
    )


async def main(port: int, upstream_port: int, journal_at: str) -> None:
    """Serve until SIGTERM; `journal_at` is a folder or a `postgresql://` URI."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    observer = SilentObserver()
    owner = f"bench-{os.getpid()}"
    with ExitStack() as stack:
        journal: SqliteJournal | PostgresJournal
        if journal_at.startswith("postgresql://"):
            journal = PostgresJournal(journal_at)
            stack.enter_context(closing(PostgresReplicas(journal_at))).take(owner)
        else:
            journal = SqliteJournal(Path(journal_at) / "journal.db")
        stack.callback(journal.close)
        generation = Generation.open(Path(sys.argv[4]) / "generation")
        stack.callback(generation.close)
        pool = Pool("app", "127.0.0.1", upstream_port, limits=PoolLimits(connections_max=256))
        writer = DualWriter(
            journal=journal,
            ids=journal,
            upstreams={"app": UpstreamClient(pool)},
            owner=owner,
            redecide=lambda _request: None,
            observer=observer,
        )
        await serve(
            open_listener("127.0.0.1", port, shared=True),
            load_table=lambda number: RoutingTable.build(routes(), journal.groups(), number),
            generation=generation,
            slot=generation.claim_slot(owner),
            write_path=writer,
            pools={"app": pool},
            stop=stop,
            observer=observer,
        )
        await writer.drain()


if __name__ == "__main__":
    run_in_turns(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
