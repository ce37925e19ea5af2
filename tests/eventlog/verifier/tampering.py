"""Random logs, random bundles of them, and random ways to tamper with these.

A tampering returns the changed files and what a verifier has to name: a file, and where the format
allows it, the entry.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from hypothesis import strategies as st

from tests.eventlog.verifier.bundle_maker import (
    KINDS,
    MadeLog,
    SigningKey,
    Wish,
    compact,
    key_from,
    make_bundle,
    make_log,
    seal_bundle,
    sign,
)

Draw = Callable[[st.SearchStrategy[Any]], Any]

KEY, LATER_KEY, STRANGER = key_from(1), key_from(2), key_from(9)
WITNESS = key_from(3, name="witness.example/w1", witness=True)
SECOND_WITNESS = key_from(4, name="witness.example/w2", witness=True)
LINE_FILES = ("leaves.jsonl", "payloads.jsonl", "disclosed.jsonl")
RECORD_BYTES = {"hashes.bin": 32, "selection.bin": 8}
ENTRY_FILES = ("leaves.jsonl", "payloads.jsonl", "hashes.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Honest:
    """An honest bundle and what it was made of."""

    log: MadeLog
    wish: Wish
    keys: list[SigningKey]
    files: dict[str, bytes]

    @property
    def chosen(self) -> list[int]:
        """The indices of the selected entries."""
        if self.wish.selected is not None:
            return [*self.wish.selected]
        return list(range(self.wish.start, self.wish.stop))

    @property
    def vkeys(self) -> list[str]:
        """The log's keys, as an auditor has them."""
        return [key.vkey for key in self.keys]

    @property
    def witnesses(self) -> list[str]:
        """The witnesses' keys, as an auditor has them."""
        return [key.vkey for key in self.wish.witnesses]

    def records(self, name: str) -> list[bytes]:
        """Return a file of entries as its lines or records."""
        data = self.files[name]
        if name in LINE_FILES:
            return data.splitlines(keepends=True)
        size = RECORD_BYTES[name]
        return [data[at : at + size] for at in range(0, len(data), size)]

    def index_of(self, name: str, place: int) -> int:
        """Return the index of the entry that record `place` of a file belongs to."""
        if name in ("payloads.jsonl", "selection.bin"):
            return self.chosen[place]
        return self.wish.start + place


@dataclass(frozen=True, slots=True, kw_only=True)
class Tampering:
    """Changed files, and what has to be found."""

    files: dict[str, bytes]
    named: str | None
    """A file that a finding names; None: any."""
    index: int | None = None
    """The entry that it names, where that is certain."""
    codes: frozenset[int] = frozenset({1})
    kept: bytes | None = None
    """A checkpoint that the auditor kept."""
    options: dict[str, Any] = field(default_factory=dict)


def fits(log: MadeLog, index: int, said: dict[str, Any]) -> bool:
    """Return whether an entry fits a filter by kinds, entities and time: the page, naively."""
    leaf = log.said(index)
    if "kinds" in said and leaf["kind"] not in said["kinds"]:
        return False
    if "entities" in said and leaf["entity"] not in said["entities"]:
        return False
    if "actors" in said and leaf["fields"].get("actor", {}).get("id") not in said["actors"]:
        return False
    if "time" not in said:
        return True
    whole, _, digits = leaf["fields"]["time"].rstrip("Z").partition(".")
    moment = f"{whole}.{digits[:6].ljust(6, '0')}Z"
    return bool((said["time"]["from"] or "") <= moment < (said["time"]["to"] or "~"))


@st.composite
def filters(draw: st.DrawFn) -> dict[str, Any]:
    """Return a filter that leaves alone decide."""
    said: dict[str, Any] = {}
    if draw(st.booleans()):
        said["kinds"] = draw(st.lists(st.sampled_from(sorted(set(KINDS))), min_size=1, max_size=3))
    if draw(st.booleans()):
        said["entities"] = draw(st.lists(st.sampled_from(["e0", "e1", "e2"]), min_size=1))
    if draw(st.booleans()):
        bounds = st.none() | st.integers(0, 59).map(lambda s: f"2026-11-21T13:00:{s:02d}.500000Z")
        said["time"] = {"from": draw(bounds), "to": draw(bounds)}
    return said or {"actors": ["ana"]}


