"""A relay killed with -9 at random moments and started again loses nothing and keeps the order."""

import contextlib
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.rabbitmq.sink import RabbitMQSink
from bridge.delivery.topology import QueueSpec, Topology
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sink_cursors import SqliteSinkCursors
from tests.child import child
from tests.delivery.events import Delivered, append, assert_in_order, assert_nothing_lost, drafts
from tests.delivery.queues import await_indices, consuming
from tests.waiting import wait_until

QUEUE = "c.killed"
KILLS = 6


def declare(broker_url: str) -> None:
    topology = Topology(queues=(QueueSpec(name=QUEUE, bindings=("#",)),))
    sink = RabbitMQSink(broker_url, topology, type_prefix="com.example")
    sink.connect()
    sink.close()


def await_more(delivered: list[Delivered]) -> None:
    before = len(delivered)
    wait_until(lambda: len(delivered) > before, 20, "the relay to publish")


@pytest.mark.parametrize("seed", [1])
def test_killed_at_random_moments(tmp_path: Path, broker_url: str, seed: int) -> None:
    chance = random.Random(seed)
    log = SqliteEventLog(tmp_path / "log.db")
    cursors = SqliteSinkCursors(tmp_path / "state.db")
    declare(broker_url)
    command = [sys.executable, "-m", "tests.delivery.relay_process"]
    command += [str(log.path), str(cursors.path), broker_url, QUEUE]
    with consuming(broker_url, QUEUE) as delivered:
        for _ in range(KILLS):
            append(log, drafts(log.head().size, 4_000, parked_each=30, seed=seed))
            with child(command) as relay:
                await_more(delivered)
                # From the first confirms to some stores of the cursor later.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    relay.wait(chance.uniform(0, 0.3))
                relay.kill()
            assert relay.returncode == -signal.SIGKILL
            confirmed = log.read(0, cursors.load("broker"))
            await_indices(delivered, {entry.leaf_index for entry in confirmed if entry.routing_key})
        size = log.head().size
        with child(command) as relay:
            wait_until(lambda: cursors.load("broker") == size, 60, f"cursor at {size}")
        assert relay.returncode == 0
        wanted = {entry.leaf_index for entry in log.read(0, size) if entry.routing_key}
        await_indices(delivered, wanted)
    assert_nothing_lost(log, delivered)
    assert_in_order(delivered)
    log.close()
    cursors.close()
