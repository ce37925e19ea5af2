"""Switching: one commit, then every live replica follows, or is named."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.model.errors import (
    ConfigInvalid,
    NotKnown,
    StaleEpoch,
    StepForbidden,
    StorageUnavailable,
)
from bridge.model.stage import Side, Stage, Switch
from bridge.model.warrant import Warrant
from bridge.storage.generation import Generation
from bridge.storage.journal.memory import MemoryJournal
from bridge.storage.journal.memory_desk import MemoryJournalDesk
from bridge.switching.switchboard import Switchboard
from tests.warrants import by


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
        report = board.switch("orders", Stage.DUAL, warrant=by("ana", "begin"))
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
    report = board.switch("orders", Stage.DUAL, warrant=by("ana", "begin"))
    assert not report.complete
    assert [(adoption.owner, adoption.took_ms) for adoption in report.adopted] == [("stuck", None)]
    stuck.close()
    # Dead replicas decide nothing and are not waited for.
    assert board.rollback("orders", warrant=by("ana", "back")).adopted == ()


def test_a_roll_back_goes_any_number_of_stages_at_once(board: Switchboard) -> None:
    board.switch("orders", Stage.DUAL, warrant=by("ana", "a"))
    board.switch("orders", Stage.MODERN, warrant=by("ana", "b"))
    report = board.rollback("orders", warrant=by("ana", "errors"))
    assert (report.switch.from_stage, report.switch.to_stage) == (Stage.MODERN, Stage.LEGACY)
    assert report.epoch == 3
    with pytest.raises(StepForbidden, match="not later"):
        board.rollback("orders", warrant=by("ana", "again"))
    with pytest.raises(StepForbidden, match="not later"):
        board.rollback("orders", warrant=by("ana", "forward?"), to=Stage.MODERN)


def test_a_roll_back_is_not_stopped_by_a_switch_in_between(
    desk: MemoryJournalDesk, board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.switch("orders", Stage.DUAL, warrant=by("ana", "a"))
    original = desk.switch
    between = [True]

    def racing(
        group: str, to: Stage, *, expected_epoch: int, warrant: Warrant, share_percent: float
    ) -> Switch:
        if between:
            between.clear()
            original(group, Stage.MODERN, expected_epoch=expected_epoch, warrant=by("ben", "go"))
        return original(group, to, expected_epoch=expected_epoch, warrant=warrant)

    monkeypatch.setattr(desk, "switch", racing)
    report = board.rollback("orders", warrant=by("ana", "errors"))
    assert (report.switch.from_stage, report.epoch) == (Stage.MODERN, 3)


def test_a_ramp_is_switches_of_their_own_up_and_down(board: Switchboard) -> None:
    board.switch("orders", Stage.DUAL, by())
    for epoch, share in enumerate((1, 5.5, 25), start=2):
        report = board.switch("orders", Stage.CANARY, by(), share_percent=share)
        assert (report.epoch, str(report.switch.to_place)) == (epoch, f"canary {share:g} %")
    with pytest.raises(StepForbidden, match="to canary 25 %: it is already there"):
        board.switch("orders", Stage.CANARY, by(), share_percent=25)
    with pytest.raises(StepForbidden, match="to canary 50 %: it is at canary 25 %, which is not"):
        board.rollback("orders", by(), to=Stage.CANARY, share_percent=50)
    report = board.rollback("orders", by(), to=Stage.CANARY, share_percent=1)
    assert [str(place) for place in (report.switch.from_place, report.switch.to_place)] == [
        "canary 25 %",
        "canary 1 %",
    ]
    assert board.rollback("orders", by(), to=Stage.DUAL).switch.to_share_percent == 0
    assert [state.place.share_percent for state in board.groups()] == [0, 0]


def test_a_group_whose_keys_cannot_be_dealt_has_no_canary(
    desk: MemoryJournalDesk, generation: Generation
) -> None:
    board = Switchboard(
        store=desk, board=generation, undealt=lambda: {"orders": "its routes name two entities"}
    )
    board.switch("orders", Stage.DUAL, by())
    with pytest.raises(StepForbidden, match="to canary 5 %: its routes name two entities"):
        board.switch("orders", Stage.CANARY, by(), share_percent=5)
    board.switch("orders", Stage.MODERN, by())


def test_forcing_a_side_is_told_and_refused_where_one_side_is_asked(
    desk: MemoryJournalDesk, board: Switchboard
) -> None:
    until = datetime(2026, 5, 1, 12, tzinfo=UTC)
    with pytest.raises(StepForbidden, match="cannot force group 'orders' to modern: at stage leg"):
        board.force("orders", Side.MODERN, until, by())
    with pytest.raises(StepForbidden, match="no modern side"):
        board.force("reports", Side.MODERN, until, by())
    board.switch("orders", Stage.SHADOW, by())
    state = board.force("orders", Side.MODERN, until, by())
    assert (state.forced_until, state.epoch) == (until.timestamp(), 1)
    earlier = until - timedelta(hours=1)
    assert board.force("orders", Side.LEGACY, earlier, by()).forced_until == until.timestamp()
    told_of = [
        (draft.fields["outcome"], draft.fields.get("side"), draft.fields.get("until"))
        for _, draft in desk.pending(100)
        if draft.fields["action"] == "side-force"
    ]
    shown = until.isoformat()
    assert told_of == [
        ("refused", "modern", shown),
        ("refused", "modern", shown),
        ("done", "modern", shown),
        ("done", "legacy", earlier.isoformat()),
    ]


def told(desk: MemoryJournalDesk) -> list[tuple[object, ...]]:
    names = ("action", "group", "to", "outcome", "error")
    return [tuple(draft.fields.get(name) for name in names) for _, draft in desk.pending(100)]


def test_what_is_refused_or_fails_is_told_as_well(
    desk: MemoryJournalDesk, board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StepForbidden):
        board.switch("orders", Stage.MODERN, by())
    with pytest.raises(StaleEpoch):
        board.switch("orders", Stage.DUAL, by(), expected_epoch=7)
    with pytest.raises(StepForbidden):
        board.rollback("orders", by())
    with pytest.raises(NotKnown):
        board.hold_lanes("4711 is no group", by())

    def full(*_: object, **__: object) -> None:
        raise StorageUnavailable("disk is full")

    monkeypatch.setattr(desk, "switch", full)
    with pytest.raises(StorageUnavailable):
        board.switch("orders", Stage.DUAL, by())
    assert told(desk) == [
        ("switch", "orders", "modern", "refused", "StepForbidden"),
        ("switch", "orders", "dual", "refused", "StaleEpoch"),
        ("rollback", "orders", "legacy", "refused", "StepForbidden"),
        ("lanes-hold", None, None, "refused", "NotKnown"),
        ("switch", "orders", "dual", "failed", "StorageUnavailable"),
    ]
    assert all(draft.fields["ticket"] == "T-1" for _, draft in desk.pending(100))
    assert "4711" not in repr(desk.pending(100))


def test_what_is_unknown_stale_or_one_sided_is_refused(board: Switchboard) -> None:
    with pytest.raises(ConfigInvalid, match="known groups are orders, reports"):
        board.switch("order", Stage.DUAL, warrant=by("ana", "begin"))
    with pytest.raises(StaleEpoch, match="expected epoch 4, found 0"):
        board.switch("orders", Stage.DUAL, warrant=by("ana", "begin"), expected_epoch=4)
    with pytest.raises(StepForbidden, match="no modern side"):
        board.switch("reports", Stage.DUAL, warrant=by("ana", "begin"))


def test_lanes_are_held_and_resumed(board: Switchboard) -> None:
    assert board.hold_lanes("orders", warrant=by("ana", "load")).lanes_held
    assert not board.resume_lanes("orders", warrant=by("ana", "loaded")).lanes_held
    assert [state.lanes_held for state in board.groups()] == [False, False]