@st.composite
def honest_bundles(draw: st.DrawFn, keys_max: int = 2) -> Honest:
    """Return a bundle of a random log with random features."""
    size = draw(st.integers(1, 48))
    log = make_log(size, draw(st.integers(0, 10**6)))
    start = draw(st.integers(0, size - 1))
    stop = draw(st.integers(start + 1, size))
    said = draw(st.none() | filters())
    chosen = tuple(i for i in range(start, stop) if said and fits(log, i, said))
    places = st.sets(st.integers(start + 1, stop), max_size=3)
    wish = Wish(
        start=start,
        stop=stop,
        size=size,
        filter=said,
        selected=None if said is None else chosen,
        since=draw(st.none() | st.integers(1, size)),
        checkpoints=tuple(sorted(draw(places))),
        witnesses=draw(st.sampled_from([(), (WITNESS,), (WITNESS, SECOND_WITNESS)])),
        tokens=draw(st.booleans()),
        disclose=draw(st.booleans()),
        extra={"views/entries.csv": b"a,b\r\n1,2\r\n", "contracts/o/1.0/contract.json": b"{}\n"},
    )
    keys = [KEY, LATER_KEY][: draw(st.integers(1, keys_max))]
    return Honest(log=log, wish=wish, keys=keys, files=make_bundle(log, wish, keys))


def flip(draw: Draw, made: Honest) -> Tampering:
    """Flip one bit of one file."""
    name = draw(st.sampled_from(sorted(name for name, data in made.files.items() if data)))
    content = bytearray(made.files[name])
    at = draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << draw(st.integers(0, 7))
    index = None
    if name in ENTRY_FILES and at < len(content) - 1:
        place = at // 32 if name == "hashes.bin" else made.files[name][:at].count(b"\n")
        index = made.index_of(name, place)
    # Only of a note's or a file's last byte can nobody say whether it was cut or changed.
    loose = name.endswith((".note", ".txt")) or at == len(content) - 1
    codes = frozenset({1, 2}) if loose else frozenset({1})
    return Tampering(
        files={**made.files, name: bytes(content)}, named=name, index=index, codes=codes
    )


def _changed_records(made: Honest, name: str, records: list[bytes], at: int) -> Tampering:
    index = None
    if name in ("leaves.jsonl", "payloads.jsonl") and at < len(made.records(name)):
        index = made.index_of(name, at)
    files = {**made.files, name: b"".join(records)}
    return Tampering(files=files, named=name, index=index, codes=frozenset({1}))


def _file_of_records(draw: Draw, made: Honest, least: int) -> tuple[str, list[bytes]] | None:
    names = [*LINE_FILES, *RECORD_BYTES]
    found = [name for name in names if made.files.get(name) and len(made.records(name)) >= least]
    if not found:
        return None
    name = draw(st.sampled_from(found))
    return name, made.records(name)


def delete(draw: Draw, made: Honest) -> Tampering | None:
    """Take out a record that is not the last."""
    if (found := _file_of_records(draw, made, 2)) is None:
        return None
    name, records = found
    at = draw(st.integers(0, len(records) - 2))
    return _changed_records(made, name, records[:at] + records[at + 1 :], at)


def insert(draw: Draw, made: Honest) -> Tampering | None:
    """Put in a record that is none of the log's, or one that stands elsewhere."""
    if (found := _file_of_records(draw, made, 1)) is None:
        return None
    name, records = found
    at = draw(st.integers(0, len(records)))
    record = records[draw(st.integers(0, len(records) - 1))]
    if at < len(records) and draw(st.booleans()):
        record = record[:-2] + b"?" + record[-1:]
    return _changed_records(made, name, [*records[:at], b"x" + record[1:], *records[at:]], at)


def swap(draw: Draw, made: Honest) -> Tampering | None:
    """Exchange two records: of payloads, this is the payload swap."""
    if (found := _file_of_records(draw, made, 2)) is None:
        return None
    name, records = found
    first = draw(st.integers(0, len(records) - 2))
    second = draw(st.integers(first + 1, len(records) - 1))
    records[first], records[second] = records[second], records[first]
    return _changed_records(made, name, records, first)


def truncate(draw: Draw, made: Honest) -> Tampering:
    """Cut the tail of a file, at any byte."""
    name = draw(st.sampled_from(sorted(name for name, data in made.files.items() if data)))
    data = made.files[name]
    cut = data[: draw(st.integers(0, len(data) - 1))]
    return Tampering(files={**made.files, name: cut}, named=name, codes=frozenset({1, 2}))


def truncate_alike(draw: Draw, made: Honest) -> Tampering | None:
    """Cut the newest entries out of all files of entries."""
    count = made.wish.stop - made.wish.start
    if made.wish.filter is not None or count < 2:
        return None
    keep = draw(st.integers(1, count - 1))
    files = {name: b"".join(made.records(name)[:keep]) for name in ENTRY_FILES}
    return Tampering(files={**made.files, **files}, named="leaves.jsonl", codes=frozenset({2}))


