"""`log prove`, `log check-proof`, `log consistency` and `log key` at the shell."""

import json
import sys
from pathlib import Path

import pytest

from bridge.eventlog.merkle import check_consistency
from bridge.eventlog.signing.checkpoint import parse_checkpoint
from bridge.eventlog.signing.note import VerifierKey, has_signature, open_note, split_note
from bridge.eventlog.witness.submission import parse_submission
from bridge.model.entry import EntryKind
from bridge.runtime.exit_codes import CONFIG
from tests.cli.deployment import Deployment
from tests.eventlog.drafts import drafts

WHY = ("-r", "a test", "--ticket", "T-1")


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """A deployment whose log has 30 entries."""
    made = Deployment(tmp_path)
    with made.stores() as stores:
        stores.event_log().append(drafts(0, 30))
    return made


class Auditor(Deployment):
    """Somebody with the program, and without our settings and stores."""

    def __init__(self) -> None:
        """Have nothing."""

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "bridge.cli", *arguments]


AUDITOR = Auditor()


def actions(deployment: Deployment, kind: EntryKind) -> list[str]:
    """Return the actions of the entries of a kind."""
    with deployment.stores() as stores:
        entries = stores.event_log().read(0, 1_000)
    return [json.loads(each.leaf)["fields"]["action"] for each in entries if each.kind is kind]


def test_a_proof_is_written_and_checked_without_the_log(
    deployment: Deployment, tmp_path: Path
) -> None:
    vkey = deployment.call("log", "key").out.strip()
    out = tmp_path / "7.tlog-proof"
    deployment.call("log", "prove", "7", "--out", str(out))
    assert out.read_bytes().startswith(b"c2sp.org/tlog-proof@v1\nextra ")
    said = AUDITOR.call("log", "check-proof", str(out), "--key", vkey)
    assert said.code == 0
    assert "entry 7 of 30 signed entries" in said.out
    assert '"index":7' in said.out
    assert "not checked: the payload" in said.out
    assert actions(deployment, EntryKind.ACCESS) == ["prove"]


def test_the_payload_is_compared(deployment: Deployment, tmp_path: Path) -> None:
    vkey = deployment.call("log", "key").out.strip()
    out, payload = tmp_path / "proof", tmp_path / "payload"
    deployment.call("log", "prove", "shop:0000000000000007:00000000", "--out", str(out))
    payload.write_bytes(drafts(7, 8)[0].payload + b"\n")
    argv = ("log", "check-proof", str(out), "--key", vkey, "--payload", str(payload))
    said = AUDITOR.call(*argv)
    assert (said.code, "the payload is the one" in said.out) == (0, True)
    payload.write_bytes(drafts(8, 9)[0].payload)
    said = AUDITOR.call(*argv)
    assert (said.code, "TAMPERED" in said.out) == (1, True)


def test_a_changed_proof_is_tampering_and_a_wrong_file_is_not(
    deployment: Deployment, tmp_path: Path
) -> None:
    vkey = deployment.call("log", "key").out.strip()
    out = tmp_path / "proof"
    deployment.call("log", "prove", "7", "--out", str(out))
    out.write_bytes(out.read_bytes().replace(b"index 7\n", b"index 8\n"))
    said = AUDITOR.call("log", "check-proof", str(out), "--key", vkey)
    assert (said.code, "TAMPERED" in said.out) == (1, True)
    out.write_text("hello")
    said = AUDITOR.call("log", "check-proof", str(out), "--key", vkey)
    assert (said.code, "TAMPERED" in said.out) == (CONFIG, False)


def test_an_entry_that_is_not_there(deployment: Deployment) -> None:
    assert "cannot find entry '99'" in deployment.refused("log", "prove", "99")


def test_since_the_last_export_nothing_changed(deployment: Deployment, tmp_path: Path) -> None:
    kept, out = tmp_path / "kept.txt", tmp_path / "growth.txt"
    deployment.call("log", "prove", "0")
    with deployment.stores() as stores:
        latest = stores.event_log().latest_checkpoint()
        assert latest is not None
        kept.write_bytes(latest[1])
        stores.event_log().append(drafts(30, 60))
    said = deployment.call("log", "consistency", "--since", str(kept), "--out", str(out))
    assert "nothing before entry 30 was changed, removed, added or moved" in said.out
    vkey = VerifierKey.parse(deployment.call("log", "key").out.strip())
    body = parse_submission(out.read_bytes())
    _, old = parse_checkpoint(open_note(kept.read_bytes(), vkey))
    _, head = parse_checkpoint(open_note(body.note, vkey))
    assert (old.size, head.size) == (30, 61)
    assert check_consistency(old.size, old.root, head.size, head.root, body.proof)
    assert actions(deployment, EntryKind.ACCESS) == ["prove", "consistency"]


