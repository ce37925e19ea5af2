"""Replay to one queue of a real broker: nobody else gets it, nothing is missing, order is kept."""

import json
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from bridge.delivery.replay.job import JobState
from bridge.demo.servers import PrivateRabbitMQ
from bridge.model.group_queue import PARK_ARGUMENTS, queue_arguments
from bridge.runtime.wiring.replays import replay_jobs
from tests.cli.deployment import Deployment
from tests.delivery.events import append, drafts
from tests.delivery.queues import channel_of
from tests.waiting import wait_until

WHY = ("--reason", "lost the table", "--ticket", "INC-7", "--actor", "ana")
COUNT = 2_000
DEADLINE_S = 60


class Taken:
    """What a queue holds, in its order; it is left empty."""

    def __init__(self, url: str, queue: str) -> None:
        self.messages: list[tuple[Any, Any, bytes]] = []
        with channel_of(url) as channel:
            count = channel.queue_declare(queue, passive=True).method.message_count
            if count == 0:
                return
            for message in channel.consume(queue, auto_ack=True, inactivity_timeout=DEADLINE_S):
                assert message[0] is not None, f"{len(self.messages)} of {count} messages came"
                self.messages.append(message)
                if len(self.messages) == count:
                    return

    def indices(self) -> list[int]:
        return [properties.headers["lb-leaf"] for _, properties, _ in self.messages]


def deployment(folder: Path, url: str, *groups: str) -> Deployment:
    made = Deployment(folder, delivery={"url": url, "groups": [{"name": name} for name in groups]})
    with made.stores() as stores:
        append(stores.event_log(), drafts(0, COUNT, parked_each=10))
    return made


def events(deployed: Deployment, start: int = 0, stop: int = COUNT) -> list[int]:
    return [number for number in range(start, stop) if number % 10]


def own_queue(url: str, group: str) -> None:
    """Make a group's queue as its consumer would, bound to nothing."""
    with channel_of(url) as channel:
        park = f"c.{group}.park"
        channel.queue_declare(park, durable=True, arguments=PARK_ARGUMENTS)
        channel.queue_declare(f"c.{group}", durable=True, arguments=queue_arguments(park))


def test_one_queue_gets_it_marked_and_no_other(tmp_path: Path, broker_url: str) -> None:
    deployed = deployment(tmp_path, broker_url, "orders", "others")
    told = deployed.call(
        "log", "replay", "--to-queue", "orders", "--rate", "50000", "--from", "100", "--to", "900",
        "--json", *WHY,
    ).json()  # fmt: skip
    taken = Taken(broker_url, "c.orders")
    assert taken.indices() == events(deployed, 100, 900)
    assert told["sent"] == len(taken.messages)
    with deployed.stores() as stores:
        payloads = {e.leaf_index: e.payload for e in stores.event_log().read(0, 1_000)}
    for method, properties, body in taken.messages:
        assert (method.exchange, method.routing_key) == ("", "c.orders")
        assert properties.headers["x-lb-replay"] == told["replay"]
        assert properties.headers["lb-key"].startswith('{"order_id"')
        assert properties.type == "com.example.shop.order.updated.v1"
        assert properties.delivery_mode == 2
        assert json.loads(body)["id"] == properties.message_id
        assert body == payloads[properties.headers["lb-leaf"]], "byte for byte"
    # The queue is made as the relay makes it; nobody published by the exchange.
    assert Taken(broker_url, "c.orders.park").messages == []
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
        Taken(broker_url, "c.others")


def test_a_queue_of_its_consumers_own_is_taken(tmp_path: Path, broker_url: str) -> None:
    deployed = deployment(tmp_path, broker_url)
    own_queue(broker_url, "mine")
    said = deployed.call("log", "replay", "--to-queue", "mine", "--rate", "50000", *WHY)
    assert said.code == 0, said.err
    assert Taken(broker_url, "c.mine").indices() == events(deployed)


def test_a_queue_that_is_not_there_is_told_and_can_be_gone_on_with(
    tmp_path: Path, broker_url: str
) -> None:
    deployed = deployment(tmp_path, broker_url)
    said = deployed.call("log", "replay", "--to-queue", "absent", *WHY)
    assert said.code != 0
    assert "'c.absent'" in said.err
    assert "does not exist" in said.err
    with deployed.stores() as stores:
        (job,) = replay_jobs(stores).all()
    assert (job.state, job.sent) == (JobState.OPEN, 0)
    own_queue(broker_url, "absent")
    assert deployed.call("log", "replay", "--resume", job.replay_id, *WHY).code == 0
    assert Taken(broker_url, "c.absent").indices() == events(deployed)


