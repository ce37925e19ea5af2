"""A gateway worker that copies every read of 200 routes to a shadow and compares the answers."""

import asyncio
import dataclasses
import random
import signal
import sys
import uuid

from adapters.upstream.pool import Pool, PoolLimits
from bridge.gateway.comparison.book import ComparisonBook
from bridge.gateway.plane.entrance import Door
from bridge.gateway.plane.listener import open_listener
from bridge.gateway.plane.worker import serve
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.gateway.routes.sections.shadow import ShadowRules
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.shadow.limits import ShadowLimits
from bridge.gateway.shadow.mirror import Mirror
from bridge.gateway.wires.turns import run_in_turns
from bridge.model.stage import GroupState, Side, Stage
from tests.bench.proxy_worker import Fixed, NoWrites, routes

# Every request: no cap, and nothing that asks legacy twice, which no peer does.
_SHADOW = ShadowRules(percent=100, copies_per_s=10_000_000, timeout_ms=2_000)
_COMPARISON = ComparisonRules(noise_fraction=1e-9)
_PORT_OFF = 0


class Talker:
    """Prints how many pairs were compared and how many copies were left out, for the benchmark."""

    def __init__(self) -> None:
        self.compared = 0
        self.shed = 0

    def note(self, name: str, **facts: int | float | str) -> None:
        """Add up what the copies tell."""
        for fact, value in facts.items() if name == "shadow" else ():
            if not isinstance(value, str):
                self.compared += round(value) if ".compared." in fact else 0
                self.shed += round(value) if ".shed." in fact or ".uncompared." in fact else 0


def shadowed() -> tuple[Route, ...]:
    """Return the routes of the plain benchmark, with a second side."""
    sides = {Side.LEGACY: "app", Side.MODERN: "shadow"}
    return tuple(
        dataclasses.replace(route, upstreams=sides, shadow=_SHADOW, comparison=_COMPARISON)
        for route in routes()
    )


async def main(port: int, upstream_port: int, shadow_port: int) -> None:
    """Serve until SIGTERM; a shadow port of 0 leaves all groups at stage `legacy`."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    stage = Stage.LEGACY if shadow_port == _PORT_OFF else Stage.SHADOW
    states = [
        GroupState(group=f"group{number}", stage=stage, epoch=0, lanes_held=False)
        for number in range(10)
    ]
    ports = {"app": upstream_port, "shadow": shadow_port}
    talker = Talker()

    def open_pool(name: str, connections_max: int) -> Pool:
        limits = PoolLimits(connections_max=connections_max, waiting_max=connections_max)
        return Pool(name, "127.0.0.1", ports[name], limits=limits)

    mirror = Mirror(
        open_pool=open_pool,
        book=ComparisonBook(key=bytes(32), chance=random.random, new_id=lambda: uuid.uuid4().hex),
        # Under full load comparisons are left out for the clients' sake; here all are wanted.
        limits=ShadowLimits(turn_us=50_000),
        observer=talker,
    )
    table = shadowed()
    await serve(
        [(open_listener("127.0.0.1", port, shared=True), Door())],
        load_table=lambda generation: RoutingTable.build(table, states, generation),
        generation=Fixed(),
        slot=0,
        write_path=NoWrites(),
        pools={"app": Pool("app", "127.0.0.1", upstream_port)},
        stop=stop,
        tap=mirror,
    )
    print(f"compared {talker.compared} left out {talker.shed}", flush=True)


if __name__ == "__main__":
    run_in_turns(main(*map(int, sys.argv[1:4])))
