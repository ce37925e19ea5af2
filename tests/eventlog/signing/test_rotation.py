"""Keys come and go: what is signed by which, what the log says of it, and what a crash leaves."""

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.eventlog.inspection import inspect_log
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import HeadSigner, parse_checkpoint
from bridge.eventlog.signing.cosignature import CosignerKey, add_line, cosign, verify
from bridge.eventlog.signing.keyring import SIGNING_KEYS_MAX, Keyring, KeyState
from bridge.eventlog.signing.note import VerifierKey, has_signature, open_note
from bridge.eventlog.signing.rotation import KeyService, rotate_key, settle_keys
from bridge.eventlog.signing.signer import Signer
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, LimitExceeded, LogCorrupt
from bridge.model.warrant import Outcome
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.eventlog.drafts import drafts
from tests.eventlog.signing.killed_rotations import NOW, ORIGIN, WARRANT
from tests.waiting import RecordingObserver


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.load_or_create(tmp_path / "keys" / "log.key", origin=ORIGIN)


@pytest.fixture
def memory(signer: Signer) -> MemoryEventLog:
    """A log of three entries that was signed by its first key."""
    log = MemoryEventLog()
    log.append(drafts(0, 3))
    settle_keys(signer, log, now=NOW)
    HeadSigner(signer, log).sign()
    return log


def key_entries(log: EventLogStore) -> list[tuple[str, str, str]]:
    """Return action, public key and actor of each entry about keys."""
    found = []
    for entry in log.read(0, 1_000):
        if entry.kind is EntryKind.KEY:
            fields = json.loads(entry.leaf)["fields"]
            found.append((fields["action"], fields["vkey"], fields["actor"]["id"]))
    return found


def later(days: float) -> datetime:
    return NOW + timedelta(days=days)


def signs(note: bytes, keys: Sequence[VerifierKey]) -> list[bool]:
    return [has_signature(note, key) for key in keys]


def test_the_first_key_has_an_entry(signer: Signer, memory: MemoryEventLog) -> None:
    assert key_entries(memory) == [("key-begin", signer.vkey, "gateway")]
    assert not settle_keys(signer, memory, now=NOW), "once is enough"


def test_both_keys_sign_until_the_overlap_ends(signer: Signer, memory: MemoryEventLog) -> None:
    old = signer.key
    rotate_key(signer, memory, WARRANT, overlap_days=30, now=NOW)
    new = signer.key
    assert list(signer.keys) == [new, old]
    _, note = HeadSigner(signer, memory).sign()
    assert signs(note, (old, new)) == [True, True]
    assert open_note(note, old) == open_note(note, new)

    settle_keys(signer, memory, now=later(29.9))
    assert list(signer.keys) == [new, old]
    settle_keys(signer, memory, now=later(30))
    assert list(signer.keys) == [new]
    _, note = HeadSigner(signer, memory).sign()
    assert signs(note, (old, new)) == [False, True]
    assert key_entries(memory) == [
        ("key-begin", old.format(), "gateway"),
        ("key-begin", new.format(), "ana"),
        ("key-end", old.format(), "gateway"),
    ]


def test_an_old_key_still_opens_what_it_signed(signer: Signer, memory: MemoryEventLog) -> None:
    old = signer.key
    [(_, before)] = memory.checkpoints(0, 10)
    rotate_key(signer, memory, WARRANT, overlap_days=0, now=NOW)
    HeadSigner(signer, memory).sign()
    assert parse_checkpoint(open_note(before, old))[1].size == 4
    assert old in signer.ring.known


