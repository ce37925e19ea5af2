"""How long after its commit a row is in the hands of a consumer, against Debezium.

One client commits single rows at 500 a second; a consumer of the quorum queue, in the same
process, notes when each message arrives: after the broker has confirmed it or at the same moment.
Debezium polls every 10 ms (`poll.interval.ms`). Each runs alone; the first second is not counted.
"""

import json
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import pika

from tests.bench import debezium_peer
from tests.bench.capture_pipeline import Pipeline, pipeline
from tests.bench.capture_role import QUEUE
from tests.waiting import wait_until

NAME = "capture_latency_p50"
RUNS = 3
COMMITS_PER_S = 500
SECONDS = 8
WARM_UP_S = 2
_COMMITS = COMMITS_PER_S * SECONDS
_ARRIVED_TIMEOUT_S = 60


class Arrivals:
    """A consumer that notes when each row came, by its number."""

    def __init__(self, url: str, queue: str, number_of: Callable[[Any], int]) -> None:
        self._url = url
        self._queue = queue
        self._number_of = number_of
        self._when: dict[int, float] = {}
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="arrivals", daemon=True)
        self._thread.start()
        assert self._ready.wait(_ARRIVED_TIMEOUT_S), "the consumer did not start"

    def wait(self, number: int) -> None:
        """Wait until row `number` has come."""
        wait_until(lambda: number in self._when, _ARRIVED_TIMEOUT_S, f"row {number} to come")

    def close(self) -> dict[int, float]:
        """Stop, and return when each row came first (`perf_counter` seconds)."""
        self._stop.set()
        self._thread.join()
        return self._when

    def _run(self) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(self._url))
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1_000)

        def arrived(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
            now = time.perf_counter()
            self._when.setdefault(self._number_of(json.loads(body)), now)
            channel.basic_ack(method.delivery_tag)

        channel.basic_consume(self._queue, arrived)
        self._ready.set()
        while not self._stop.is_set():
            connection.process_data_events(time_limit=0.05)
        connection.close()


def run() -> dict[str, Any]:
    """Measure, and return the row for the table (milliseconds)."""
    ours, theirs, ratios = [], [], []
    with pipeline() as line:
        line.write(1, 1)
        line.bridge_s()
        debezium_peer.prepare(line)
        for _ in range(RUNS):
            mine, their = _ours(line), _debezium(line)
            ours.append(mine)
            theirs.append(their)
            ratios.append(mine[0] / their[0])
    p50 = statistics.median(p50 for p50, _ in ours)
    return {
        "name": NAME,
        "value": round(p50, 2),
        "unit": "ms",
        "against": "Debezium 3.6, poll 10 ms",
        "against_value": round(statistics.median(p50 for p50, _ in theirs), 2),
        "ratio": round(statistics.median(ratios), 3),
        "target": 0.2,
        "moonshot": 0.1,
        "better": "lower",
        "runs": RUNS,
        "spread": f"{min(ratios):.3f}-{max(ratios):.3f}",
        "commits_per_s": COMMITS_PER_S,
        "p99_ms": round(statistics.median(p99 for _, p99 in ours), 2),
        "against_p99_ms": round(statistics.median(p99 for _, p99 in theirs), 2),
    }


def _ours(line: Pipeline) -> tuple[float, float]:
    with line.running() as roles:
        roles.go()
        roles.wait_confirmed(line.written)
        arrivals = Arrivals(
            line.rabbitmq.url, QUEUE, lambda event: event["data"]["key"]["order_id"]
        )
        result = _paced(line, arrivals)
        roles.wait_confirmed(line.written)
    return result


def _debezium(line: Pipeline) -> tuple[float, float]:
    with debezium_peer.debezium(line):
        debezium_peer.wait_streaming(line)
        arrivals = Arrivals(
            line.rabbitmq.url, debezium_peer.QUEUE, lambda event: event["after"]["ord_no"]
        )
        return _paced(line, arrivals)


def _paced(line: Pipeline, arrivals: Arrivals) -> tuple[float, float]:
    """Commit rows at the set rate; return p50 and p99 of their way, in ms."""
    # Behind it, everything from before has come too.
    line.write_one()
    arrivals.wait(line.written)
    committed: dict[int, float] = {}
    first = line.written
    began = time.perf_counter()
    pause = threading.Event()
    for number in range(_COMMITS):
        pause.wait(max(began + number / COMMITS_PER_S - time.perf_counter(), 0))
        line.write_one()
        committed[line.written] = time.perf_counter()
    arrivals.wait(line.written)
    arrived = arrivals.close()
    counted = range(first + WARM_UP_S * COMMITS_PER_S + 1, line.written + 1)
    ways = sorted((arrived[number] - committed[number]) * 1000 for number in counted)
    return statistics.median(ways), ways[int(len(ways) * 0.99)]
