"""The generation file and the locks of owners: who is alive, and what they decide by."""

import os
import signal
import subprocess
import sys
import timeit
from pathlib import Path

import pytest

from bridge.model.errors import LimitExceeded, StorageUnavailable
from bridge.storage.generation import SLOT_COUNT_MAX, Generation
from bridge.storage.journal.owner import FileLock, OwnerLocks
from tests.waiting import wait_until


def _child(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a process that runs `code`, says `ready`, and stays."""
    script = f"import sys, signal\nfrom pathlib import Path\n{code}\nprint('ready', flush=True)\n"
    child = subprocess.Popen(
        [sys.executable, "-c", script + "signal.pause()", *arguments], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def _kill(child: subprocess.Popen[bytes]) -> None:
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def test_a_bump_is_seen_by_every_opened_file(tmp_path: Path) -> None:
    first, second = (Generation.open(tmp_path / "generation") for _ in range(2))
    before = second.current()
    assert first.bump() == before + 1
    assert second.current() == before + 1
    first.close()
    assert second.bump() == before + 2
    second.close()


def test_slots_show_who_is_alive_and_what_was_adopted(tmp_path: Path) -> None:
    first, second = (Generation.open(tmp_path / "generation") for _ in range(2))
    mine, yours = first.claim_slot("a"), second.claim_slot("b")
    assert mine != yours
    first.adopted(mine, 7)
    for view in (first, second):
        seen = [(slot.owner, slot.adopted) for slot in view.live_slots()]
        assert seen == [("a", 7), ("b", 0)]
        assert all(slot.heartbeat_age_s < 5 for slot in view.live_slots())
    first.release_slot(mine)
    assert [slot.owner for slot in first.live_slots()] == ["b"]
    second.close()
    assert not first.live_slots()
    first.close()


def test_a_killed_process_leaves_no_live_slot(tmp_path: Path) -> None:
    path = tmp_path / "generation"
    child = _child(
        "from bridge.storage.generation import Generation\n"
        "generation = Generation.open(Path(sys.argv[1])); generation.claim_slot('child')",
        str(path),
    )
    generation = Generation.open(path)
    assert [slot.owner for slot in generation.live_slots()] == ["child"]
    _kill(child)
    assert not generation.live_slots()
    assert generation.claim_slot("next") == 0
    generation.close()


def test_a_full_table_says_so(tmp_path: Path) -> None:
    generation = Generation.open(tmp_path / "generation")
    for number in range(SLOT_COUNT_MAX):
        generation.claim_slot(f"worker-{number}")
    with pytest.raises(LimitExceeded):
        generation.claim_slot("one more")
    generation.close()


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "generation"
    path.write_bytes(b"not ours" + bytes(100))
    with pytest.raises(StorageUnavailable, match="remove it while nothing runs"):
        Generation.open(path)


def test_reading_the_generation_is_cheap_enough_for_every_request(tmp_path: Path) -> None:
    generation = Generation.open(tmp_path / "generation")
    seconds = min(timeit.repeat(generation.current, number=10_000, repeat=5)) / 10_000
    generation.close()
    assert seconds < 2e-6  # Some 80 ns on an idle machine; this one may be busy.


def test_an_owner_lives_as_long_as_its_process(tmp_path: Path) -> None:
    locks = OwnerLocks(tmp_path / "owners")
    assert not locks.alive("worker-1")
    child = _child(
        "from bridge.storage.journal.owner import OwnerLocks\n"
        "lock = OwnerLocks(Path(sys.argv[1])).take('worker-1')",
        str(tmp_path / "owners"),
    )
    assert locks.alive("worker-1")
    with pytest.raises(StorageUnavailable):
        locks.take("worker-1")
    _kill(child)
    wait_until(lambda: not locks.alive("worker-1"), timeout_s=1)
    with locks.take("worker-2"):
        assert locks.alive("worker-2")
        # What the dead left is cleared away.
        assert [path.name for path in (tmp_path / "owners").iterdir()] == ["worker-2.owner"]
    assert not locks.alive("worker-2")


def test_a_file_lock_is_exclusive_even_within_one_process(tmp_path: Path) -> None:
    path = tmp_path / "replay.lock"
    with FileLock.take(path):
        with pytest.raises(StorageUnavailable, match="another process holds it"):
            FileLock.take(path)
        path.read_bytes()  # Reading and closing it elsewhere does not lose the lock.
        with pytest.raises(StorageUnavailable):
            FileLock.take(path)
    FileLock.take(path).close()