def test_the_entry_of_a_new_key_says_who_why_and_what_it_replaces(
    signer: Signer, memory: MemoryEventLog
) -> None:
    old = signer.vkey
    rotate_key(signer, memory, WARRANT, overlap_days=30, now=NOW)
    entry = memory.read(4, 1)[0]
    fields, payload = json.loads(entry.leaf)["fields"], json.loads(entry.payload)
    assert fields["replaces"] == [old]
    assert fields["overlap_until"] == "2026-12-21T12:00:00.000000Z"
    assert (fields["ticket"], payload["reason"]) == ("CHG-7", "yearly rotation")
    # The reason is a person's text: once the log has it, nothing else keeps it.
    assert "yearly" not in signer.beside(".ring").read_text()


def test_without_overlap_the_old_key_ends_at_once(signer: Signer, memory: MemoryEventLog) -> None:
    first = signer.path
    old = signer.key
    rotate_key(signer, memory, WARRANT, overlap_days=0, now=NOW)
    assert old not in signer.keys
    assert not first.exists(), "nobody can sign another history with it"


def test_a_private_key_is_kept_to_its_owner(signer: Signer, memory: MemoryEventLog) -> None:
    rotate_key(signer, memory, WARRANT, now=NOW)
    for each in signer.ring.signing:
        path = signer.path.with_name(each.file)
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o640)
        with pytest.raises(ConfigInvalid, match="chmod 0600"):
            HeadSigner(signer, memory).sign()
        path.chmod(0o600)


def test_another_process_hears_of_a_rotation(signer: Signer, memory: MemoryEventLog) -> None:
    long_running = HeadSigner(Signer.load_or_create(signer.path, origin=ORIGIN), memory)
    rotate_key(signer, memory, WARRANT, overlap_days=0, now=NOW)
    _, note = long_running.sign()
    assert signs(note, signer.keys) == [True]


def test_too_many_overlapping_keys_are_refused(signer: Signer, memory: MemoryEventLog) -> None:
    for _ in range(SIGNING_KEYS_MAX - 1):
        rotate_key(signer, memory, WARRANT, overlap_days=30, now=NOW)
    with pytest.raises(LimitExceeded, match="2026-12-21"):
        rotate_key(signer, memory, WARRANT, overlap_days=30, now=NOW)
    refused = json.loads(memory.read(memory.head().size - 1, 1)[0].leaf)["fields"]
    assert (refused["action"], refused["outcome"]) == ("key-rotate", Outcome.REFUSED.value)
    assert len(HeadSigner(signer, memory).sign()[1].rpartition(b"\n\n")[2].splitlines()) == 4


@pytest.mark.parametrize("overlap_days", [0, 30])
@pytest.mark.parametrize("crime", ["cut", "rewritten", "rolled back"])
def test_a_new_key_signs_no_fork_either(
    signer: Signer, memory: MemoryEventLog, crime: str, overlap_days: int
) -> None:
    rotate_key(signer, memory, WARRANT, overlap_days=overlap_days, now=NOW)
    HeadSigner(signer, memory).sign()
    honest = memory.head().size
    forged = MemoryEventLog()
    if crime == "cut":
        forged.append(drafts(0, 2))
    elif crime == "rewritten":
        forged.append(drafts(10, 10 + 2 * honest))
    else:
        forged.append(drafts(0, 3))
        settle_keys(signer, forged, now=NOW)
    # The key that comes next knows what the earlier ones signed, in any log that it is shown.
    rotate_key(signer, memory, WARRANT, overlap_days=0, now=NOW)
    with pytest.raises(LogCorrupt):
        HeadSigner(signer, forged).sign()
    assert forged.latest_checkpoint() is None


def test_a_head_that_is_signed_again_keeps_its_cosignatures(
    signer: Signer, memory: MemoryEventLog
) -> None:
    private = Ed25519PrivateKey.generate()
    witness = CosignerKey(name="w.example", public=private.public_key().public_bytes_raw())
    head, note = HeadSigner(signer, memory).sign()
    line = cosign(open_note(note, signer.key), witness.name, private, 77)
    memory.add_checkpoint(head.size, add_line(note, line))
    again, kept = HeadSigner(signer, memory).sign()
    assert (again, verify(kept, witness)) == (head, 77)
    assert memory.latest_checkpoint() == (head.size, kept)


