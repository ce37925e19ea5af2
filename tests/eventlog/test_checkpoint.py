"""What the signer signs, and what it refuses."""

from pathlib import Path

import pytest

from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import CheckpointService, HeadSigner, parse_checkpoint
from bridge.eventlog.signing.note import open_note
from bridge.eventlog.signing.signer import Signer
from bridge.model.errors import ConfigInvalid, LogCorrupt
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import draft, drafts

ORIGIN = "legacy-bridge.example/log"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.load_or_create(tmp_path / "keys" / "log.key", origin=ORIGIN)


def test_a_signing_key_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "log.key"
    made = Signer.load_or_create(path, origin=ORIGIN)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Signer.load_or_create(path, origin=ORIGIN).vkey == made.vkey
    assert [found.name for found in path.parent.iterdir()] == ["log.key"]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    Signer.load_or_create(path, origin=ORIGIN)
    path.chmod(0o640)
    with pytest.raises(ConfigInvalid, match="chmod 0600"):
        Signer.load_or_create(path, origin=ORIGIN)


def test_a_key_of_another_log_is_refused(tmp_path: Path) -> None:
    Signer.load_or_create(tmp_path / "log.key", origin=ORIGIN)
    with pytest.raises(ConfigInvalid, match="belongs to log"):
        Signer.load_or_create(tmp_path / "log.key", origin="other")


def test_a_broken_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.key").write_text("nonsense")
    (tmp_path / "log.key").chmod(0o600)
    with pytest.raises(ConfigInvalid, match="cannot use signing key"):
        Signer.load_or_create(tmp_path / "log.key", origin=ORIGIN)


def test_a_head_is_signed_and_kept(log: EventLogStore, signer: Signer) -> None:
    log.append(drafts(0, 300))
    head, note = HeadSigner(signer, log).sign()
    assert head == log.head()
    assert log.latest_checkpoint() == (300, note)
    assert parse_checkpoint(open_note(note, signer.key)) == (ORIGIN, head)


def test_a_growing_log_is_signed_again_and_again(log: EventLogStore, signer: Signer) -> None:
    for size in (0, 1, 255, 256, 257, 900):
        log.append(drafts(log.head().size, size))
        # A new signer each time: what it remembers is in the file.
        HeadSigner(signer, log).sign()
    latest = log.latest_checkpoint()
    assert latest is not None
    assert latest[0] == 900


def test_a_rewritten_log_is_refused(signer: Signer) -> None:
    honest, forged = MemoryEventLog(), MemoryEventLog()
    honest.append(drafts(0, 500))
    HeadSigner(signer, honest).sign()
    forged.append([*drafts(0, 123), draft(123, size=41), *drafts(124, 600)])
    with pytest.raises(LogCorrupt, match="its first 500 entries of 600 do not hash"):
        HeadSigner(signer, forged).sign()
    assert forged.latest_checkpoint() is None


def test_a_log_restored_from_an_old_backup_is_refused(signer: Signer) -> None:
    log, backup = MemoryEventLog(), MemoryEventLog()
    log.append(drafts(0, 20))
    backup.append(drafts(0, 10))
    HeadSigner(signer, log).sign()
    with pytest.raises(LogCorrupt, match="has 10 entries, but 20 were signed"):
        HeadSigner(signer, backup).sign()


def test_the_logs_own_checkpoint_is_remembered_too(signer: Signer) -> None:
    log, forged = MemoryEventLog(), MemoryEventLog()
    log.append(drafts(0, 20))
    _, note = HeadSigner(signer, log).sign()
    Path(f"{signer.path}.last").unlink()
    forged.append(drafts(5, 40))
    forged.add_checkpoint(20, note)
    with pytest.raises(LogCorrupt, match="first 20 entries"):
        HeadSigner(signer, forged).sign()


def test_the_service_signs_after_time_or_entries(signer: Signer) -> None:
    log, clock = MemoryEventLog(), [0.0]
    service = CheckpointService(
        HeadSigner(signer, log), log, interval_s=10, entries_max=50, clock=lambda: clock[0]
    )
    assert not service.step(), "an empty log"
    log.append(drafts(0, 1))
    assert service.step(), "the first entry"
    log.append(drafts(1, 40))
    assert not service.step(), "too early and too few"
    clock[0] = 10.0
    assert service.step(), "time is up"
    assert not service.step(), "nothing new"
    log.append(drafts(40, 90))
    assert service.step(), "enough entries"
    latest = log.latest_checkpoint()
    assert latest is not None
    assert latest[0] == 90