def test_a_log_that_was_rewritten_is_named(deployment: Deployment, tmp_path: Path) -> None:
    deployment.call("log", "prove", "0")
    with deployment.stores() as stores:
        latest = stores.event_log().latest_checkpoint()
        assert latest is not None
        kept = tmp_path / "kept.txt"
        kept.write_bytes(latest[1])
    data = deployment.folder / "data"
    # The operator makes a new store with another history and takes the signer's memory away.
    for path in [*data.glob("log.db*"), *data.glob("keys/*.last"), *data.glob("keys/*identity*")]:
        path.unlink()
    with deployment.stores() as stores:
        stores.event_log().append(drafts(5, 90))
    said = deployment.call("log", "consistency", "--since", str(kept))
    assert said.code == 1, said.err
    assert "TAMPERED" in said.out
    assert "its first 30 entries of 85" in said.out


def test_a_file_that_is_no_checkpoint(deployment: Deployment, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("hello")
    assert "cannot use" in deployment.refused("log", "consistency", "--since", str(kept))
    missing = str(tmp_path / "missing")
    assert "No such file" in deployment.refused("log", "consistency", "--since", missing)


def test_a_key_is_rotated_with_an_overlap(deployment: Deployment) -> None:
    old = deployment.call("log", "key").out.strip()
    said = deployment.call("log", "key", "rotate", *WHY, "--overlap-days", "30")
    new, second = deployment.call("log", "key").out.split()
    assert second == old
    assert new in said.out
    assert "signs until 20" in said.out
    shown = deployment.call("log", "key", "list", "--json").json()
    assert [each["vkey"] for each in shown] == [old, new]
    assert [each["state"] for each in shown] == ["signing", "signing"]
    assert (shown[0]["until"] is None, shown[1]["until"]) == (False, None)
    assert actions(deployment, EntryKind.KEY) == ["key-begin", "key-begin"]
    deployment.call("log", "prove", "0")
    with deployment.stores() as stores:
        latest = stores.event_log().latest_checkpoint()
    assert latest is not None
    keys = [VerifierKey.parse(each) for each in (new, old)]
    assert all(has_signature(latest[1], key) for key in keys)
    assert open_note(latest[1], *keys) == split_note(latest[1])[0]


def test_a_rotation_needs_a_reason_and_a_ticket(deployment: Deployment) -> None:
    before = deployment.call("log", "key").out
    assert deployment.call("log", "key", "rotate", "-r", "x").code != 0
    assert deployment.call("log", "key", "rotate", "--ticket", "x").code != 0
    assert deployment.call("log", "key", "rotate", "-r", " ", "--ticket", "x").code != 0
    assert deployment.call("log", "key").out == before


def test_keys_are_shown_to_people(deployment: Deployment) -> None:
    deployment.call("log", "key", "rotate", *WHY, "--overlap-days", "0")
    out = deployment.call("log", "key", "list").out
    assert "retired" in out
    assert "signing" in out


def test_an_export_during_an_overlap_is_verified_with_either_key(
    deployment: Deployment, tmp_path: Path
) -> None:
    old = deployment.call("log", "key").out.strip()
    assert deployment.call("log", "key", "rotate", *WHY, "--overlap-days", "30").code == 0
    new = deployment.call("log", "key").out.split()[0]
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    said = deployment.call("log", "export", first, *WHY)
    assert said.code == 0, said.err
    for key in (old, new):
        verdict = AUDITOR.call("log", "verify", first, "--key", key)
        assert verdict.code == 0, verdict.out
    # The end of the first overlap, brought forward by a second rotation that ends both at once.
    assert deployment.call("log", "key", "rotate", *WHY, "--overlap-days", "0").code == 0
    newest = deployment.call("log", "key").out.strip()
    assert deployment.call("log", "export", second, *WHY).code == 0
    # Its range has a checkpoint of the time of the other two, so all three are needed.
    every = [argument for key in (newest, new, old) for argument in ("--key", key)]
    verdict = AUDITOR.call("log", "verify", second, *every)
    assert verdict.code == 0, verdict.out
    for retired in (old, new):
        assert AUDITOR.call("log", "verify", second, "--key", retired).code != 0
        # What it signed while it was good stays good.
        assert AUDITOR.call("log", "verify", first, "--key", retired).code == 0