def test_the_service_ends_keys_in_time(signer: Signer, memory: MemoryEventLog) -> None:
    rotate_key(signer, memory, WARRANT, overlap_days=30, now=NOW)
    observer, clock = RecordingObserver(), [later(1)]
    service = KeyService(signer, memory, observer=observer, clock=lambda: clock[0])
    service.step()
    assert not observer.notes()
    clock[0] = later(31)
    service.step()
    assert observer.await_note("log_keys_changed") == {"signing": 1}


def test_keys_of_two_backups_are_not_mixed(signer: Signer, memory: MemoryEventLog) -> None:
    rotate_key(signer, memory, WARRANT, overlap_days=30, now=NOW)
    ring = signer.beside(".ring")
    kept = ring.read_bytes()
    ring.unlink()
    with pytest.raises(ConfigInvalid, match="restore the folder"):
        Signer.load_or_create(signer.path, origin=ORIGIN)
    ring.write_bytes(kept)
    signer.path.with_name(signer.ring.signing[0].file).unlink()
    with pytest.raises(ConfigInvalid, match="restore the folder"):
        Signer.load_or_create(signer.path, origin=ORIGIN)


def test_a_lost_key_is_not_replaced_by_a_stranger(signer: Signer, memory: MemoryEventLog) -> None:
    signer.path.unlink()
    signer.beside(".ring").unlink()
    with pytest.raises(ConfigInvalid, match="it has signed before"):
        Signer.load_or_create(signer.path, origin=ORIGIN)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"version":2,"keys":[]}', b'{"version":1,"keys":[]}', b"\xff"]
)
def test_a_broken_ring_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigInvalid, match="keyring"):
        Keyring.parse(data)


def test_a_ring_is_read_as_it_is_written(signer: Signer, memory: MemoryEventLog) -> None:
    rotate_key(signer, memory, WARRANT, overlap_days=30, now=NOW)
    assert Keyring.parse(signer.ring.format()) == signer.ring


def test_a_rotation_that_is_killed_anywhere_is_finished_or_undone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.eventlog.signing.killed_rotations", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    steps = int(done.stdout)
    assert steps > 15, "files, links and appends of a rotation"
    outcomes = {after_the_kill(tmp_path / str(step)) for step in range(1, steps + 1)}
    assert outcomes == {1, 2}, "before the ring announces it there is one key, afterwards two"


def after_the_kill(folder: Path) -> int:
    """Check what a killed rotation left, and return how many keys the log has had."""
    log = SqliteEventLog(folder / "log.db")
    signer = Signer.load_or_create(folder / "log.key", origin=ORIGIN)
    # Whatever happened, the log is signed, and by nothing but keys that the ring knows.
    _, note = HeadSigner(signer, log).sign()
    open_note(note, *signer.ring.known)
    settle_keys(signer, log, now=NOW)
    count = len(signer.ring.keys)
    assert len(signer.keys) == 1
    states = [each.state for each in signer.ring.keys]
    assert states == [KeyState.RETIRED] * (count - 1) + [KeyState.SIGNING]
    # Each key began once and each that ended ended once, in the log, and no other key did.
    began = [vkey for action, vkey, _ in key_entries(log) if action == "key-begin"]
    ended = [vkey for action, vkey, _ in key_entries(log) if action == "key-end"]
    assert began == [each.key.format() for each in signer.ring.keys]
    assert ended == began[:-1]
    # And the next rotation works, and leaves no secret behind but the one that signs.
    rotate_key(signer, log, WARRANT, overlap_days=0, now=NOW)
    HeadSigner(signer, log).sign()
    names = {path.name for path in folder.iterdir() if "log.key" in path.name}
    assert names == {"log.key.ring", "log.key.lock", "log.key.last", signer.ring.signing[0].file}
    inspect_log(log)
    log.close()
    return count
