"""Bundles made to break a verifier: no breakdown, no green verdict, and both say the same."""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.eventlog.verifier.both import Said, Verifiers
from tests.eventlog.verifier.bundle_maker import (
    Wish,
    compact,
    make_bundle,
    make_log,
    seal_bundle,
    seal_bytes,
    sign,
    write_files,
)
from tests.eventlog.verifier.tampering import KEY, WITNESS

LOG = make_log(12, seed=5)
FILES = make_bundle(LOG, Wish(start=3, stop=10, size=12, checkpoints=(5,), disclose=True), [KEY])
MANIFEST: dict[str, Any] = json.loads(FILES["manifest.json"])


def resigned(change: dict[str, Any], **files: bytes) -> dict[str, bytes]:
    """Return the bundle with a changed manifest that the log's own key signed."""
    return seal_bundle({**FILES, **files}, {**MANIFEST, **change}, [KEY])


def judge(verifiers: Verifiers, files: dict[str, bytes]) -> Said:
    said = verifiers.judge(files, [KEY.vkey])
    assert said.code in (1, 2), said.text
    return said


def raw_manifest(data: bytes) -> dict[str, bytes]:
    """Return the bundle with any bytes as its signed manifest."""
    return seal_bytes(dict(FILES), data, MANIFEST, [KEY])


TEXT = json.dumps(MANIFEST)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[" * 200_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b"\xff\xfe{}",
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.encode("utf-16"),
        TEXT.replace('"minimum_index": 0', '"minimum_index": NaN').encode(),
        TEXT.replace('"minimum_index": 0', '"minimum_index": -1').encode(),
        TEXT.replace('"minimum_index": 0', '"minimum_index": 1e999').encode(),
        TEXT.replace('"minimum_index": 0', '"minimum_index": 0.5').encode(),
        TEXT.replace('"minimum_index": 0', '"minimum_index": 0, "minimum_index": 0').encode(),
        TEXT.replace('"start": 3', '"start": 3, "start": 3').encode(),
        TEXT.replace('"start": 3', '"start": true').encode(),
        TEXT.replace('"size": 12', '"size": 9007199254740993').encode(),
        TEXT.replace('"size": 12', '"size": ' + "9" * 5_000).encode(),
        TEXT.replace('"reason": "', '"reason": "\x01').encode(),
        TEXT.encode() + b"{}",
        TEXT.replace("{", "{,", 1).encode(),
    ],
)
def test_a_signed_manifest_of_any_bytes(verifiers: Verifiers, data: bytes) -> None:
    assert "manifest.json" in judge(verifiers, raw_manifest(data)).files


def test_numbers_written_in_other_ways_are_the_same_numbers(verifiers: Verifiers) -> None:
    data = TEXT.replace('"size": 12', '"size": 1.2e1').replace('"start": 3', '"start": 3.0')
    assert verifiers.judge(raw_manifest(data.encode()), [KEY.vkey]).code == 0


def test_every_value_of_the_manifest_may_be_nonsense(verifiers: Verifiers) -> None:
    strange: tuple[Any, ...] = (None, [], {}, "x", -1, 2**53, True, [[1]], {"size": 1}, 7.5)
    informative = {"actor", "created", "entry_id", "reason", "ticket"}
    for name in sorted(MANIFEST):
        for value in strange:
            files = raw_manifest(json.dumps({**MANIFEST, name: value}).encode())
            said = verifiers.judge(files, [KEY.vkey])
            allowed = {0, 1, 2} if name in informative or value == MANIFEST[name] else {1, 2}
            assert said.code in allowed, (name, value)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "/etc/passwd",
        "a//b",
        "./a",
        "a\\b",
        "C:evil",
        "a\nb",
        "",
        "\x1b[2J",
    ],
)
def test_a_manifest_cannot_name_files_outside(verifiers: Verifiers, name: str) -> None:
    files = {**MANIFEST["files"], name: MANIFEST["files"]["key.txt"]}
    said = judge(verifiers, resigned({"files": files}))
    assert said.code == 1
    assert "no path inside the bundle" in said.text
    assert "\x1b" not in said.text