def remove_file(draw: Draw, made: Honest) -> Tampering:
    """Take away a whole file."""
    name = draw(st.sampled_from(sorted(made.files)))
    files = {each: data for each, data in made.files.items() if each != name}
    return Tampering(files=files, named=name, codes=frozenset({2}))


def rewritten(log: MadeLog, index: int) -> MadeLog:
    """Return another history: from entry `index` on another payload."""
    payload = log.payloads[index][:-1] + b',"x":1}'
    leaf = log.said(index) | {"data_sha256": sha256(payload).hexdigest()}
    leaves, payloads = [*log.leaves], [*log.payloads]
    leaves[index], payloads[index] = compact(leaf), payload
    return MadeLog(leaves, payloads, log.plaintexts)


def rewrite_all(draw: Draw, made: Honest) -> Tampering:
    """Rewrite the log and sign everything anew with the operator's own key, as only he can.

    Found by the cosignature of a witness, which he cannot make, or by a checkpoint that was kept.
    """
    wish = made.wish
    changed = rewritten(made.log, draw(st.integers(0, wish.stop - 1)))
    way = draw(st.sampled_from(["no cosignature", "old cosignature", "kept checkpoint"]))
    forged = make_bundle(changed, replace(wish, witnesses=(), checkpoints=()), made.keys)
    options = {"witnesses": [WITNESS.vkey], "witnesses_min": 1}
    if way == "kept checkpoint":
        kept = sign(made.log.checkpoint_text(wish.size), made.keys)
        return Tampering(files=forged, named=None, kept=kept, options={"witnesses": []})
    if way == "no cosignature":
        return Tampering(
            files=forged, named="checkpoint.txt", codes=frozenset({2}), options=options
        )
    line = WITNESS.line(made.log.checkpoint_text(wish.size))
    forged["checkpoint.txt"] += line.encode()
    return Tampering(files=forged, named="checkpoint.txt", options=options)


def splice(draw: Draw, made: Honest) -> Tampering:
    """Put files of another log's bundle, signed by the same keys, among those of this one."""
    other = make_log(len(made.log.leaves), 1 + draw(st.integers(10**6, 2 * 10**6)))
    wish = replace(made.wish, selected=None, filter=None)
    theirs = make_bundle(other, wish, made.keys)
    names = sorted(name for name in theirs if made.files.get(name) not in (None, theirs[name]))
    taken = draw(st.sets(st.sampled_from(names), min_size=1, max_size=max(1, len(names) - 1)))
    return Tampering(
        files={**made.files, **{name: theirs[name] for name in taken}},
        named=None,
        codes=frozenset({1, 2}),
    )


def swap_key(draw: Draw, made: Honest) -> Tampering:
    """Make the same bundle anew with a key of one's own, under the same name."""
    forged = make_bundle(made.log, made.wish, [STRANGER])
    return Tampering(files=forged, named=draw(st.just("manifest.note")))


def leave_out(draw: Draw, made: Honest) -> Tampering | None:
    """Leave out, or add, an entry under a provable filter, and sign that."""
    wish = made.wish
    if wish.filter is None or len(made.chosen) < 2:
        return None
    index = draw(st.integers(wish.start, wish.stop - 1))
    selected = tuple(sorted({*made.chosen} ^ {index}))
    forged = make_bundle(made.log, replace(wish, selected=selected), made.keys)
    return Tampering(files=forged, named="selection.bin", index=index)


def sign_twice(draw: Draw, made: Honest) -> Tampering | None:
    """Show a checkpoint of another history beside the right head, both signed by the log."""
    if not made.wish.checkpoints:
        return None
    size = draw(st.sampled_from(made.wish.checkpoints))
    changed = rewritten(made.log, draw(st.integers(0, size - 1)))
    name = f"checkpoints/{size}.txt"
    other = sign(changed.checkpoint_text(size), [*made.keys, *made.wish.witnesses])
    # The operator signs the manifest, too: only the tree tells.
    manifest = json.loads(made.files["manifest.json"])
    manifest["files"][name] |= {"bytes": len(other), "sha256": sha256(other).hexdigest()}
    files = seal_bundle({**made.files, name: other}, manifest, made.keys)
    return Tampering(files=files, named=name)


Tamper = Callable[[Draw, Honest], Tampering | None]

TAMPERINGS: tuple[Tamper, ...] = (
    flip,
    delete,
    insert,
    swap,
    truncate,
    truncate_alike,
    remove_file,
    rewrite_all,
    splice,
    swap_key,
    leave_out,
    sign_twice,
)
