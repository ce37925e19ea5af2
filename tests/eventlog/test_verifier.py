"""The separate verifier: honest bundles pass, every tampering is found and named."""

import contextlib
import io
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.signer import Signer
from bridge.eventlog.verifier import verify
from bridge.eventlog.verify_bundle import VERIFIER, verify_bundle
from bridge.storage.memory_event_log import MemoryEventLog
from tests.eventlog.drafts import drafts
from tests.eventlog.examples import EXAMPLES
from tests.eventlog.exporting.orders import make_bundle

COUNT = 60
ENTRY_FILES = ["leaves.jsonl", "payloads.jsonl", "hashes.bin"]
SIGNED_FILES = [*ENTRY_FILES, "checkpoint.txt", "manifest.json", "key.txt"]


def made_bundle(folder: Path, *, origin: str = "test.example/log", count: int = COUNT) -> str:
    """Export a log of `count` entries beside its own export entry; return the key."""
    log = MemoryEventLog()
    log.append(drafts(0, count))
    signer = Signer.load_or_create(folder / "log.key", origin=origin)
    return make_bundle(log, signer, folder / "bundle").keys[0]


class Desk(NamedTuple):
    """Where an auditor sits: an honest bundle, its key, and a way to verify changed copies."""

    folder: Path
    vkey: str
    files: dict[str, bytes]
    scratch: Path

    def judge(self, changed: dict[str, bytes | None], *, vkey: str | None = "") -> tuple[int, str]:
        """Verify the bundle with some files changed; None takes a file away."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        for name, data in {**self.files, **changed}.items():
            if data is not None:
                (self.scratch / name).write_bytes(data)
        key = self.vkey if vkey == "" else vkey
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = verify.main([str(self.scratch), *([] if key is None else ["--key", key])])
        return code, said.getvalue()

    def lines(self, name: str) -> list[bytes]:
        """Return the lines of an honest file."""
        return self.files[name].splitlines(keepends=True)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("export")
    vkey = made_bundle(folder)
    files = {path.name: path.read_bytes() for path in (folder / "bundle").iterdir()}
    return Desk(folder / "bundle", vkey, files, folder / "scratch")


def test_an_honest_bundle_verifies(desk: Desk) -> None:
    verdict = verify_bundle(desk.folder, desk.vkey)
    assert verdict.exit_code == 0, verdict.text
    assert verdict.text.startswith("VERIFIED")
    assert f"{COUNT + 1} entries" in verdict.text
    assert "Not checked" in verdict.text


def test_the_verifier_needs_nothing_of_ours(desk: Desk, tmp_path: Path) -> None:
    copy = tmp_path / "verify.py"
    shutil.copy(VERIFIER, copy)
    # -I -S: no site packages, no current folder; only the standard library is left.
    command = [sys.executable, "-I", "-S", str(copy), str(desk.folder), "--key", desk.vkey]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_key_from_outside_it_is_not_verified(desk: Desk) -> None:
    code, text = desk.judge({}, vkey=None)
    assert code == 2
    assert "at most internally consistent" in text


@pytest.mark.parametrize("vkey", [" ", "nonsense", "test.example/log+00000000+AAAA"])
def test_an_unreadable_key_verifies_nothing(desk: Desk, vkey: str) -> None:
    assert desk.judge({}, vkey=vkey)[0] == 2


def test_a_swapped_key_is_named(desk: Desk, tmp_path: Path) -> None:
    other = made_bundle(tmp_path, count=1)
    code, text = desk.judge({}, vkey=other)
    assert code == 1
    assert "checkpoint.txt: not signed by" in text
    assert "key swapped" in text


def test_a_bundle_signed_anew_by_somebody_else_is_named(desk: Desk, tmp_path: Path) -> None:
    made_bundle(tmp_path)
    verdict = verify_bundle(tmp_path / "bundle", desk.vkey)
    assert verdict.exit_code == 1
    assert "key swapped" in verdict.text


def test_a_bundle_over_no_entries_is_never_verified(desk: Desk, tmp_path: Path) -> None:
    signer = Signer.load_or_create(tmp_path / "log.key", origin="test.example/log")
    for name in ENTRY_FILES:
        (tmp_path / name).write_bytes(b"")
    empty = MemoryEventLog()
    _, note = HeadSigner(signer, empty).sign()
    (tmp_path / "checkpoint.txt").write_bytes(note)
    verdict = verify_bundle(tmp_path, signer.vkey)
    assert verdict.exit_code == 2
    assert "nothing to prove" in verdict.text


@settings(EXAMPLES, max_examples=120)
@given(data=st.data())
def test_any_flipped_bit_is_found_and_named(desk: Desk, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(SIGNED_FILES))
    content = bytearray(desk.files[name])
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    code, text = desk.judge({name: bytes(content)})
    assert code == 1
    assert f"tampered: {name}" in text
    if name in ENTRY_FILES and at < len(content) - 1:
        index = at // 32 if name == "hashes.bin" else desk.files[name][:at].count(b"\n")
        assert any(f"{word} {index}" in text for word in ("entry", "line")), text


@settings(EXAMPLES, max_examples=40)
@given(data=st.data())
def test_a_removed_line_is_found_and_named(desk: Desk, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(ENTRY_FILES[:2]))
    lines = desk.lines(name)
    at = data.draw(st.integers(0, len(lines) - 2))
    code, text = desk.judge({name: b"".join(lines[:at] + lines[at + 1 :])})
    assert code == 1
    assert f"tampered: {name}: line {at + 1} is not" in text


@settings(EXAMPLES, max_examples=40)
@given(data=st.data())
def test_swapped_lines_are_found_and_named(desk: Desk, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(ENTRY_FILES[:2]))
    lines = desk.lines(name)
    first = data.draw(st.integers(0, len(lines) - 2))
    second = data.draw(st.integers(first + 1, len(lines) - 1))
    lines[first], lines[second] = lines[second], lines[first]
    code, text = desk.judge({name: b"".join(lines)})
    assert code == 1
    assert f"tampered: {name}: line {first + 1} is not" in text
    if name == "leaves.jsonl":
        assert f"it says that it is entry {second}" in text


@settings(EXAMPLES, max_examples=40)
@given(data=st.data())
def test_an_inserted_line_is_found_and_named(desk: Desk, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(ENTRY_FILES[:2]))
    lines = desk.lines(name)
    at = data.draw(st.integers(0, len(lines)))
    lines.insert(at, lines[data.draw(st.integers(0, len(lines) - 1))][:-2] + b" }\n")
    code, text = desk.judge({name: b"".join(lines)})
    assert code == 1
    assert f"tampered: {name}: " in text
    assert f"line {at + 1} is not" in text or "goes on after entry" in text


@settings(EXAMPLES, max_examples=80)
@given(data=st.data())
def test_a_cut_tail_is_found_and_named(desk: Desk, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*SIGNED_FILES, "manifest.note"]))
    content = desk.files[name]
    code, text = desk.judge({name: content[: data.draw(st.integers(0, len(content) - 1))]})
    assert code in (1, 2)
    assert f": {name}" in text
    if name in ENTRY_FILES:
        assert code == 2
        assert f"incomplete: {name}: cut after" in text


def test_all_entry_files_cut_alike_are_incomplete(desk: Desk) -> None:
    changed: dict[str, bytes | None] = {
        name: b"".join(desk.files[name].splitlines(keepends=True)[:-1]) for name in ENTRY_FILES[:2]
    }
    changed["hashes.bin"] = desk.files["hashes.bin"][:-32]
    code, text = desk.judge(changed)
    assert code == 2
    assert f"cut after {COUNT} of {COUNT + 1} entries" in text


@pytest.mark.parametrize("name", [*SIGNED_FILES, "manifest.note"])
def test_a_missing_file_is_named(desk: Desk, name: str) -> None:
    code, text = desk.judge({name: None})
    assert code == 2
    assert f"incomplete: {name}" in text


def test_an_entry_rewritten_with_its_hash_is_found(desk: Desk) -> None:
    leaves = desk.files["leaves.jsonl"].replace(b"public.orders", b"public.orderz", 1)
    first = sha256(b"\x00" + leaves.split(b"\n", 1)[0]).digest()
    hashes = first + desk.files["hashes.bin"][32:]
    code, text = desk.judge({"leaves.jsonl": leaves, "hashes.bin": hashes})
    assert code == 1
    assert "leaves.jsonl: not what was signed" in text


def test_two_logs_of_one_key_cannot_be_spliced(desk: Desk, tmp_path: Path) -> None:
    shutil.copy(desk.folder.parent / "log.key", tmp_path / "log.key")
    made_bundle(tmp_path, count=COUNT + 5)
    spliced = (tmp_path / "bundle" / "checkpoint.txt").read_bytes()
    code, text = desk.judge({"checkpoint.txt": spliced})
    assert code == 1
    assert "manifest.json: names another range" in text


def test_a_file_that_the_manifest_does_not_list_is_mentioned(desk: Desk) -> None:
    code, text = desk.judge({"verify.py": b"print('VERIFIED')"})
    assert code == 0
    assert "'verify.py': not in the manifest" in text


def test_hostile_json_is_no_crash(desk: Desk) -> None:
    assert desk.judge({"leaves.jsonl": b"[" * 200_000 + b"\n"})[0] == 1
    assert desk.judge({"manifest.json": b"[" * 200_000 + b"}\n"})[0] == 1
    assert desk.judge({"key.txt": b"\xff\x00"}, vkey=None)[0] == 2


# The vectors of RFC 8032 section 7.1: public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555f"
            "b8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da08"
            "5ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_ed25519_reference_vectors(public: str, message: str, signature: str) -> None:
    key, text, good = (bytes.fromhex(part) for part in (public, message, signature))
    assert verify.ed25519_verify(key, good, text)
    assert not verify.ed25519_verify(key, good, text + b"x")


@settings(EXAMPLES, max_examples=25)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=80), data=st.data())
def test_ed25519_agrees_with_the_library(seed: bytes, message: bytes, data: st.DataObject) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert verify.ed25519_verify(public, signature, message)
    at = data.draw(st.integers(0, 63))
    flipped = bytearray(signature)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    assert not verify.ed25519_verify(public, bytes(flipped), message)
