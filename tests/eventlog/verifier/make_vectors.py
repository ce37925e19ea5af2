"""The shared vectors: small bundles and what every verifier says of them, made always the same.

`python -m tests.eventlog.verifier.make_vectors` writes `vectors/`: a folder for each bundle beside
`NAME.json` with the verdict, the options that lead to it, and the findings. A third implementation
needs only these files.
"""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.eventlog.verifier.both import ask_python
from tests.eventlog.verifier.bundle_maker import (
    MadeLog,
    Wish,
    make_bundle,
    make_log,
    sign,
    write_files,
)
from tests.eventlog.verifier.tampering import (
    KEY,
    LATER_KEY,
    SECOND_WITNESS,
    STRANGER,
    WITNESS,
    fits,
    rewritten,
)

VECTORS = Path(__file__).with_name("vectors")
LOG = make_log(13, seed=20)
FILTER = {"kinds": ["event"], "time": {"from": "2026-11-21T13:00:02.000000Z", "to": None}}
CHOSEN = tuple(index for index in range(3, 11) if fits(LOG, index, FILTER))
RICH = Wish(
    start=3,
    stop=11,
    size=13,
    filter=FILTER,
    selected=CHOSEN,
    since=7,
    checkpoints=(5, 11),
    witnesses=(WITNESS, SECOND_WITNESS),
    tokens=True,
    disclose=True,
    extra={"views/entries.csv": b"index\r\n3\r\n"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """A bundle, and how it is verified."""

    files: dict[str, bytes]
    keys: tuple[str, ...] = (KEY.vkey,)
    witnesses: tuple[str, ...] = ()
    kept: bytes | None = None


def _whole(log: MadeLog = LOG) -> dict[str, bytes]:
    return make_bundle(log, Wish(stop=13, size=13), [KEY])


def _lines(files: dict[str, bytes], name: str) -> list[bytes]:
    return files[name].splitlines(keepends=True)


def vectors() -> dict[str, Vector]:
    """Return every vector by its name."""
    whole, rich = _whole(), make_bundle(LOG, RICH, [KEY, LATER_KEY])
    leaves, payloads = _lines(whole, "leaves.jsonl"), _lines(whole, "payloads.jsonl")
    both = (WITNESS.vkey, SECOND_WITNESS.vkey)
    kept = sign(LOG.checkpoint_text(7), [KEY])
    forged = make_bundle(rewritten(LOG, 6), Wish(stop=13, size=13), [KEY])
    without = {name: data for name, data in whole.items() if name != "trailer.note"}
    left_out = make_bundle(
        LOG, Wish(start=3, stop=11, size=13, filter=FILTER, selected=CHOSEN[1:]), [KEY]
    )
    changed = leaves[4].replace(b'"kind":', b'"kinD":')
    swapped = [*payloads[:4], payloads[5], payloads[4], *payloads[6:]]
    return {
        "whole": Vector(files=whole),
        "rich": Vector(files=rich, keys=(KEY.vkey, LATER_KEY.vkey), witnesses=both, kept=kept),
        "no-key": Vector(files=whole, keys=()),
        "no-trailer": Vector(files=without),
        "no-cosignature": Vector(files=whole, witnesses=both),
        "wrong-key": Vector(files=whole, keys=(STRANGER.vkey,)),
        "leaf-changed": Vector(
            files={**whole, "leaves.jsonl": b"".join([*leaves[:4], changed, *leaves[5:]])}
        ),
        "leaf-removed": Vector(files={**whole, "leaves.jsonl": b"".join(leaves[:5] + leaves[6:])}),
        "tail-cut": Vector(files={**whole, "leaves.jsonl": b"".join(leaves[:9])}),
        "payloads-swapped": Vector(files={**whole, "payloads.jsonl": b"".join(swapped)}),
        "left-out": Vector(files=left_out),
        "rewritten": Vector(files=forged),
        "rewritten-with-witness": Vector(files=forged, witnesses=both[:1]),
        "rewritten-after-kept": Vector(files=forged, kept=sign(LOG.checkpoint_text(13), [KEY])),
    }


def write(folder: Path) -> None:
    """Write every vector and what verify.py says of it."""
    for name, vector in vectors().items():
        write_files(folder / name, vector.files)
        arguments = [str(folder / name), "--json"]
        arguments += [f"--key={key}" for key in vector.keys]
        arguments += [f"--witness={key}" for key in vector.witnesses]
        if vector.kept is not None:
            (folder / f"{name}.checkpoint.txt").write_bytes(vector.kept)
            arguments.append(f"--since={folder / f'{name}.checkpoint.txt'}")
        told: dict[str, Any] = {
            "keys": vector.keys,
            "witnesses": vector.witnesses,
            "since": None if vector.kept is None else f"{name}.checkpoint.txt",
            "expected": ask_python(arguments),
        }
        text = json.dumps(told, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    shutil.rmtree(VECTORS, ignore_errors=True)
    write(VECTORS)
    sys.exit(0)
