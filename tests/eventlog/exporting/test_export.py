"""Exports: complete or not there, recorded always, and as docs/bundle-format.md says."""

import json
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.exporting.evidence import CHECKPOINTS_MAX, checkpoint_sizes
from bridge.eventlog.exporting.export import ExportReport
from bridge.eventlog.exporting.order import View
from bridge.eventlog.inspection import inspect_log
from bridge.eventlog.merkle import check_consistency
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import HeadSigner, parse_checkpoint
from bridge.eventlog.signing.note import open_note
from bridge.eventlog.signing.signer import Signer
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, LogCorrupt
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import drafts
from tests.eventlog.exporting.orders import check_verifies, make_bundle, make_means, make_signer


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return make_signer(tmp_path)


def manifest(report: ExportReport) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((report.folder / "manifest.json").read_bytes())
    return told


def exports(log: EventLogStore) -> list[dict[str, Any]]:
    """Return the leaves of all entries about exports."""
    entries = log.read(0, log.head().size)
    return [json.loads(entry.leaf) for entry in entries if entry.kind is EntryKind.EXPORT]


def test_an_export_of_each_store_verifies(
    log: EventLogStore, signer: Signer, tmp_path: Path
) -> None:
    log.append(drafts(0, 2_300))
    report = make_bundle(log, signer, tmp_path / "bundle")
    assert report.head.size == 2_301
    assert sorted(path.name for path in report.folder.iterdir()) == [
        "checkpoint.txt",
        "hashes.bin",
        "key.txt",
        "leaves.jsonl",
        "manifest.json",
        "manifest.note",
        "payloads.jsonl",
        "trailer.note",
    ]
    check_verifies(report.folder, report.keys[0])
    assert inspect_log(log).size == 2_302  # The end of the export is an entry, too.


def test_manifest_and_trailer_name_every_file_exactly(signer: Signer, tmp_path: Path) -> None:
    log = MemoryEventLog()
    log.append(drafts(0, 30))
    report = make_bundle(log, signer, tmp_path / "bundle", views=(View.CSV,))
    told = manifest(report)
    found = {
        path.relative_to(report.folder).as_posix(): path.read_bytes()
        for path in report.folder.rglob("*")
        if path.is_file()
    }
    unlisted = {
        name: found.pop(name) for name in ("manifest.json", "manifest.note", "trailer.note")
    }
    assert {name: (file["bytes"], file["sha256"]) for name, file in told["files"].items()} == {
        name: (len(data), sha256(data).hexdigest()) for name, data in found.items()
    }
    digest = sha256(unlisted["manifest.json"]).hexdigest()
    assert open_note(unlisted["manifest.note"], signer.key) == (
        f"legacy-bridge export manifest v2\n{len(unlisted['manifest.json'])}\n{digest}\n"
    )
    assert open_note(unlisted["trailer.note"], signer.key) == (
        f"legacy-bridge export trailer v2\n{digest}\n{len(found)}\n31\n31\n"
    )
    assert report.manifest_sha256 == digest


def test_an_export_is_recorded_before_and_after(signer: Signer, tmp_path: Path) -> None:
    log = MemoryEventLog()
    report = make_bundle(log, signer, tmp_path / "bundle")
    started, ended = exports(log)
    assert started["id"] == report.entry_id == manifest(report)["entry_id"]
    assert (started["fields"]["action"], started["fields"]["ticket"]) == ("export-start", "AUDIT-7")
    assert started["fields"]["actor"] == {"id": "ana", "known": "login", "type": "person"}
    assert (ended["fields"]["action"], ended["fields"]["outcome"]) == ("export", "done")
    assert ended["fields"]["started"] == started["id"]
    assert ended["fields"]["manifest_sha256"] == report.manifest_sha256
    entry = log.find(report.entry_id)
    assert entry is not None
    assert json.loads(entry.payload)["reason"] == "yearly audit"
    assert b"yearly audit" not in entry.leaf
    # The bundle of the whole log holds the entry that it was asked for.
    assert (report.folder / "leaves.jsonl").read_bytes() == entry.leaf + b"\n"


def test_a_refused_export_is_recorded_and_leaves_nothing(signer: Signer, tmp_path: Path) -> None:
    log = MemoryEventLog()
    with pytest.raises(ConfigInvalid, match="the log has entries 0 to 0"):
        make_bundle(log, signer, tmp_path / "bundle", start=5)
    outcomes = [(leaf["fields"]["action"], leaf["fields"]["outcome"]) for leaf in exports(log)]
    assert outcomes == [("export-start", "done"), ("export", "refused")]
    assert not list(tmp_path.glob("*bundle*"))


def test_an_export_overwrites_nothing(signer: Signer, tmp_path: Path) -> None:
    log = MemoryEventLog()
    (tmp_path / "bundle").mkdir()
    with pytest.raises(ConfigInvalid, match="it exists"):
        make_bundle(log, signer, tmp_path / "bundle")
    assert [leaf["fields"]["error"] for leaf in exports(log)] == ["ConfigInvalid"]


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (7, 300), (256, 512), (511, 513), (299, 300)])
def test_any_range_is_proven(signer: Signer, tmp_path: Path, start: int, stop: int) -> None:
    log = MemoryEventLog()
    log.append(drafts(0, 700))
    report = make_bundle(log, signer, tmp_path / "bundle", start=start, stop=stop)
    assert (report.start, report.stop, report.selected) == (start, stop, stop - start)
    check_verifies(report.folder, report.keys[0])


