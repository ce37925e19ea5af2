"""Workers and replayer killed with -9 at seeded random moments, under switches: nothing is lost.

Afterwards: every acknowledged write is on the side that was its authority, both sides applied the
same writes of each key in the same order, and every write whose outcome was lost had been listed.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.model.stage import Side, Stage
from bridge.model.write import JournalledWrite, WriteState
from bridge.storage.generation import Generation
from bridge.switching.switchboard import Switchboard
from tests.gateway.dual.peer import Peer
from tests.gateway.dual.rig import GROUP, Rig
from tests.waiting import wait_until
from tests.warrants import by

ORDERS = [str(number) for number in range(1, 7)]


class Fleet:
    """The processes of one gateway, and what its clients were told."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig = rig
        self.folder = folder
        self._starts = itertools.count(1)
        self._running: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
        self._outputs: list[Path] = []

    def start(self, role: str) -> str:
        """Start one process and return its name, which is new."""
        name = f"{role}-{next(self._starts)}"
        output = self.folder / f"{name}.out"
        with output.open("wb") as out:
            ports = str(self.rig.legacy.port), str(self.rig.modern.port)
            arguments = [role, name, str(self.folder), *ports, ",".join(ORDERS)]
            command = [sys.executable, "-m", "tests.gateway.dual.process", *arguments]
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        self._running[name] = process, output
        self._outputs.append(output)
        return name

    def kill(self, name: str) -> None:
        """Kill with -9; it must have lived until then."""
        process, output = self._running.pop(name)
        assert process.poll() is None, output.read_text()[-3000:]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def kill_all(self) -> None:
        """Kill whatever runs."""
        for name in list(self._running):
            self.kill(name)

    def await_answers(self, count: int, names: list[str]) -> None:
        """Wait until each of these processes answered, and all of them `count` times more."""
        wanted = len(self.answers()) + count

        def arrived() -> bool:
            return len(self.answers()) >= wanted and all(self.answers(name) for name in names)

        wait_until(arrived, timeout_s=30, what=f"{count} answers")

    def answers(self, name: str | None = None) -> list[tuple[int, str, str]]:
        """Return (HTTP status, order id, order status) of every answer that a client got."""
        outputs = self._outputs if name is None else [self._running[name][1]]
        lines = [line for output in outputs for line in output.read_text().split("\n")[:-1]]
        found = []
        for line in lines:
            code, order_id, status = line.split(" ")
            found.append((int(code), order_id, status))
        return found


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    rig = Rig(tmp_path, Peer("legacy", "{}"), Peer("modern", "m-{}"))
    for order_id in ORDERS:
        for peer, own_id in ((rig.legacy, order_id), (rig.modern, f"m-{order_id}")):
            peer.orders[own_id] = ["new"]
            peer.next_id = int(order_id) + 1
    # Ids must not meet by accident: the sides count differently from here on.
    rig.modern.next_id = 1000
    rig.desk.import_ids(GROUP, "order", [(order_id, f"m-{order_id}") for order_id in ORDERS], by())
    made = Fleet(rig, tmp_path)
    yield made
    made.kill_all()
    rig.close()


def _side_of(rig: Rig, side: Side) -> Peer:
    return rig.legacy if side is Side.LEGACY else rig.modern


def _status_of(write: JournalledWrite) -> str:
    body = write.intent.request.body.decode()
    return body.split('"')[3]


def _find(peer: Peer, status: str) -> str | None:
    """Return the order that got `status` on this side."""
    return next((own_id for own_id, given in peer.orders.items() if status in given), None)


def _resolve_by_looking(rig: Rig) -> int:
    """Do what a person does: look at the authority, and say what is there."""
    doubtful = rig.desk.list_writes(state=WriteState.IN_DOUBT, count_max=1000)
    for write in doubtful:
        own_id = _find(_side_of(rig, write.intent.authority), _status_of(write))
        made = write.intent.route == "order-create" and own_id is not None
        rig.desk.resolve(
            write.intent.intent_id,
            WriteState.FAILED if own_id is None else WriteState.APPLIED,
            warrant=by("ana", "looked"),
            ids={"order": own_id} if made and own_id is not None else None,
        )
    return len(doubtful)


def _check_nothing_lost(fleet: Fleet, listed: int) -> None:
    rig = fleet.rig
    acknowledged = [(order, status) for code, order, status in fleet.answers() if code < 300]
    for _, status in acknowledged:
        assert _find(rig.legacy, status) is not None, f"{status} is not on legacy"
        assert _find(rig.modern, status) is not None, f"{status} is not on modern"
    assert not rig.desk.list_writes(state=WriteState.PARKED)
    pairs = rig.pairs()
    assert set(pairs) == set(rig.legacy.orders)
    assert set(pairs.values()) == set(rig.modern.orders)
    for legacy_id, modern_id in pairs.items():
        assert rig.legacy.orders[legacy_id] == rig.modern.orders[modern_id]
        assert len(set(rig.legacy.orders[legacy_id])) == len(rig.legacy.orders[legacy_id])
    # What was applied without an acknowledgement was either journalled as applied before its
    # process died, or listed as in doubt; nothing else is on either side.
    applied = sum(len(given) for given in rig.legacy.orders.values()) - len(ORDERS)
    done = len(rig.desk.list_writes(state=WriteState.DONE, count_max=100_000))
    assert applied == done
    assert listed >= sum(code == 504 for code, _, _ in fleet.answers())


# `killing/` does the same with every part, by default.
@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_random_moments_lose_nothing(fleet: Fleet, seed: int) -> None:
    chance = random.Random(seed)
    rig = fleet.rig
    generation = Generation.open(fleet.folder / "generation")
    board = Switchboard(store=rig.desk, board=generation)
    board.switch(GROUP, Stage.DUAL, warrant=by("ana", "begin"))
    replayer = fleet.start("replay")
    listed = 0
    for round_ in range(3):
        writers = [fleet.start("write") for _ in range(2)]
        fleet.await_answers(chance.randrange(20, 120), writers)
        if round_ % 2 == 0:
            to = Stage.MODERN if board.groups()[0].stage is Stage.DUAL else Stage.DUAL
            report = board.switch(GROUP, to, warrant=by("ana", "move"))
            assert report.complete
            assert {adoption.owner for adoption in report.adopted} == set(writers)
        if chance.random() < 0.6:
            fleet.kill(replayer)
            replayer = fleet.start("replay")
        for writer in writers:
            fleet.kill(writer)
        wait_until(lambda: not rig.journal.open_owners(), what="dead owners' intents in doubt")
        listed += _resolve_by_looking(rig)
    wait_until(lambda: not rig.desk.lane_counts(), timeout_s=30, what="empty lanes")
    generation.close()
    _check_nothing_lost(fleet, listed)


def test_two_processes_never_have_two_writes_of_a_key_in_flight(fleet: Fleet) -> None:
    rig = fleet.rig
    rig.switch(Stage.DUAL)
    fleet.start("replay")
    for _ in range(2):
        fleet.start("write")
    wait_until(lambda: len(fleet.answers()) > 200, timeout_s=30)
    assert rig.legacy.in_flight_max == 1
    assert rig.modern.in_flight_max == 1
    # A process that waits too long for the other's turns says so, and has done nothing.
    assert {code for code, _, _ in fleet.answers()} <= {200, 201, 503}
