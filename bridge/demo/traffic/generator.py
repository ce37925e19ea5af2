"""Drive several clients at a steady rate."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bridge.demo.legacy.population import Sizes
from bridge.demo.traffic.connection import ClientConnection
from bridge.demo.traffic.journal import Outcome, TrafficJournal
from bridge.demo.traffic.shopper import Shopper, Tally

# A client that fell behind by more (a server was away) does not catch up in one burst.
CATCH_UP_S_MAX = 0.5
CLIENTS_DEFAULT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPlan:
    """What traffic to make."""

    url: str
    journal: Path
    seed: int
    rate: float
    """Requests per second, over all clients."""
    seconds: float
    clients: int = CLIENTS_DEFAULT
    run: str = ""
    """Prefix of all client references; made up when empty, so that runs do not share orders."""
    sizes: Sizes = field(default_factory=Sizes)
    """How large the shop was seeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Percentiles in milliseconds; zeros without a sample."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficReport:
    """What happened, as the clients saw it."""

    run: str
    seconds: float
    requests: int
    reads: int
    reads_failed: int
    stale_reads: int
    """Own orders shown with another status than was acknowledged before."""
    writes: int
    acknowledged: int
    refused: int
    unknown: int
    statuses: dict[str, int]
    read_latency: Latency
    write_latency: Latency

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON-able values."""
        return asdict(self)


def run_traffic(plan: TrafficPlan, stop: threading.Event) -> TrafficReport:
    """Make the traffic of `plan`; blocks until its time is over or `stop` is set.

    Requests under way are finished first, so every write in the journal has its outcome. The same
    seed makes each client do the same things; what comes back may differ.
    """
    run = plan.run or f"t{plan.seed}-{secrets.token_hex(3)}"
    journal = TrafficJournal(plan.journal)
    connections = [ClientConnection(plan.url) for _ in range(plan.clients)]
    shoppers = [
        Shopper(
            connection,
            journal,
            name=f"{run}-{index}",
            seed=f"{plan.seed}/{index}",
            share=(index, plan.clients),
            sizes=plan.sizes,
        )
        for index, connection in enumerate(connections)
    ]
    started = time.monotonic()
    interval_s = plan.clients / plan.rate
    threads = [
        threading.Thread(
            target=_drive,
            args=(shopper.step, started + interval_s * index / plan.clients),
            kwargs={"interval_s": interval_s, "end": started + plan.seconds, "stop": stop},
        )
        for index, shopper in enumerate(shoppers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    for connection in connections:
        connection.close()
    journal.close()
    return _report(run, seconds, [shopper.tally for shopper in shoppers])


def _drive(
    step: Callable[[], None],
    due: float,
    *,
    interval_s: float,
    end: float,
    stop: threading.Event,
) -> None:
    while due < end:
        if stop.wait(max(0.0, due - time.monotonic())):
            return
        step()
        due = max(due + interval_s, time.monotonic() - CATCH_UP_S_MAX)


def _report(run: str, seconds: float, tallies: Sequence[Tally]) -> TrafficReport:
    outcomes = sum((tally.outcomes for tally in tallies), Counter[str]())
    statuses = sum((tally.statuses for tally in tallies), Counter[str]())
    reads = sum(tally.reads for tally in tallies)
    writes = outcomes.total()
    return TrafficReport(
        run=run,
        seconds=round(seconds, 3),
        requests=reads + writes,
        reads=reads,
        reads_failed=sum(tally.reads_failed for tally in tallies),
        stale_reads=sum(tally.stale_reads for tally in tallies),
        writes=writes,
        acknowledged=outcomes[Outcome.ACKNOWLEDGED.value],
        refused=outcomes[Outcome.REFUSED.value],
        unknown=outcomes[Outcome.UNKNOWN.value],
        statuses=dict(sorted(statuses.items())),
        read_latency=_latency([one for tally in tallies for one in tally.read_ms]),
        write_latency=_latency([one for tally in tallies for one in tally.write_ms]),
    )


def _latency(samples: list[float]) -> Latency:
    if not samples:
        return Latency(p50_ms=0.0, p90_ms=0.0, p99_ms=0.0, max_ms=0.0)
    samples.sort()

    def at(share: float) -> float:
        return round(samples[min(len(samples) - 1, int(share * len(samples)))], 3)

    return Latency(p50_ms=at(0.5), p90_ms=at(0.9), p99_ms=at(0.99), max_ms=at(1.0))
