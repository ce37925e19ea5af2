"""The shared vectors: both verifiers say what stands beside each; the maker makes the same."""

import json
from pathlib import Path

import pytest

from tests.eventlog.verifier.both import Verifiers
from tests.eventlog.verifier.make_vectors import VECTORS, vectors, write

# What each is about, so that no mistake of both verifiers becomes what is expected.
CODES = {
    "whole": (0, None, None),
    "rich": (0, None, None),
    "no-key": (2, "", None),
    "no-trailer": (2, "trailer.note", None),
    "no-cosignature": (2, "checkpoint.txt", None),
    "wrong-key": (1, "manifest.note", None),
    "leaf-changed": (1, "leaves.jsonl", 4),
    "leaf-removed": (1, "leaves.jsonl", 5),
    "tail-cut": (2, "leaves.jsonl", None),
    "payloads-swapped": (1, "payloads.jsonl", 4),
    "left-out": (1, "selection.bin", None),
    "rewritten": (0, None, None),
    "rewritten-with-witness": (2, "checkpoint.txt", None),
    "rewritten-after-kept": (1, "--since 'rewritten-after-kept.checkpoint.txt'", None),
}


@pytest.mark.parametrize("name", sorted(CODES))
def test_both_say_what_is_expected(verifiers: Verifiers, name: str) -> None:
    told = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    since = told["since"] and VECTORS / told["since"]
    said = verifiers.judge_folder(
        VECTORS / name, told["keys"], witnesses=told["witnesses"], since=since
    )
    assert said.json == told["expected"]
    code, file, index = CODES[name]
    assert said.code == code
    if file is not None:
        assert file in said.files
    if index is not None:
        assert (file, index) in said.places


def test_the_vectors_are_those_of_the_maker(tmp_path: Path) -> None:
    assert sorted(vectors()) == sorted(CODES)
    write(tmp_path)
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    kept = {path.relative_to(VECTORS) for path in VECTORS.rglob("*") if path.is_file()}
    assert made == kept
    for name in made:
        assert (tmp_path / name).read_bytes() == (VECTORS / name).read_bytes(), name
