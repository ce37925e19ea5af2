"""How a log asks its witnesses, and what it makes of their answers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.cosignature import has_cosignature, verify
from bridge.eventlog.signing.note import open_note
from bridge.eventlog.witness.asker import REFRESH_S, RETRY_LONGEST_S, CosignatureShelf, WitnessAsker
from bridge.eventlog.witness.ports import Told
from bridge.eventlog.witness.standing import Standing
from bridge.eventlog.witness.submission import format_submission
from bridge.model.errors import LogCorrupt
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import draft, drafts
from tests.eventlog.witness.logs import (
    ORIGIN,
    DirectLink,
    log_of,
    signer_in,
    submission,
    witness_in,
)
from tests.waiting import RecordingObserver

START = 1_700_000_000.0


class RecordingBell:
    """An `AlarmBell` that keeps what it rang."""

    def __init__(self) -> None:
        self.rung: list[Mapping[str, Any]] = []

    def ring(self, alarm: Mapping[str, Any]) -> None:
        self.rung.append(alarm)

    def close(self) -> None:
        pass


class Stage:
    """A signed log with one witness, and a clock that tests move."""

    def __init__(self, folder: Path, log: EventLogStore) -> None:
        self.folder, self.log, self.now = folder, log, START
        self.signer = signer_in(folder)
        self.witness = witness_in(folder, self.signer, now=START)
        self.link = DirectLink(self.witness)
        self.observer = RecordingObserver()
        self.bell = RecordingBell()
        self.asker = self.new_asker()

    def new_asker(self, log: EventLogStore | None = None) -> WitnessAsker:
        """Return an asker as after a restart."""
        log = log or self.log
        return WitnessAsker(
            "partner",
            self.witness.key,
            self.link,
            log,
            CosignatureShelf(log),
            observer=self.observer,
            bell=self.bell,
            late_s=600,
            clock=lambda: self.now,
        )

    def grow(self, count: int) -> None:
        """Append, and sign the head."""
        size = self.log.head().size
        self.log.append(drafts(size, size + count))
        HeadSigner(self.signer, self.log).sign()

    def standing(self) -> Standing:
        """Let the asker look once more."""
        found = self.asker.step()
        assert found is not None
        return found.standing

    def newest(self) -> bytes:
        latest = self.log.latest_checkpoint()
        assert latest is not None
        return latest[1]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, MemoryEventLog())


def test_each_new_checkpoint_is_cosigned(tmp_path: Path, log: EventLogStore) -> None:
    stage = Stage(tmp_path, log)
    assert stage.asker.step() is None, "nothing is signed yet"
    for count in (1, 254, 1, 1, 500):
        stage.grow(count)
        assert stage.standing() is Standing.OK
        assert verify(stage.newest(), stage.witness.key) == int(START)
        assert open_note(stage.newest(), stage.signer.key)
        asked = stage.link.asked
        stage.asker.step()
        assert stage.link.asked == asked, "what is cosigned is not asked for again"
    # One request each: it is known where the witness is.
    assert stage.link.asked == 5


def test_a_restart_of_ours_or_a_lost_answer_is_repaired_by_409(stage: Stage) -> None:
    stage.grow(10)
    stage.link.lose_answers = True
    stage.asker.step()
    assert not has_cosignature(stage.newest(), stage.witness.key)
    stage.link.lose_answers = False
    stage.grow(10)
    stage.asker = stage.new_asker()
    assert stage.standing() is Standing.OK
    assert has_cosignature(stage.newest(), stage.witness.key)
    assert stage.link.asked == 3, "a lost answer, a 409, and the right proof"


def test_a_checkpoint_that_is_signed_anew_is_cosigned_anew(stage: Stage) -> None:
    stage.grow(10)
    stage.asker.step()
    stage.log.add_checkpoint(10, stage.signer.sign(open_note(stage.newest(), stage.signer.key)))
    assert stage.standing() is Standing.OK
    assert has_cosignature(stage.newest(), stage.witness.key)


def test_a_log_in_which_nothing_happens_is_cosigned_daily(stage: Stage) -> None:
    stage.grow(10)
    stage.asker.step()
    stage.now += REFRESH_S - 1
    stage.asker.step()
    assert stage.link.asked == 1
    stage.now += 1
    stage.link.witness = witness_in(stage.folder, stage.signer, now=stage.now)
    assert stage.standing() is Standing.OK
    assert stage.link.asked == 2
    assert verify(stage.newest(), stage.witness.key) == int(stage.now)
    assert stage.newest().count(b"witness.partner.example") == 1


def test_two_witnesses_add_to_one_checkpoint(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = witness_in(tmp_path / "second", stage.signer)
    stage.grow(10)
    shelf = CosignatureShelf(stage.log)
    other = WitnessAsker("second", second.key, DirectLink(second), stage.log, shelf)
    # Both read the note before either cosignature is there.
    _, note = stage.log.latest_checkpoint() or (0, b"")
    stage.asker.step()
    other.step()
    verify(stage.newest(), stage.witness.key)
    verify(stage.newest(), second.key)
    assert not has_cosignature(note, second.key)


def test_absence_is_an_alarm_after_a_while_and_ends_by_a_cosignature(stage: Stage) -> None:
    stage.grow(10)
    stage.link.away = True
    assert stage.standing() is Standing.OK, "a restart of the witness is no alarm"
    stage.now += 601
    assert stage.standing() is Standing.ABSENT
    raised = stage.observer.await_note("witness_raised", witness="partner", to_standing="absent")
    assert "refused" in str(raised["why"])
    facts = stage.observer.notes("witness")[-1].facts
    assert facts["partner.lag_entries"] == 10
    assert facts["partner.lag_s"] == 601
    assert facts["partner.level"] == 1
    stage.link.away = False
    stage.now += RETRY_LONGEST_S
    assert stage.standing() is Standing.OK
    stage.observer.await_note("witness_lowered", witness="partner")
    assert [alarm["standing"] for alarm in stage.bell.rung] == ["absent", "ok"]
    assert stage.observer.notes("witness")[-1].facts["partner.lag_entries"] == 0


def test_absence_is_counted_over_restarts_of_ours(stage: Stage) -> None:
    stage.grow(10)
    stage.asker.step()
    stage.grow(10)
    stage.link.away = True
    stage.asker.step()
    stage.now += 601
    stage.asker = stage.new_asker()
    assert stage.standing() is Standing.ABSENT


def test_who_is_away_is_asked_less_and_less_often(stage: Stage) -> None:
    stage.grow(1)
    stage.link.away = True
    for _ in range(600):
        stage.asker.step()
        stage.now += 1
    assert 10 <= stage.link.asked <= 20


def test_a_log_restored_from_an_old_backup_is_an_alarm_at_once(stage: Stage) -> None:
    stage.grow(20)
    stage.asker.step()
    restored = log_of(10)
    restored.add_checkpoint(10, _note(stage, restored, 10))
    stage.asker = stage.new_asker(restored)
    assert stage.standing() is Standing.CONFLICT
    assert "cosigned 20 entries, and our newest checkpoint has 10" in stage.bell.rung[0]["why"]
    assert stage.observer.notes("witness")[-1].facts["partner.level"] == 2


@pytest.mark.parametrize("size", [20, 30])
def test_a_rewritten_log_is_an_alarm_at_once(stage: Stage, size: int) -> None:
    stage.grow(20)
    stage.asker.step()
    forged = log_of(size, forged_at=7)
    forged.add_checkpoint(size, _note(stage, forged, size))
    stage.asker = stage.new_asker(forged)
    assert stage.standing() is Standing.CONFLICT
    assert "rewritten or forked" in stage.bell.rung[0]["why"]
    # It stays one for as long as it lasts, and rings once.
    stage.now += 1_000
    assert stage.standing() is Standing.CONFLICT
    assert len(stage.bell.rung) == 1


def test_a_longer_rewritten_log_is_an_alarm(stage: Stage) -> None:
    stage.grow(20)
    stage.asker.step()
    forged = MemoryEventLog()
    forged.append([draft(0, size=99), *drafts(1, 300)])
    forged.add_checkpoint(300, _note(stage, forged, 300))
    stage.asker = stage.new_asker(forged)
    assert stage.standing() is Standing.CONFLICT


def test_a_witness_that_lost_its_state_is_told_of_and_served(stage: Stage, tmp_path: Path) -> None:
    stage.grow(10)
    stage.asker.step()
    for path in (tmp_path / "witness" / "heads").iterdir():
        path.unlink()
    stage.grow(10)
    assert stage.standing() is Standing.OK
    stage.observer.await_note("witness_lost_state", witness="partner", size=0)


def _forget(stage: Stage) -> None:
    stage.witness.logs = {}


def _distrust(stage: Stage) -> None:
    (stage.folder / "other").mkdir()
    stage.witness.logs = {ORIGIN: [signer_in(stage.folder / "other").key]}


def _answer(told: Told) -> Callable[[Stage], None]:
    def change(stage: Stage) -> None:
        stage.link.answer = told

    return change


def _another_key(stage: Stage) -> None:
    (stage.folder / "other").mkdir()
    stage.link.witness = witness_in(stage.folder / "other", stage.signer)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_forget, "does not know our log"),
        (_distrust, "does not know the key of our log"),
        (_another_key, "answers with 0 cosignatures"),
        (_answer(Told(200, b"")), "cannot be believed"),
        (_answer(Told(200, b"nonsense")), "cannot be believed"),
        (_answer(Told(409, b"nonsense")), "409 without a size"),
        (_answer(Told(302, b"")), "HTTP 302"),
        (_answer(Told(413, b"")), "HTTP 413"),
    ],
)
def test_what_a_person_must_repair_is_told_at_once(
    stage: Stage, change: Callable[[Stage], None], why: str
) -> None:
    stage.grow(10)
    change(stage)
    assert stage.standing() is Standing.REFUSED
    assert why in stage.bell.rung[0]["why"]
    assert not has_cosignature(stage.newest(), stage.witness.key)


def test_a_wrong_cosignature_is_not_kept(stage: Stage) -> None:
    stage.grow(10)
    # It is for another checkpoint of the same log.
    line = stage.witness.add_checkpoint(submission(stage.signer, stage.log, 0, 5)).body
    stage.link.answer = Told(200, line)
    assert stage.standing() is Standing.REFUSED
    assert not has_cosignature(stage.newest(), stage.witness.key)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_passing_trouble_of_the_witness_is_waited_for(stage: Stage, status: int) -> None:
    stage.grow(10)
    stage.link.answer = Told(status, b"")
    assert stage.standing() is Standing.OK
    stage.link.answer = None
    stage.now += 2
    stage.asker.step()
    assert has_cosignature(stage.newest(), stage.witness.key)


def test_another_checkpoint_of_the_same_size_does_not_get_the_cosignature(stage: Stage) -> None:
    stage.grow(10)
    line = stage.witness.add_checkpoint(submission(stage.signer, stage.log, 0, 10)).body
    forged = log_of(10, forged_at=2)
    forged.add_checkpoint(10, _note(stage, forged, 10))
    with pytest.raises(LogCorrupt, match="not the one that was cosigned"):
        CosignatureShelf(forged).add(10, stage.newest(), line)


def _note(stage: Stage, log: EventLogStore, size: int) -> bytes:
    body = submission(stage.signer, log, 0, size)
    assert body.startswith(format_submission(0, [], b""))
    return body.split(b"\n\n", 1)[1]
