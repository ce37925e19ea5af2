"""What the verifiers promise, one thing at a time; tampering in all ways is in test_tampering."""

import ast
import base64
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.eventlog.proofs.prover import prove_entry
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.verifier import verify
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import drafts
from tests.eventlog.examples import EXAMPLES
from tests.eventlog.exporting.orders import make_bundle as export_bundle
from tests.eventlog.exporting.orders import make_signer
from tests.eventlog.verifier.both import VERIFY_MJS, VERIFY_PY, Verifiers, ask_python
from tests.eventlog.verifier.bundle_maker import (
    Wish,
    make_bundle,
    make_log,
    make_proof,
    sign,
)
from tests.eventlog.verifier.tampering import (
    KEY,
    LATER_KEY,
    STRANGER,
    WITNESS,
    rewritten,
)

LOG = make_log(30, seed=3)
WHOLE = make_bundle(LOG, Wish(stop=30, size=30), [KEY])


def test_the_python_file_needs_nothing_of_ours(tmp_path: Path, verifiers: Verifiers) -> None:
    verifiers.judge(WHOLE, [KEY.vkey])
    copy = tmp_path / "verify.py"
    shutil.copy(VERIFY_PY, copy)
    # -I -S: no site packages, no current folder; only the standard library is left.
    command = [sys.executable, "-I", "-S", str(copy), str(verifiers.scratch), "--key", KEY.vkey]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    imported = {
        alias.name.partition(".")[0]
        for tree in ast.walk(ast.parse(VERIFY_PY.read_text()))
        if isinstance(tree, ast.Import | ast.ImportFrom)
        for alias in (
            tree.names if isinstance(tree, ast.Import) else [ast.alias(tree.module or "")]
        )
    }
    assert imported <= sys.stdlib_module_names


def test_the_javascript_file_needs_nothing_but_node(tmp_path: Path, verifiers: Verifiers) -> None:
    verifiers.judge(WHOLE, [KEY.vkey])
    copy = tmp_path / "verify.mjs"
    shutil.copy(VERIFY_MJS, copy)
    command = ["node", str(copy), str(verifiers.scratch), "--key", KEY.vkey]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    imports = [line for line in VERIFY_MJS.read_text().splitlines() if line.startswith("import ")]
    assert imports
    assert all(line.split(" from ")[1].startswith('"node:') for line in imports)


def test_both_print_the_same_text(tmp_path: Path, verifiers: Verifiers) -> None:
    wish = Wish(
        start=5, stop=25, size=30, checkpoints=(8, 25), tokens=True, witnesses=(WITNESS,),
        disclose=True, since=7, extra={"views/a.csv": b"x", "contracts/a/1/c.json": b"{}"},
    )  # fmt: skip
    verifiers.judge({**make_bundle(LOG, wish, [KEY, LATER_KEY]), "more.txt": b""}, [KEY.vkey])
    kept = tmp_path / "kept.txt"
    kept.write_bytes(sign(LOG.checkpoint_text(8), [KEY]))
    options = ["--key", KEY.vkey, "--witness", WITNESS.vkey, "--since", str(kept)]
    said = []
    for program in ([sys.executable, "-I", str(VERIFY_PY)], ["node", str(VERIFY_MJS)]):
        command = [*program, str(verifiers.scratch), *options]
        said.append(subprocess.run(command, capture_output=True, check=True).stdout.decode())
    assert said[0] == said[1]
    for part in (
        "VERIFIED: ",
        "log 'test.example/log': 30 entries, root ",
        "this bundle: entries 5 to 24, 20 selected with their payloads",
        "by 'ana', reason '年次監査', ticket 'AUD-7'",
        "cosigned by witness.example/w1+",
        "grew out of your checkpoint of size 8",
        "3 time-stamp tokens over checkpoints",
        "openssl ts -verify -token_in -in 'tokens/8/tsa.tsr' -digest ",
        "'more.txt': not in the manifest and not looked at",
        "Not checked:",
        "- what the entries before 5 say: they are not in this bundle",
        "- what the entries 25 to 29 say: they are not in this bundle",
    ):
        assert part in said[0]


