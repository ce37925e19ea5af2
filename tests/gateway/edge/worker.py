"""A worker in a process of its own: `worker.py PORT UPSTREAM_PORT [CERT KEY]`; SIGTERM drains."""

import asyncio
import signal
import sys
from pathlib import Path

from adapters.upstream.pool import Pool
from bridge.gateway.plane.listener import open_listener
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.plane.worker import serve
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.tls.certificate_files import CertificateFiles
from bridge.gateway.wires.turns import run_in_turns
from tests.gateway.edge.rig import simple_door
from tests.gateway.http.rig import Counter, RecordingWritePath, route
from tests.waiting import RecordingObserver


async def main(port: int, upstream_port: int, files: CertificateFiles | None) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    observer = RecordingObserver()
    door = simple_door(*([files] if files else []))(observer) if files else None
    listener = open_listener("127.0.0.1", port, shared=True)
    await serve(
        listener if door is None else [(listener, door)],
        load_table=lambda number: RoutingTable.build([route("all", "/{rest...}")], (), number),
        generation=Counter(),
        slot=0,
        write_path=RecordingWritePath(),
        pools={"legacy": Pool("legacy", "127.0.0.1", upstream_port)},
        stop=stop,
        settings=PlaneSettings(drain_ms=8_000, drain_idle_ms=500, handover_ms=150),
        observer=observer,
        ready=lambda: print("ready", flush=True),
    )
    drained = observer.notes("drained")[0].facts
    print("left", drained["connections_left"], flush=True)


if __name__ == "__main__":
    given = [Path(name) for name in sys.argv[3:]]
    run_in_turns(
        main(
            int(sys.argv[1]),
            int(sys.argv[2]),
            CertificateFiles(cert_file=given[0], key_file=given[1]) if given else None,
        )
    )
