"""Witnesses that are killed at every step: no fork is ever cosigned, state survives."""

import http.client
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.demo.servers.ports import free_port
from bridge.eventlog.merkle import prove_consistency
from bridge.eventlog.signing.checkpoint import format_checkpoint, parse_checkpoint
from bridge.eventlog.signing.note import split_note
from bridge.eventlog.signing.signer import Signer
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.eventlog.witness.submission import format_submission
from bridge.model.entry import TreeHead
from bridge.storage.event_log.memory import MemoryEventLog
from tests.child import child
from tests.eventlog.drafts import draft, drafts
from tests.eventlog.witness.dying_witness import STEPS
from tests.eventlog.witness.logs import (
    ORIGIN,
    WITNESS,
    log_of,
    signer_in,
    submission,
    witness_in,
)
from tests.waiting import wait_until

DEADLINE_S = 60


def kept_head(folder: Path) -> TreeHead:
    note = witness_in(folder, signer_in(folder)).kept(ORIGIN)
    assert note is not None
    return parse_checkpoint(split_note(note)[0])[1]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_it_has_the_old_head_or_the_new_one(tmp_path: Path, step: str) -> None:
    signer, log = signer_in(tmp_path), log_of(20)
    witness = witness_in(tmp_path, signer)
    assert witness.add_checkpoint(submission(signer, log, 0, 10)).status == 200
    dead = subprocess.run(
        [sys.executable, "-m", "tests.eventlog.witness.dying_witness", str(tmp_path), step],
        input=submission(signer, log, 10, 20),
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    kept = kept_head(tmp_path)
    assert kept.size in (10, 20)
    if kept.size == 10:
        assert dead.stdout == b"", "nothing leaves before it is on disk"
    # Another history over either head is refused by the witness that comes back.
    again = witness_in(tmp_path, signer)
    forged = log_of(30, forged_at=3)
    for old in (0, 10, 20):
        for size in (10, 20, 30):
            if old <= size:
                assert again.add_checkpoint(submission(signer, forged, old, size)).status != 200
    # The honest log is served, from wherever the witness is.
    assert again.add_checkpoint(submission(signer, log, kept.size, 20)).status == 200


class GrowingLog:
    """Two histories that part at one entry, and their checkpoints, quickly made."""

    def __init__(self, signer: Signer, forged_at: int) -> None:
        self.signer = signer
        self.honest, self.forged = MemoryEventLog(), MemoryEventLog()
        self.heads: dict[tuple[bool, int], TreeHead] = {}
        for number in range(400):
            self.honest.append(drafts(number, number + 1))
            padding = 41 if number == forged_at else 40
            self.forged.append([draft(number, size=padding)])
            self.heads[False, number + 1] = self.honest.head()
            self.heads[True, number + 1] = self.forged.head()

    def submission(self, is_forged: bool, old: int, size: int) -> bytes:
        log = self.forged if is_forged else self.honest
        note = self.signer.sign(format_checkpoint(ORIGIN, self.heads[is_forged, size]))
        proof = prove_consistency(StoredHashes(log), old, size) if 0 < old < size else []
        return format_submission(old, proof, note)


@contextmanager
def running_witness(folder: Path, port: int, vkey: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable, "-m", "bridge.cli", "witness", "--log-key", vkey,
        "--state", str(folder / "witness"), "--key", str(folder / "witness.key"),
        "--listen", f"127.0.0.1:{port}",
    ]  # fmt: skip
    with (
        (folder / "witness.out").open("ab") as out,
        child(command, stdout=out, stderr=out) as process,
    ):
        wait_until(lambda: healthy(port) or process.poll() is not None, DEADLINE_S, "the witness")
        assert process.poll() is None, (folder / "witness.out").read_text()
        yield process
        process.kill()


def healthy(port: int) -> bool:
    try:
        return ask(port, "GET", "/health")[0] == 200
    except OSError:
        return False


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


KILLS = 4


def test_a_service_that_is_killed_never_cosigns_a_fork(tmp_path: Path) -> None:
    chance = random.Random(5)
    signer = signer_in(tmp_path)
    witness_in(tmp_path, signer)  # Makes the key.
    log = GrowingLog(signer, forged_at=120)
    port = free_port()
    cosigned: list[tuple[bool, int]] = []
    size = 0
    for _ in range(KILLS):
        with running_witness(tmp_path, port, signer.vkey) as process:
            threading.Timer(chance.uniform(0.05, 0.4), process.kill).start()
            try:
                while size < 390:
                    # A log that lies half of the time, once both histories differ.
                    is_forged = chance.random() < 0.5
                    old, size = size, size + chance.randrange(3)
                    status, body = ask(
                        port,
                        "POST",
                        "/add-checkpoint",
                        log.submission(is_forged, old, max(size, 1)),
                    )
                    if status == 200:
                        cosigned.append((is_forged, max(size, 1)))
                    elif status == 409:
                        size = int(body)
                    else:
                        assert status == 422
                        size = old
            except (OSError, http.client.HTTPException):
                pass  # It was killed.
            process.wait(DEADLINE_S)
            kept = kept_head(tmp_path)
            assert cosigned
            assert kept.size >= cosigned[-1][1], "a head is remembered before it is told"
            size = kept.size
    sizes = [found for _, found in cosigned]
    assert sizes == sorted(sizes)
    histories = {is_forged for is_forged, found in cosigned if found > 120}
    assert len(histories) <= 1, "two histories were cosigned"


def test_two_services_do_not_share_a_state(tmp_path: Path) -> None:
    signer = signer_in(tmp_path)
    witness_in(tmp_path, signer)
    with running_witness(tmp_path, free_port(), signer.vkey):
        second = subprocess.run(
            [
                sys.executable, "-m", "bridge.cli", "witness", "--log-key", signer.vkey,
                "--state", str(tmp_path / "witness"), "--key", str(tmp_path / "witness.key"),
                "--listen", f"127.0.0.1:{free_port()}",
            ],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
    assert second.returncode != 0
    assert "another process holds it" in second.stderr
    assert WITNESS not in second.stdout