def signed_log(signer: Signer) -> MemoryEventLog:
    """Return a log of 500 entries, signed after each hundred."""
    log = MemoryEventLog()
    for first in range(0, 500, 100):
        log.append(drafts(first, first + 100))
        HeadSigner(signer, log).sign()
    return log


def test_earlier_checkpoints_are_in_the_bundle(signer: Signer, tmp_path: Path) -> None:
    log = signed_log(signer)
    report = make_bundle(log, signer, tmp_path / "bundle", start=100, stop=450)
    names = sorted(path.name for path in (report.folder / "checkpoints").iterdir())
    assert names == ["200.txt", "300.txt", "400.txt"]
    check_verifies(report.folder, report.keys[0])


def test_of_very_many_checkpoints_some_are_in_the_bundle(signer: Signer) -> None:
    log = MemoryEventLog()
    for size in [*range(2, 9_000, 3), 8_999]:
        log.add_checkpoint(size, b"")
    sizes = checkpoint_sizes(log, 1, 8_000)
    assert len(sizes) <= CHECKPOINTS_MAX
    assert len(sizes) > CHECKPOINTS_MAX * 0.95
    assert (sizes[0], sizes[-1]) == (2, 7_998 - 7_998 % 3 + 2)
    assert max(after - before for before, after in pairwise(sizes)) <= 16


def test_tokens_are_in_the_bundle(signer: Signer, tmp_path: Path) -> None:
    log = signed_log(signer)
    log.add_token(300, "tsa", b"a token")
    log.add_token(500, "other tsa", b"another token")
    log.add_token(501, "tsa", b"a later token")  # Over the head that the export signs.
    report = make_bundle(log, signer, tmp_path / "bundle")
    assert (report.folder / "tokens/300/tsa.tsr").read_bytes() == b"a token"
    # A name that a path cannot have is written as hex.
    name = b"other tsa".hex()
    assert (report.folder / f"tokens/500/{name}.tsr").read_bytes() == b"another token"
    assert (report.folder / "tokens/501/tsa.tsr").read_bytes() == b"a later token"
    assert report.tokens == 3


def test_a_checkpoint_that_does_not_fit_the_log_is_not_exported(
    signer: Signer, tmp_path: Path
) -> None:
    log = MemoryEventLog()
    log.append(drafts(0, 300))
    other = MemoryEventLog()
    other.append(drafts(1_000, 1_200))
    (tmp_path / "other").mkdir()
    _, forged = HeadSigner(make_signer(tmp_path / "other"), other).sign()
    log.add_checkpoint(200, forged)
    with pytest.raises(LogCorrupt, match="its first 200 entries"):
        make_bundle(log, signer, tmp_path / "bundle")
    assert not list(tmp_path.glob("*bundle*"))
    assert exports(log)[-1]["fields"]["outcome"] == "failed"


def test_the_bundle_continues_the_receiver_s_checkpoint(signer: Signer, tmp_path: Path) -> None:
    log = MemoryEventLog()
    log.append(drafts(0, 77))
    earlier, note = HeadSigner(signer, log).sign()
    log.append(drafts(77, 300))
    report = make_bundle(log, signer, tmp_path / "bundle", since=note)
    since = manifest(report)["since"]
    assert (since["size"], since["root"]) == (77, earlier.root.hex())
    assert check_consistency(
        77, earlier.root, report.head.size, report.head.root,
        [bytes.fromhex(node) for node in since["proof"]],
    )  # fmt: skip
    check_verifies(report.folder, report.keys[0])


def test_no_bundle_for_who_has_another_history(signer: Signer, tmp_path: Path) -> None:
    log, other = MemoryEventLog(), MemoryEventLog()
    log.append(drafts(0, 300))
    other.append(drafts(1, 100))
    (tmp_path / "other").mkdir()
    _, note = HeadSigner(make_signer(tmp_path / "other"), other).sign()
    with pytest.raises(LogCorrupt, match="another history"):
        make_bundle(log, signer, tmp_path / "bundle", since=note)
    with pytest.raises(ConfigInvalid, match="read a note"):
        make_bundle(log, signer, tmp_path / "bundle", since=b"nothing")


def test_signatures_of_witnesses_are_in_the_bundle(signer: Signer, tmp_path: Path) -> None:
    log = MemoryEventLog()

    def cosign(size: int, note: bytes) -> bytes:
        assert parse_checkpoint(open_note(note, signer.key))[1].size == size
        return note + "— witness.example AAAAAAAAAAA=\n".encode()

    report = make_bundle(
        log, signer, tmp_path / "bundle", means=make_means(log, signer, cosign=cosign)
    )
    assert report.cosignatures == 1
    assert (report.folder / "checkpoint.txt").read_text().count("\n— ") == 2