class Replaying:
    """`log replay` as a process."""

    def __init__(self, deployed: Deployment, *arguments: str) -> None:
        self.deployed = deployed
        self.log = deployed.folder / "replay.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                deployed.argv("log", "replay", *arguments, *WHY),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def sent(self) -> int:
        with self.deployed.stores() as stores:
            jobs = replay_jobs(stores).all()
        return jobs[-1].sent if jobs else 0

    def await_sent(self, count: int) -> None:
        def look() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self.sent() >= count

        wait_until(look, DEADLINE_S, f"{count} events")


@pytest.fixture
def replaying() -> Iterator[Callable[..., Replaying]]:
    started: list[Replaying] = []

    def start(deployed: Deployment, *arguments: str) -> Replaying:
        started.append(Replaying(deployed, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def replay_id(deployed: Deployment) -> str:
    with deployed.stores() as stores:
        return replay_jobs(stores).all()[-1].replay_id


def firsts(indices: list[int]) -> list[int]:
    return list(dict.fromkeys(indices))


def test_killed_in_the_middle_it_goes_on(
    tmp_path: Path, broker_url: str, replaying: Callable[..., Replaying]
) -> None:
    chance = random.Random(3)
    deployed = deployment(tmp_path, broker_url, "orders")
    run = replaying(deployed, "--to-queue", "orders", "--rate", "3000")
    run.await_sent(chance.randrange(100, 1_000))
    run.process.kill()
    run.process.wait()
    run = replaying(deployed, "--resume", replay_id(deployed))
    assert run.process.wait(DEADLINE_S) == 0, run.log.read_text()
    found = Taken(broker_url, "c.orders").indices()
    assert firsts(found) == events(deployed), "nothing is missing, and order is kept"
    assert len(found) < 2 * len(firsts(found)), "what was kept is not sent again"


def test_it_is_alone_and_a_stop_ends_it_cleanly_and_it_goes_on(
    tmp_path: Path, broker_url: str, replaying: Callable[..., Replaying]
) -> None:
    deployed = deployment(tmp_path, broker_url, "orders")
    run = replaying(deployed, "--to-queue", "orders", "--rate", "500")
    run.await_sent(200)
    second = deployed.call("log", "replay", "--to-queue", "orders", *WHY)
    assert second.code != 0
    assert "another process holds it" in second.err, "two would mix in the queue"
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(DEADLINE_S) == 1
    assert "go on with" in run.log.read_text()
    with deployed.stores() as stores:
        first, _ = replay_jobs(stores).all()
    said = deployed.call("log", "replay", "--resume", first.replay_id, *WHY)
    assert said.code == 0, said.err
    again, wanted = Taken(broker_url, "c.orders").indices(), events(deployed)
    assert len(again) == len(wanted), "nothing twice"
    assert again == wanted


def test_a_file_that_was_killed_has_each_event_once(
    tmp_path: Path, replaying: Callable[..., Replaying]
) -> None:
    deployed = deployment(tmp_path, "amqp://127.0.0.1:1")
    path = tmp_path / "out.jsonl"
    run = replaying(deployed, "--to-file", str(path), "--rate", "3000")
    run.await_sent(300)
    run.process.kill()
    run.process.wait()
    run = replaying(deployed, "--resume", replay_id(deployed))
    assert run.process.wait(DEADLINE_S) == 0, run.log.read_text()
    with deployed.stores() as stores:
        wanted = [e.payload for e in stores.event_log().read(0, COUNT) if e.leaf_index % 10]
    assert path.read_bytes().splitlines() == wanted


@pytest.mark.soak
def test_a_broker_that_restarts_is_waited_for(
    tmp_path: Path,
    rabbitmq: PrivateRabbitMQ,
    broker_url: str,
    replaying: Callable[..., Replaying],
) -> None:
    deployed = deployment(tmp_path, broker_url, "orders")
    run = replaying(deployed, "--to-queue", "orders", "--rate", "400")
    run.await_sent(200)
    # A quorum queue's place is written down late; see tests/delivery/test_relay_on_broker.py.
    rabbitmq.ctl("eval", "[ok = dets:sync(Table) || Table <- dets:all()].")
    rabbitmq.kill()
    rabbitmq.restart()
    assert run.process.wait(DEADLINE_S) == 0, run.log.read_text()
    assert firsts(Taken(broker_url, "c.orders").indices()) == events(deployed)