@pytest.mark.parametrize(
    "arguments",
    [[], ["a", "b"], ["a", "--proof", "x"], ["a", "--leaf", "x"], ["a", "--witnesses-min", "0"],
     ["a", "--unknown"], ["a", "--witnesses-min", "x"], ["a", "--key"]],
)  # fmt: skip
def test_wrong_usage_is_never_green(arguments: list[str]) -> None:
    for program in ([sys.executable, "-I", str(VERIFY_PY)], ["node", str(VERIFY_MJS)]):
        done = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "error" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_folder_that_is_none(verifiers: Verifiers, tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        assert verifiers.judge_folder(path, [KEY.vkey]).code == 2


def test_without_a_key_from_outside_it_is_not_verified(verifiers: Verifiers) -> None:
    said = verifiers.judge(WHOLE, [])
    assert said.code == 2
    assert "at most internally consistent" in said.text
    assert len(said.json["findings"]) == 1


def test_a_swapped_key_is_named(verifiers: Verifiers) -> None:
    said = verifiers.judge(WHOLE, [STRANGER.vkey])
    assert said.code == 1
    assert "key swapped" in said.text


@pytest.mark.parametrize(
    ("size", "code"), [(4, 2), (5, 0), (8, 0), (9, 0), (20, 0), (25, 2), (28, 2), (30, 0)]
)
def test_the_receiver_s_own_checkpoint(
    verifiers: Verifiers, tmp_path: Path, size: int, code: int
) -> None:
    kept = tmp_path / "kept.txt"
    # The range, the head and, by the bundle's own proof, one earlier head can be compared.
    wish = Wish(start=5, stop=20, size=30, checkpoints=(8, 9), since=3)
    kept.write_bytes(sign(LOG.checkpoint_text(size), [KEY]))
    said = verifiers.judge(make_bundle(LOG, wish, [KEY]), [KEY.vkey], since=kept)
    assert said.code == code, said.text
    kept.write_bytes(sign(rewritten(LOG, 1).checkpoint_text(size), [KEY]))
    said = verifiers.judge(make_bundle(LOG, wish, [KEY]), [KEY.vkey], since=kept)
    assert said.code == (2 if code == 2 else 1), said.text


def test_the_consistency_proof_of_since(verifiers: Verifiers, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    for old in range(1, 31):
        files = make_bundle(LOG, Wish(start=29, stop=30, size=30, since=old), [KEY])
        kept.write_bytes(sign(LOG.checkpoint_text(old), [KEY]))
        assert verifiers.judge(files, [KEY.vkey], since=kept).code == 0
        kept.write_bytes(sign(rewritten(LOG, 0).checkpoint_text(old), [KEY]))
        assert verifiers.judge(files, [KEY.vkey], since=kept).code == 1


def test_completeness_by_business_fields_is_the_exporter_s_word(verifiers: Verifiers) -> None:
    chosen = tuple(i for i in range(30) if LOG.said(i)["kind"] == "event")[:2]
    said = {"kinds": ["event"], "fields": ["amount > 5"]}
    wish = Wish(stop=30, size=30, filter=said, selected=chosen)
    found = verifiers.judge(make_bundle(LOG, wish, [KEY]), [KEY.vkey])
    assert found.code == 0, found.text
    assert any("the exporter says so" in each for each in found.json["not_checked"])
    # What leaves do decide is decided all the same.
    other = next(i for i in range(30) if LOG.said(i)["kind"] != "event")
    wish = Wish(stop=30, size=30, filter=said, selected=tuple(sorted((*chosen, other))))
    found = verifiers.judge(make_bundle(LOG, wish, [KEY]), [KEY.vkey])
    assert ("selection.bin", other) in found.places


def ask_both(verifiers: Verifiers, proof: Path, leaf: Path, **keys: list[str]) -> dict[str, Any]:
    """Return what both say of a single proof."""
    arguments = ["--json", "--proof", str(proof), "--leaf", str(leaf)]
    arguments += [f"--{name}={key}" for name, each in keys.items() for key in each]
    said = ask_python(arguments)
    assert verifiers.ask_node(proof=str(proof), leaf=str(leaf), **keys) == said
    return said


@settings(EXAMPLES, max_examples=40)
@given(size=st.integers(1, 30), data=st.data())
def test_a_single_proof(
    verifiers: Verifiers,
    tmp_path_factory: pytest.TempPathFactory,
    size: int,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("proof")
    proof, leaf = folder / "a.tlog-proof", folder / "leaf.json"
    index = data.draw(st.integers(0, size - 1))
    content = make_proof(LOG, index, size, [KEY, WITNESS])
    if data.draw(st.booleans()):
        content = content.replace(b"\n", b"\nextra AAAA\n", 1)
    proof.write_bytes(content)
    leaf.write_bytes(LOG.leaves[index] + data.draw(st.sampled_from([b"", b"\n"])))
    keys = {"key": [KEY.vkey], "witness": [WITNESS.vkey]}
    assert ask_both(verifiers, proof, leaf, **keys)["exit_code"] == 0
    assert ask_both(verifiers, proof, leaf, key=[])["exit_code"] == 2
    other = data.draw(st.integers(0, 29).filter(lambda other: other != index))
    leaf.write_bytes(LOG.leaves[other])
    assert ask_both(verifiers, proof, leaf, **keys)["exit_code"] == 1
    leaf.write_bytes(LOG.leaves[index])
    changed = bytearray(content)
    at = data.draw(st.integers(0, len(content) - 1))
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    proof.write_bytes(bytes(changed))
    extra = content.split(b"\n")[1].startswith(b"extra ")
    loose = extra and content.index(b"\n") <= at <= content.index(b"\nindex ")
    assert ask_both(verifiers, proof, leaf, **keys)["exit_code"] in ((0, 1, 2) if loose else (1, 2))


def test_a_proof_that_carries_its_leaf(verifiers: Verifiers, tmp_path: Path) -> None:
    proof = tmp_path / "7.tlog-proof"
    plain = make_proof(LOG, 7, 20, [KEY])

    def carrying(leaf: bytes) -> bytes:
        return plain.replace(b"\n", b"\nextra " + base64.b64encode(leaf) + b"\n", 1)

    codes = {0: carrying(LOG.leaves[7]), 1: carrying(LOG.leaves[8]), 2: plain}
    for code, content in codes.items():
        proof.write_bytes(content)
        said = ask_python(["--json", "--proof", str(proof), "--key", KEY.vkey])
        assert verifiers.ask_node(proof=str(proof), key=[KEY.vkey]) == said
        assert said["exit_code"] == code


def test_a_proof_of_the_log_s_own_by_both(verifiers: Verifiers, tmp_path: Path) -> None:
    log = MemoryEventLog()
    log.append(drafts(0, 700))
    signer = make_signer(tmp_path)
    HeadSigner(signer, log).sign()
    proof = tmp_path / "300.tlog-proof"
    proof.write_bytes(prove_entry(log, log.read(300, 1)[0]).format())
    said = ask_python(["--json", "--proof", str(proof), "--key", signer.vkey])
    assert said["exit_code"] == 0, said
    assert verifiers.ask_node(proof=str(proof), key=[signer.vkey]) == said


def test_an_exporter_s_bundle_by_both(verifiers: Verifiers, tmp_path: Path) -> None:
    log = MemoryEventLog()
    log.append(drafts(0, 2_500))
    signer = make_signer(tmp_path)
    report = export_bundle(log, signer, tmp_path / "bundle", start=700, stop=2_400)
    said = verifiers.judge_folder(report.folder, report.keys)
    assert said.code == 0, said.text


# RFC 8032 section 7.1: public key, message, signature.
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
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18"
            "ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_ed25519_reference_vectors(
    verifiers: Verifiers, public: str, message: str, signature: str
) -> None:
    key, text, good = (bytes.fromhex(part) for part in (public, message, signature))
    assert verify.ed25519_verify(key, good, text)
    assert verifiers.ask_node(ed25519=[public, signature, message])
    assert not verify.ed25519_verify(key, good, text + b"x")
    assert not verifiers.ask_node(ed25519=[public, signature, message + "78"])


@settings(EXAMPLES, max_examples=40)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=80), data=st.data())
def test_ed25519_agrees_with_the_library(
    verifiers: Verifiers, seed: bytes, message: bytes, data: st.DataObject
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert verify.ed25519_verify(public, signature, message)
    flipped = bytearray(signature)
    flipped[data.draw(st.integers(0, 63))] ^= 1 << data.draw(st.integers(0, 7))
    assert not verify.ed25519_verify(public, bytes(flipped), message)
    assert not verifiers.ask_node(ed25519=[public.hex(), flipped.hex(), message.hex()])
    # The same signature with a larger scalar: RFC 8032 refuses it.
    scalar = int.from_bytes(signature[32:], "little") + verify.ORDER
    grown = signature[:32] + scalar.to_bytes(32, "little")
    assert not verify.ed25519_verify(public, grown, message)
    assert not verifiers.ask_node(ed25519=[public.hex(), grown.hex(), message.hex()])
