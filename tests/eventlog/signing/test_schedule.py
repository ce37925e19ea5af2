"""When heads are signed, what holds that up, and what ends it."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.signing import checkpoint
from bridge.eventlog.signing.checkpoint import CheckpointService, HeadSigner
from bridge.eventlog.signing.signer import Signer
from bridge.model.errors import LogCorrupt, StorageUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import drafts
from tests.eventlog.signing.killed_rotations import ORIGIN
from tests.waiting import RecordingObserver, wait_until

DAY_S = 86_400.0


class Scene:
    """A log, its service, and a clock that a test turns."""

    def __init__(self, folder: Path) -> None:
        self.log = MemoryEventLog()
        self.signer = Signer.load_or_create(folder / "log.key", origin=ORIGIN)
        self.observer = RecordingObserver()
        self.now_s = 0.0
        self.service = self.restart()

    def restart(self) -> CheckpointService:
        """Return the service of a process that starts now."""
        self.service = CheckpointService(
            HeadSigner(self.signer, self.log),
            self.log,
            observer=self.observer,
            clock=lambda: self.now_s,
        )
        return self.service

    def grow(self, count: int) -> None:
        size = self.log.head().size
        self.log.append(drafts(size, size + count))

    @property
    def signed_size(self) -> int:
        latest = self.log.latest_checkpoint()
        return 0 if latest is None else latest[0]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_busy_log_is_signed_each_ten_seconds_or_thousand_entries(scene: Scene) -> None:
    scene.grow(1)
    assert scene.service.step(), "the first entry does not wait"
    scene.grow(999)
    scene.now_s = 9
    assert not scene.service.step()
    scene.grow(1)
    assert scene.service.step(), "1,000 entries"
    assert scene.signed_size == 1_001
    scene.grow(1)
    scene.now_s = 18
    assert not scene.service.step()
    scene.now_s = 19
    assert scene.service.step(), "10 s"


def test_an_idle_log_is_signed_daily(scene: Scene) -> None:
    scene.grow(3)
    assert scene.service.step()
    scene.now_s = DAY_S - 1
    assert not scene.service.step()
    scene.now_s = DAY_S
    assert scene.service.step()
    assert not scene.service.step()
    signed = scene.observer.notes("checkpoint_signed")
    assert [note.facts["entries"] for note in signed] == [3, 0]


def test_an_idle_log_is_checked_at_each_start(scene: Scene) -> None:
    scene.grow(3)
    scene.service.step()
    assert scene.restart().step()
    assert not scene.service.step()


@pytest.mark.parametrize("size", [0, 2, 3, 9])
def test_a_store_that_was_swapped_is_refused_when_the_service_starts(
    scene: Scene, size: int
) -> None:
    scene.grow(3)
    scene.service.step()
    [(_, note)] = scene.log.checkpoints(0, 1)
    swapped = MemoryEventLog()
    swapped.append(drafts(100, 100 + size))
    swapped.add_checkpoint(3, note)
    scene.log = swapped
    with pytest.raises(LogCorrupt, match="signed"):
        scene.restart().step()


def test_a_refusal_is_an_alarm_and_ends_the_service(scene: Scene) -> None:
    scene.grow(3)
    scene.service.step()
    scene.log = MemoryEventLog()
    scene.grow(2)
    with pytest.raises(LogCorrupt):
        scene.restart().run(threading.Event())
    error = str(scene.observer.await_note("checkpoint_refused")["error"])
    assert "has 2 entries, but 3 were signed before" in error


def test_a_full_disk_delays_signing_and_loses_no_memory(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.grow(3)
    scene.service.step()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    scene.grow(4_000)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageUnavailable, match="No space left"):
            scene.service.step()
        assert scene.signed_size == 3, "what we could not remember did not get out"
    assert scene.service.step()
    assert scene.signed_size == 4_003
    assert not list(scene.signer.path.parent.glob(".*")), "no half-written files"


def test_a_store_that_is_away_delays_signing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    away = threading.Event()
    away.set()
    head = scene.log.head

    def maybe() -> Any:
        if away.is_set():
            raise StorageUnavailable("cannot read the event log: it restarts")
        return head()

    scene.grow(3)
    monkeypatch.setattr(scene.log, "head", maybe)
    monkeypatch.setattr(checkpoint, "RETRY_INTERVAL_S", 0.01)
    stop = threading.Event()
    thread = threading.Thread(target=scene.service.run, args=(stop,))
    thread.start()
    try:
        scene.observer.await_note("checkpoint_delayed")
        away.clear()
        wait_until(lambda: scene.signed_size == 3, what="a signature after the store came back")
    finally:
        stop.set()
        thread.join()


def test_a_checkpoint_that_the_log_lost_is_kept_again(scene: Scene) -> None:
    scene.grow(3)
    # Killed between its own memory and the log: the memory is ahead.
    lost = MemoryEventLog()
    lost.append(drafts(0, 3))
    HeadSigner(scene.signer, lost).sign()
    assert scene.signed_size == 0
    assert scene.service.step()
    assert scene.log.latest_checkpoint() == lost.latest_checkpoint()
