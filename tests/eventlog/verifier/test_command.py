"""`legacy-bridge log verify`: passes everything through, and is recorded where a log is at hand."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from bridge.model.entry import EntryKind
from tests.cli.deployment import Deployment
from tests.eventlog.verifier.bundle_maker import (
    Wish,
    make_bundle,
    make_log,
    make_proof,
    sign,
    write_files,
)
from tests.eventlog.verifier.tampering import KEY, SECOND_WITNESS, WITNESS

LOG = make_log(8)
FILES = make_bundle(LOG, Wish(stop=8, size=8, witnesses=(WITNESS,)), [KEY])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_files(tmp_path / "received", FILES)
    return tmp_path / "received"


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    (tmp_path / "deployment").mkdir()
    return Deployment(tmp_path / "deployment")


def test_every_option_reaches_the_verifier(deployment: Deployment, bundle: Path) -> None:
    kept = bundle.with_name("kept.txt")
    kept.write_bytes(sign(LOG.checkpoint_text(5), [KEY]))
    said = deployment.call(
        "log", "verify", str(bundle), "--key", KEY.vkey, "--key", KEY.vkey,
        "--witness", WITNESS.vkey, "--witness", SECOND_WITNESS.vkey, "--witnesses-min", "1",
        "--since", str(kept),
    )  # fmt: skip
    assert said.code == 2, said.out
    assert "cosigned by witness.example/w1+" in said.out
    assert "of size 5: this bundle cannot be compared with it" in said.out
    kept.write_bytes(sign(LOG.checkpoint_text(8), [KEY]))
    said = deployment.call(
        "log", "verify", str(bundle), "--key", KEY.vkey, "--since", str(kept), "--json"
    )
    assert (said.code, said.json()["verdict"]) == (0, "VERIFIED")


def test_the_proof_of_one_entry(deployment: Deployment, tmp_path: Path) -> None:
    proof, leaf = tmp_path / "4.tlog-proof", tmp_path / "4.json"
    proof.write_bytes(make_proof(LOG, 4, 8, [KEY]))
    leaf.write_bytes(LOG.leaves[4])
    options = ["--proof", str(proof), "--leaf", str(leaf), "--key", KEY.vkey]
    assert deployment.call("log", "verify", *options).code == 0
    leaf.write_bytes(LOG.leaves[5])
    assert deployment.call("log", "verify", *options).code == 1


def test_a_verification_is_an_entry_where_the_log_is_at_hand(
    deployment: Deployment, bundle: Path
) -> None:
    with deployment.stores() as stores:
        assert stores.event_log().head().size == 0
    (bundle / "trailer.note").unlink()
    said = deployment.call("log", "verify", str(bundle), "--key", KEY.vkey, "--actor", "ana")
    assert said.code == 2
    with deployment.stores() as stores:
        log = stores.event_log()
        (entry,) = log.read(log.head().size - 1, 1)
    assert entry.kind is EntryKind.ACCESS
    fields = json.loads(entry.leaf)["fields"]
    assert (fields["action"], fields["found"]) == ("verify", 1)
    digest = sha256(FILES["manifest.json"]).hexdigest()
    assert fields["query"] == {"verdict": "incomplete", "sha256": digest}


def test_without_a_log_at_hand_nothing_is_recorded(deployment: Deployment, bundle: Path) -> None:
    verify = ("log", "verify", str(bundle), "--key", KEY.vkey)
    assert deployment.call(*verify).code == 0
    deployment.config.unlink()
    assert deployment.call(*verify).code == 0
    assert not list(deployment.folder.rglob("log.db"))
