"""Switching: one commit, then every live replica follows, or is named."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.model.errors import ConfigInvalid, StaleEpoch, StepForbidden
from bridge.model.stage import Stage, Switch
from bridge.storage.generation import Generation
from bridge.storage.memory_journal import MemoryJournal
from bridge.storage.memory_journal_desk import MemoryJournalDesk
from bridge.switching.switchboard import Switchboard


class Replica:
    """A worker that follows the generation, in a thread."""

    def __init__(self, path: Path, owner: str) -> None:
        self.generation = Generation.open(path)
        self.slot = self.generation.claim_slot(owner)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            self.generation.adopted(self.slot, self.generation.current())

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.generation.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "generation"


@pytest.fixture
def generation(path: Path) -> Iterator[Generation]:
    opened = Generation.open(path)
    yield opened
    opened.close()


@pytest.fixture
def desk() -> MemoryJournalDesk:
    made = MemoryJournalDesk(MemoryJournal().state)
    made.ensure_groups(["orders", "reports"])
    return made


@pytest.fixture
def board(desk: MemoryJournalDesk, generation: Generation) -> Switchboard:
    return Switchboard(store=desk, board=generation, two_sided=["orders"])


def test_a_switch_returns_when_every_replica_follows(board: Switchboard, path: Path) -> None:
    replicas = [Replica(path, f"gateway-{number}") for number in range(3)]
    try:
        report = board.switch("orders", Stage.DUAL, actor="ana", reason="begin")
        assert report.epoch == 1
        assert report.complete
        assert [adoption.owner for adoption in report.adopted] == [
            "gateway-0",
            "gateway-1",
            "gateway-2",
        ]
        assert report.took_ms < 2000
    finally:
        for replica in replicas:
            replica.close()


def test_a_replica_that_does_not_follow_is_named_after_the_wait(
    desk: MemoryJournalDesk, generation: Generation, path: Path
) -> None:
    board = Switchboard(store=desk, board=generation, adoption_wait_s=0.05)
    stuck = Generation.open(path)
    stuck.claim_slot("stuck")
    report = board.switch("orders", Stage.DUAL, actor="ana", reason="begin")
    assert not report.complete
    assert [(adoption.owner, adoption.took_ms) for adoption in report.adopted] == [("stuck", None)]
    stuck.close()
    # Dead replicas decide nothing and are not waited for.
    assert board.rollback("orders", actor="ana", reason="back").adopted == ()


def test_a_roll_back_goes_any_number_of_stages_at_once(board: Switchboard) -> None:
    board.switch("orders", Stage.DUAL, actor="ana", reason="a")
    board.switch("orders", Stage.MODERN, actor="ana", reason="b")
    report = board.rollback("orders", actor="ana", reason="errors")
    assert (report.switch.from_stage, report.switch.to_stage) == (Stage.MODERN, Stage.LEGACY)
    assert report.epoch == 3
    with pytest.raises(StepForbidden, match="not later"):
        board.rollback("orders", actor="ana", reason="again")
    with pytest.raises(StepForbidden, match="not later"):
        board.rollback("orders", actor="ana", reason="forward?", to=Stage.MODERN)


def test_a_roll_back_is_not_stopped_by_a_switch_in_between(
    desk: MemoryJournalDesk, board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.switch("orders", Stage.DUAL, actor="ana", reason="a")
    original = desk.switch
    between = [True]

    def racing(group: str, to: Stage, *, expected_epoch: int, actor: str, reason: str) -> Switch:
        if between:
            between.clear()
            original(group, Stage.MODERN, expected_epoch=expected_epoch, actor="ben", reason="go")
        return original(group, to, expected_epoch=expected_epoch, actor=actor, reason=reason)

    monkeypatch.setattr(desk, "switch", racing)
    report = board.rollback("orders", actor="ana", reason="errors")
    assert (report.switch.from_stage, report.epoch) == (Stage.MODERN, 3)


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("ana", ""), ("ana", "  ")])
def test_who_and_why_are_mandatory(board: Switchboard, actor: str, reason: str) -> None:
    with pytest.raises(StepForbidden, match="mandatory"):
        board.switch("orders", Stage.DUAL, actor=actor, reason=reason)
    with pytest.raises(StepForbidden, match="mandatory"):
        board.hold_lanes("orders", actor=actor, reason=reason)


def test_what_is_unknown_stale_or_one_sided_is_refused(board: Switchboard) -> None:
    with pytest.raises(ConfigInvalid, match="known groups are orders, reports"):
        board.switch("order", Stage.DUAL, actor="ana", reason="begin")
    with pytest.raises(StaleEpoch, match="expected epoch 4, found 0"):
        board.switch("orders", Stage.DUAL, actor="ana", reason="begin", expected_epoch=4)
    with pytest.raises(StepForbidden, match="no modern side"):
        board.switch("reports", Stage.DUAL, actor="ana", reason="begin")


def test_lanes_are_held_and_resumed(board: Switchboard) -> None:
    assert board.hold_lanes("orders", actor="ana", reason="load").lanes_held
    assert not board.resume_lanes("orders", actor="ana", reason="loaded").lanes_held
    assert [state.lanes_held for state in board.groups()] == [False, False]