@pytest.mark.parametrize("count", [10**9, 2**53 - 1])
def test_declared_counts_cost_nothing(verifiers: Verifiers, count: int) -> None:
    files = json.loads(json.dumps(MANIFEST["files"]))
    for name in ("leaves.jsonl", "payloads.jsonl", "hashes.bin"):
        files[name]["records"] = count - 3
    right = ["00" * 32] * (2**53 - 1 - count and (2**53 - 1 - count).bit_count())
    change = {
        "range": {"start": 3, "stop": count},
        "head": {"size": 2**53 - 1, "root": "00" * 32},
        "selection": {"count": count - 3, "provable": True},
        "files": files,
        "proof": {"left": MANIFEST["proof"]["left"], "right": right},
    }
    assert judge(verifiers, resigned(change)).code in (1, 2)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("leaves.jsonl", b"[" * 200_000 + b"\n"),
        ("leaves.jsonl", b"x" * 3_000_000),
        ("leaves.jsonl", FILES["leaves.jsonl"].replace(b"\n", b"\r\n")),
        ("leaves.jsonl", b"\n" * 7),
        ("leaves.jsonl", b"\x00" * 5_000),
        ("payloads.jsonl", b"x" * 3_000_000),
        ("payloads.jsonl", b"\xff" * 10),
        ("hashes.bin", b"\x00" * 224),
        ("hashes.bin", b""),
        ("checkpoint.txt", b"\xff\xfe"),
        ("checkpoint.txt", FILES["checkpoint.txt"].replace(b"\n", b"\r\n")),
        ("checkpoint.txt", FILES["checkpoint.txt"] * 1_000),
        ("checkpoint.txt", b"\n\n"),
        ("checkpoint.txt", b"x" * (1 << 21)),
        ("manifest.note", b"\xe2\x80\x94 \n\n\xe2\x80\x94 a b\n"),
        ("trailer.note", b"\x00" * 100),
        ("disclosed.jsonl", b"{}\n" * 10),
        ("disclosed.jsonl", b"[" * 100_000),
    ],
)
def test_any_bytes_as_a_file(verifiers: Verifiers, name: str, data: bytes) -> None:
    assert name in judge(verifiers, {**FILES, name: data}).files


def test_a_note_of_many_signatures_is_refused_before_they_are_checked(
    verifiers: Verifiers,
) -> None:
    text = LOG.checkpoint_text(12)
    note = f"{text}\n{KEY.line(text) * 101}".encode()
    assert "more than 100 signatures" in judge(verifiers, {**FILES, "checkpoint.txt": note}).text


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link", "pipe", "linked folder"])
def test_what_is_no_regular_file_is_not_opened(verifiers: Verifiers, kind: str) -> None:
    for name in ("leaves.jsonl", "manifest.json", "checkpoints/5.txt", "trailer.note"):
        folder = verifiers.scratch.with_name(f"odd-{kind}-{name.replace('/', '-')}")
        write_files(folder, FILES)
        path = folder / name
        path.unlink()
        outside = folder.with_name("outside")
        write_files(outside, {name: FILES[name], Path(name).name: FILES[name]})
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "linked folder" and "/" in name:
            path.parent.rmdir()
            path.parent.symlink_to(outside / "checkpoints")
        else:
            path.symlink_to(outside / Path(name).name if kind == "link" else "nowhere")
        said = verifiers.judge_folder(folder, [KEY.vkey])
        assert said.code == 2, said.text
        assert name in said.files


def test_names_on_the_disk_are_shown_without_their_tricks(verifiers: Verifiers) -> None:
    said = verifiers.judge({**FILES, "\x1b[2Jx\u202e": b"", "監査.txt": b""}, [KEY.vkey])
    assert said.code == 0, said.text
    shown = "\n".join(said.json["facts"])
    assert "\\u001b[2Jx\\u202e" in shown
    assert "'監査.txt': not in the manifest and not looked at" in shown


def test_texts_of_the_manifest_are_shown_without_their_tricks(verifiers: Verifiers) -> None:
    change = {"reason": "a\x1b[31m\ud800\u202e" + "山" * 500, "ticket": ["x"]}
    files = raw_manifest(json.dumps({**MANIFEST, **change}).encode())
    said = verifiers.judge(files, [KEY.vkey])
    assert said.code == 0
    assert f"reason 'a\\u001b[31m\\ud800\\u202e{'山' * 192}'…, ticket (none)" in said.text.replace(
        "\\\\", "\\"
    )


def selected_anew(leaf: bytes) -> dict[str, bytes]:
    """Return a bundle under a filter over a log whose entry 1 has this leaf."""
    log = make_log(3, seed=2)
    log.leaves[1] = leaf
    wish = Wish(stop=3, size=3, filter={"kinds": ["nothing"]}, selected=())
    return make_bundle(log, wish, [KEY])


