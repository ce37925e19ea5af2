"""A relay as a process of its own, to be killed: LOG_FILE STATE_FILE BROKER_URL QUEUE."""

import sys
import threading
from pathlib import Path

from adapters.rabbitmq.sink import RabbitMQSink
from bridge.delivery.relay import Relay
from bridge.delivery.topology import QueueSpec, Topology
from bridge.model.signals import stop_on_signals
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sink_cursors import SqliteSinkCursors


def main() -> None:
    """Relay until SIGTERM."""
    log_file, state_file, broker_url, queue = sys.argv[1:]
    stop = threading.Event()
    sink = RabbitMQSink(
        broker_url,
        Topology(queues=(QueueSpec(name=queue, bindings=("#",)),)),
        type_prefix="com.example",
    )
    log = SqliteEventLog(Path(log_file))
    cursors = SqliteSinkCursors(Path(state_file))
    with stop_on_signals(stop):
        Relay("broker", log, sink, cursors).run(stop)
    cursors.close()
    log.close()


if __name__ == "__main__":
    main()
