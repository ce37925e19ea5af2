"""The gateway as the runner takes it: a worker per lane, all in the runner's own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from adapters.upstream.pool import Pool, PoolLimits
from bridge.gateway.plane.listener import open_listener
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.plane.worker import serve
from bridge.gateway.routes.sections.accepts import Accepts
from bridge.gateway.routes.table import RoutingTable
from bridge.model.stage import Side
from tests.gateway.abuse.runner import Proxy
from tests.gateway.http.rig import Counter, RecordingWritePath, route

BODY_BYTES_MAX = 1 << 20
_ROUTES = (
    route(
        "all", "/{rest...}", body_bytes_max=BODY_BYTES_MAX, timeout_ms=1_000,
        accepts=Accepts(trailers=True),
    ),
    route("locked", "/locked/{rest...}", upstreams={Side.LEGACY: "nobody"}),
)  # fmt: skip
# As the peers: named "gateway" in Via, and with a second of patience.
_SETTINGS = PlaneSettings(
    name="gateway", head_ms=1_000, keep_alive_ms=1_500, body_idle_ms=1_000, relay_idle_ms=1_000,
    tunnel_idle_ms=2_000, drain_ms=100,
)  # fmt: skip


@asynccontextmanager
async def ours() -> AsyncIterator[Proxy]:
    """Start workers when asked to, and stop them at the end."""
    stop = asyncio.Event()
    workers: list[asyncio.Task[None]] = []

    async def start(upstream_ports: Sequence[int]) -> Sequence[int]:
        listeners = [open_listener("127.0.0.1", 0, shared=False) for _ in upstream_ports]
        for listener, port in zip(listeners, upstream_ports, strict=True):
            workers.append(await _worker(listener, port, stop))
        return [listener.getsockname()[1] for listener in listeners]

    try:
        yield start
    finally:
        stop.set()
        await asyncio.gather(*workers)


async def _worker(
    listener: socket.socket, upstream_port: int, stop: asyncio.Event
) -> "asyncio.Task[None]":
    ready = asyncio.Event()
    limits = PoolLimits(wait_ms=500)
    task = asyncio.create_task(
        serve(
            listener,
            load_table=lambda generation: RoutingTable.build(_ROUTES, (), generation),
            generation=Counter(),
            slot=0,
            write_path=RecordingWritePath(),
            pools={
                "legacy": Pool("legacy", "127.0.0.1", upstream_port, limits=limits),
                # Port 9 is discard's: nobody listens, and no client may get there.
                "nobody": Pool("nobody", "127.0.0.1", 9, limits=limits),
            },
            stop=stop,
            settings=_SETTINGS,
            ready=ready.set,
        )
    )
    await ready.wait()
    return task