@pytest.mark.parametrize(
    ("leaf", "wrong"),
    [
        (b'{"v":2,"index":1,"kind":"x"}', False),
        (b'{"kind":"nothing","index":1,"kind":"x"}', False),
        (b'{"kind":"x","n":1e999,"big":' + b"9" * 5_000 + b',"index":1,"v":2}', False),
        (b'{"kind":"x","n":NaN,"index":1,"v":2}', True),
        (b'{"kind":"x","deep":' + b"[" * 950 + b"]" * 950 + b',"index":1,"v":2}', True),
        (b'{"kind":"x","deep":' + b"[" * 800 + b"]" * 800 + b',"index":1,"v":2}', False),
        (b'{"kind":"nothing","index":1,"v":2}', True),
        (b'{"kind":["nothing"],"fields":7,"index":1,"v":2}', False),
        (b'{"kind":"\xff","index":1,"v":2}', True),
        (b'{"__proto__":{"kind":"nothing"},"index":1,"v":2}', False),
        (b'["index",{"index":1,"a":",\\"index\\":1,"},1,"index",1]', True),
        (b'{"kind":"x","v":2}', True),
    ],
)
def test_any_leaf_under_a_filter(verifiers: Verifiers, leaf: bytes, wrong: bool) -> None:
    said = judge(verifiers, selected_anew(leaf))
    # Nothing is selected, so it is never green.
    assert said.code == (1 if wrong else 2), said.text


@pytest.mark.parametrize("value", [2**53, 2**63, 2**64 - 1, 0])
def test_a_selection_out_of_order(verifiers: Verifiers, value: int) -> None:
    chosen = tuple(i for i in range(12) if LOG.said(i)["entity"] == "e1")
    wish = Wish(stop=12, size=12, filter={"entities": ["e1"]}, selected=chosen)
    files = make_bundle(LOG, wish, [KEY])
    data = files["selection.bin"][:-8] + value.to_bytes(8, "big")
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["selection.bin"]["sha256"] = sha256(data).hexdigest()
    said = judge(verifiers, seal_bundle({**files, "selection.bin": data}, manifest, [KEY]))
    assert said.code == 1
    assert f"holds {value}, out of order" in said.text


def test_no_entries_are_never_verified(verifiers: Verifiers) -> None:
    for change in (
        {"range": {"start": 3, "stop": 3}},
        {"range": {"start": 0, "stop": 0}, "head": {"size": 0, "root": sha256().hexdigest()}},
    ):
        said = judge(verifiers, resigned(change))
        assert said.code == 2
        assert "no entries" in said.text


@pytest.mark.parametrize(
    "line",
    [
        {"index": 2, "item": 0, "plaintext": ""},
        {"index": 11, "item": 0, "plaintext": "AAAA"},
        {"index": 4, "item": 2**53, "plaintext": "AAAA"},
        {"index": 4, "item": 99, "plaintext": "AAAA"},
        {"index": 4, "item": 0, "plaintext": "AAA"},
        {"index": 4, "item": 0, "plaintext": None},
    ],
)
def test_a_signed_disclosure_of_what_was_never_sealed(
    verifiers: Verifiers, line: dict[str, Any]
) -> None:
    data = compact(line) + b"\n"
    files = {name: dict(said) for name, said in MANIFEST["files"].items()}
    files["disclosed.jsonl"] |= {"bytes": len(data), "sha256": sha256(data).hexdigest()}
    said = judge(verifiers, resigned({"files": files}, **{"disclosed.jsonl": data}))
    assert said.files == {"disclosed.jsonl"}


@pytest.mark.parametrize(
    "vkey",
    ["", " ", "nonsense", "a+00000000+AAAA", KEY.vkey[:-1], KEY.vkey + "A", "\x1b+\x1b+\x1b",
     WITNESS.vkey, KEY.vkey.replace("+", " ", 1), KEY.vkey.replace("test", "tést")],
)  # fmt: skip
def test_an_unreadable_key_verifies_nothing(verifiers: Verifiers, vkey: str) -> None:
    said = verifiers.judge(dict(FILES), [vkey])
    assert said.code == 2
    assert "\x1b" not in said.text


@pytest.mark.parametrize("data", [b"", b"\xff", b"nonsense\n", KEY.vkey.encode() + b"\nx"])
def test_any_key_file_without_a_key_from_outside(verifiers: Verifiers, data: bytes) -> None:
    assert verifiers.judge({**FILES, "key.txt": data}, []).code == 2


def test_a_checkpoint_of_the_receiver_s_may_be_anything(
    verifiers: Verifiers, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.txt"
    text = LOG.checkpoint_text(12)
    for data in (b"", b"\xff", b"\n\n\n", sign("a\nb\nc\n", [KEY]), sign(text, [])):
        kept.write_bytes(data)
        assert verifiers.judge(dict(FILES), [KEY.vkey], since=kept).code == 2
    kept.unlink()
    assert verifiers.judge(dict(FILES), [KEY.vkey], since=kept).code == 2
    assert verifiers.judge(dict(FILES), [KEY.vkey], since=tmp_path).code == 2
