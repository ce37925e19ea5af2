"""One role of the pipeline as a process, for `capture_to_broker_limit`.

    python -m tests.bench.capture_role capture FOLDER DSN CONTRACTS
    python -m tests.bench.capture_role relay FOLDER BROKER_URL

Prints `ready` when it is loaded, starts at a line on its standard input, ends at SIGTERM.
"""

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from adapters.postgres.source import PostgresSource
from adapters.postgres.stream import StreamForm
from adapters.rabbitmq.sink import RabbitMQSink
from bridge.capture.protocol.stage_files import StageFolder
from bridge.capture.service import CaptureService
from bridge.contracts.contract_set import ContractSet
from bridge.delivery.relay import Relay
from bridge.delivery.topology import QueueSpec, Topology
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sink_cursors import SqliteSinkCursors

SOURCE = "shop"
TABLE = "public.t_ord_hdr"
SLOT = "bench_bridge"
PUBLICATION = "bench"
SINK = "rabbitmq"
QUEUE = "bench"
TYPE_PREFIX = "com.example"


def capture(folder: Path, dsn: str, contracts: str) -> Callable[[threading.Event], None]:
    """Return what captures the table into the log of `folder`."""
    service = CaptureService(
        SOURCE,
        PostgresSource(
            dsn,
            slot=SLOT,
            publication=PUBLICATION,
            tables=(TABLE,),
            form=StreamForm(stages=StageFolder(folder / "stages")),
        ),
        SqliteEventLog(folder / "log.db"),
        ContractSet.load(Path(contracts), type_prefix=TYPE_PREFIX),
        spool_folder=folder,
    )
    return service.run


def relay(folder: Path, broker_url: str) -> Callable[[threading.Event], None]:
    """Return what publishes the log of `folder`."""
    sink = RabbitMQSink(
        broker_url,
        Topology(queues=(QueueSpec(name=QUEUE, bindings=("#",)),)),
        type_prefix=TYPE_PREFIX,
    )
    log, cursors = SqliteEventLog(folder / "log.db"), SqliteSinkCursors(folder / "state.db")
    return Relay(SINK, log, sink, cursors).run


def main() -> None:
    """Run one role."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    role, folder, *rest = sys.argv[1:]
    if role == "capture":
        dsn, contracts = rest
        run = capture(Path(folder), dsn, contracts)
    else:
        (broker_url,) = rest
        run = relay(Path(folder), broker_url)
    print("ready", flush=True)
    sys.stdin.readline()
    run(stop)


if __name__ == "__main__":
    main()
