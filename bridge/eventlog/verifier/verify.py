#!/usr/bin/env python3
"""Verify an export of a Legacy Bridge event log, offline and without Legacy Bridge.

    python3 verify.py BUNDLE --key VKEY

This one file needs Python 3.10 or later and nothing else. It is written from the published
specifications: RFC 6962 section 2.1 (Merkle tree), RFC 8032 section 5.1 (Ed25519), C2SP signed-note
and tlog-checkpoint. VKEY is the log's public key, `name+hash+base64`; have it from somewhere else
than the bundle, else whoever forged the bundle gave you the key as well.

Exit code 0: verified. 1: tampered; the first bad entry, line or file is named. 2: incomplete or not
provable (a cut file, no entries, no key from outside, wrong usage).
"""

import argparse
import base64
import hashlib
import itertools
import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

BATCH = 2_000  # Entries read at a time: bounds the memory, not the size of a log.
SMALL_BYTES_MAX = 1 << 20  # No file but the three of entries comes near it.
TITLE = "legacy-bridge export manifest v1"
FORMAT = ("legacy-bridge-export", 1)
LEAVES, PAYLOADS, HASHES = ENTRY_FILES = ("leaves.jsonl", "payloads.jsonl", "hashes.bin")
NOT_CHECKED = """Not checked, because no bundle can show it:
- that the key belongs to whom you think: compare it with one that you got in person or on paper;
- that entries after this bundle's last one exist or not, and that no other history was signed with
  this key for somebody else: compare size and root above with those of other receivers;
- that the times in the entries are true, and that everything that happened was logged;
- what the entries and payloads mean, and whether they fit their contracts."""

Point = tuple[int, int, int, int]  # (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.
Key = tuple[str, bytes, bytes]  # Name, key hash, Ed25519 public key.


class Tampered(Exception):
    """Something is not what was signed."""


class Incomplete(Exception):
    """Something is missing."""


P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point_add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_multiply(scalar: int, point: Point) -> Point:
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = point_add(result, point)
        point, scalar = point_add(point, point), scalar >> 1
    return result


def point_decode(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - x2) % P or (x == 0 and sign):
        return None
    return (x, y, 1, x * y % P) if x & 1 == sign else (P - x, y, 1, (P - x) * y % P)


def ed25519_verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether the signature is right: RFC 8032 section 5.1.7."""
    base = point_decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    point = point_decode(public) if len(public) == 32 else None
    commitment = point_decode(signature[:32]) if len(signature) == 64 else None
    scalar = int.from_bytes(signature[32:], "little")
    if base is None or point is None or commitment is None or scalar >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    left = point_multiply(scalar, base)
    right = point_add(commitment, point_multiply(challenge, point))
    return not any((left[i] * right[2] - right[i] * left[2]) % P for i in (0, 1))


def decode_base64(text: str) -> bytes | None:
    """Return the bytes of canonical base64, else None."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None


def parse_key(vkey: str) -> Key:
    """Return the key that a vkey holds: C2SP signed-note."""
    name, key_hash, encoded = [*vkey.strip().split("+", 2), "", ""][:3]
    data = decode_base64(encoded)
    if not name or not name.isprintable() or data is None or len(data) != 33 or data[0] != 1:
        raise Incomplete(f"key {vkey!r}: expected name+hash+base64 of an Ed25519 key")
    if sha256(name.encode() + b"\n" + data).hexdigest()[:8] != key_hash:
        raise Incomplete(f"key {vkey!r}: its hash does not fit; was it mistyped?")
    return name, bytes.fromhex(key_hash), data[1:]


def open_note(bundle: Path, file: str, key: Key) -> str:
    """Return the text of a note that `key` signed: C2SP signed-note."""
    text, blank, lines = read_small(bundle, file).decode(errors="replace").rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise Incomplete(f"{file}: cut, or not a signed note: its signature is missing")
    others = []
    for line in lines[:-1].split("\n"):
        dash, signer, encoded = [*line.split(" ", 2), "", ""][:3]
        data = decode_base64(encoded)
        if dash != "\N{EM DASH}" or not signer or data is None or len(data) < 5:
            raise Tampered(f"{file}: a signature line is malformed")
        if (signer, data[:4]) != key[:2]:
            others.append(f"{signer}+{data[:4].hex()}")
        elif ed25519_verify(key[2], data[4:], text.encode() + b"\n"):
            return text + "\n"
        else:
            raise Tampered(f"{file}: the signature does not fit the text")
    wanted = f"{key[0]}+{key[1].hex()}"
    raise Tampered(f"{file}: not signed by {wanted}, but by {', '.join(others)}: key swapped")


class Tree:
    """RFC 6962 section 2.1; grows by leaf hashes and keeps at most one hash of each level."""

    def __init__(self) -> None:
        self.size = 0
        self.levels: list[list[bytes]] = []

    def extend(self, hashes: list[bytes]) -> None:
        self.size += len(hashes)
        level = 0
        while hashes:
            if level == len(self.levels):
                self.levels.append([])
            row = self.levels[level] + hashes
            self.levels[level] = [row.pop()] if len(row) % 2 else []
            pairs = zip(row[::2], row[1::2], strict=True)
            hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
            level += 1

    def root(self) -> bytes:
        root = b""
        for [node] in filter(None, self.levels):
            root = sha256(b"\x01" + node + root).digest() if root else node
        return root or sha256(b"").digest()


def read_small(bundle: Path, name: str) -> bytes:
    with (bundle / name).open("rb") as file:
        return file.read(SMALL_BYTES_MAX)


def read_manifest(bundle: Path, key: Key) -> dict[str, Any]:
    """Return the manifest, which its note vouches for."""
    title, size, digest = [*open_note(bundle, "manifest.note", key).split("\n"), "", ""][:3]
    if title != TITLE:
        raise Tampered("manifest.note: signed, but not for a manifest")
    data = read_small(bundle, "manifest.json")
    if sha256(data).hexdigest() != digest:
        if len(data) < int(size) and not data.endswith(b"}\n"):
            raise Incomplete(f"manifest.json: cut after byte {len(data)} of {size}")
        raise Tampered("manifest.json: not what was signed")
    manifest: dict[str, Any] = json.loads(data)
    if (manifest["format"], manifest["version"]) != FORMAT:
        raise Incomplete("manifest.json: of a format that this verifier does not know")
    return manifest


def read_checkpoint(bundle: Path, key: Key) -> tuple[int, bytes]:
    """Return size and root that were signed: C2SP tlog-checkpoint."""
    origin, size, encoded = [*open_note(bundle, "checkpoint.txt", key).split("\n"), "", ""][:3]
    root = decode_base64(encoded)
    if origin != key[0] or not size.isdigit() or root is None or len(root) != 32:
        raise Tampered(f"checkpoint.txt: signed, but not a checkpoint of log {key[0]!r}")
    return int(size), root


class Entries:
    """Reads the three files of entries side by side; remembers where each first goes wrong."""

    def __init__(self, bundle: Path) -> None:
        self.tree = Tree()
        self.counts = dict.fromkeys(ENTRY_FILES, 0)
        self.parts: set[str] = set()  # Files whose last line or hash is only a part.
        self.bad_leaf: int | None = None  # Index of the first leaf that hashes.bin contradicts.
        self.bad_line = b""
        self.bad_payload: int | None = None  # Index of the first one that its leaf contradicts.
        with (
            (bundle / LEAVES).open("rb") as leaves,
            (bundle / PAYLOADS).open("rb") as payloads,
            (bundle / HASHES).open("rb") as hashes,
        ):
            while self.read_batch(leaves, payloads, hashes):
                if sys.stderr.isatty():
                    print(f"\r{self.tree.size} entries ", end="", file=sys.stderr)

    def read_batch(self, leaf_file: BinaryIO, payload_file: BinaryIO, hash_file: BinaryIO) -> bool:
        start = self.counts[LEAVES]
        leaves = self.take(LEAVES, list(itertools.islice(leaf_file, BATCH)))
        payloads = self.take(PAYLOADS, list(itertools.islice(payload_file, BATCH)))
        stored = self.take(HASHES, split_hashes(hash_file.read(32 * BATCH)))
        hashes = [sha256(b"\x00" + leaf[:-1]).digest() for leaf in leaves]
        self.tree.extend(hashes)
        if self.bad_leaf is None:
            at = first_difference(hashes, stored)
            if at is not None:
                self.bad_leaf, self.bad_line = start + at, leaves[at]
        if self.bad_payload is None:
            found = [leaf[:80] for leaf in leaves]
            right = [b'{"data_sha256":"%b' % sha256(p[:-1]).hexdigest().encode() for p in payloads]
            at = first_difference(found, right)
            self.bad_payload = None if at is None else start + at
        return bool(leaves or payloads or stored)

    def take(self, name: str, records: list[bytes]) -> list[bytes]:
        """Count `records` and leave out the last one when it is only a part."""
        if records and (len(records[-1]) < 32 if name == HASHES else records[-1][-1:] != b"\n"):
            self.parts.add(name)
            records.pop()
        self.counts[name] += len(records)
        return records


def split_hashes(data: bytes) -> list[bytes]:
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def first_difference(left: list[bytes], right: list[bytes]) -> int | None:
    """Return where two lists first differ, as far as both go."""
    count = min(len(left), len(right))
    if left[:count] == right[:count]:  # Nearly always, and quick.
        return None
    return next(at for at in range(count) if left[at] != right[at])


def stored_root(bundle: Path, size: int) -> bytes:
    """Return the root over the first `size` hashes of hashes.bin."""
    tree = Tree()
    with (bundle / HASHES).open("rb") as file:
        while data := file.read(32 * min(BATCH, size - tree.size)):
            tree.extend(split_hashes(data))
    return tree.root()


def claim(line: bytes, index: int) -> str:
    """Return what a wrong line says of itself; its index stands near its end."""
    found = line.rpartition(b',"index":')[2].partition(b",")[0].decode(errors="replace")
    if found == str(index):
        return "its content was changed"
    if found.isdigit():
        return f"it says that it is entry {found[:20]}: a line was removed, inserted or moved"
    return "it does not even look like an entry"


class Report:
    """Collects what was found; tampering outweighs what is missing."""

    def __init__(self) -> None:
        self.bad: list[str] = []
        self.missing: list[str] = []
        self.notes: list[str] = []

    def attempt(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `call` returns, or None after taking down why it cannot."""
        try:
            return call(*arguments)
        except Tampered as exc:
            self.bad.append(str(exc))
        except Incomplete as exc:
            self.missing.append(str(exc))
        except OSError as exc:
            self.missing.append(f"{Path(exc.filename or '').name}: {exc.strerror}")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            self.bad.append(f"signed, but malformed: {type(exc).__name__} {exc}")
        return None

    def judge_entries(self, bundle: Path, entries: Entries, size: int, root: bytes) -> None:
        """Say what is wrong with the entries, by the size and root that were signed."""
        bad, signed = entries.bad_leaf, (entries.tree.size, entries.tree.root()) == (size, root)
        if bad is not None and signed:
            self.bad.append(f"{HASHES}: the hash of entry {bad} is not what was signed")
        elif bad is not None:
            sure = stored_root(bundle, size) == root
            doubt = "" if sure else f"; {HASHES} was changed too, so an earlier one may be bad"
            why = claim(entries.bad_line, bad)
            self.bad.append(f"{LEAVES}: line {bad + 1} is not the signed entry {bad}: {why}{doubt}")
        elif not signed and entries.tree.size == size:
            self.bad.append(
                f"{LEAVES}: not what was signed (root {entries.tree.root().hex()}); {HASHES} was "
                "changed with it, so the first bad entry cannot be named"
            )
        if entries.bad_payload is not None and entries.bad_payload != bad:
            index = entries.bad_payload
            self.bad.append(f"{PAYLOADS}: line {index + 1} is not the payload of entry {index}")
        for name, count in entries.counts.items():
            if count > size or (count == size and name in entries.parts):
                self.bad.append(f"{name}: goes on after entry {size - 1}, the last signed one")
            elif count < size:
                part = " and a part of the next" if name in entries.parts else ""
                self.missing.append(f"{name}: cut after {count} of {size} entries{part}")

    def compare_files(self, bundle: Path, entries: Entries, files: dict[str, Any]) -> None:
        """Compare every file with the manifest; one that was found cut may differ from it."""
        for name in sorted({path.name for path in bundle.iterdir()} - {*files}):
            if name not in ("manifest.json", "manifest.note"):
                self.notes.append(f"{name!r}: not in the manifest and not looked at")
        for name, said in sorted(files.items()):
            size = (bundle / name).stat().st_size
            if name in ENTRY_FILES:  # The checkpoint vouches for every whole line of these.
                same = size == said["bytes"] and name not in entries.parts
            else:
                same = sha256(read_small(bundle, name)).hexdigest() == said["sha256"]
            known = self.bad + (self.missing if size < said["bytes"] else [])
            if not same and not any(text.startswith(name) for text in known):
                self.bad.append(f"{name}: not the file that the manifest lists")


def verify(bundle: Path, vkey: str | None, report: Report) -> None:
    """Check everything in `bundle`; what is found stands in `report`."""
    inside = read_small(bundle, "key.txt").decode(errors="replace") if vkey is None else ""
    key = parse_key(inside if vkey is None else vkey)
    report.notes.append(f"key: {key[0]}+{key[1].hex()}")
    manifest = report.attempt(read_manifest, bundle, key)
    checkpoint = report.attempt(read_checkpoint, bundle, key)
    entries = report.attempt(Entries, bundle)
    if checkpoint:
        size, root = checkpoint
        report.notes.append(f"log {key[0]}: {size} entries, root {root.hex()}")
        if size == 0:
            report.missing.append("checkpoint.txt: over no entries, so there is nothing to prove")
        if manifest and manifest["range"] != {"start": 0, "stop": size}:
            report.bad.append("manifest.json: names another range than checkpoint.txt")
        if entries:
            report.judge_entries(bundle, entries, size, root)
    if manifest and entries:
        created, actor, reason = (manifest[name] for name in ("created", "actor", "reason"))
        report.notes.append(f"exported {created!r} by {actor!r}, reason: {reason!r}")
        report.attempt(report.compare_files, bundle, entries, manifest["files"])
    if vkey is None:
        report.missing.append("no key from outside: at most internally consistent; give --key")


def main(arguments: list[str] | None = None) -> int:
    """Verify as the command line asks; return the exit code."""
    parser = argparse.ArgumentParser(description="Verify an export of an event log, offline.")
    parser.add_argument("bundle", type=Path, help="the folder of the export")
    parser.add_argument("--key", metavar="VKEY", help="the log's key, from outside the bundle")
    chosen, report = parser.parse_args(arguments), Report()
    report.attempt(verify, chosen.bundle, chosen.key, report)
    code = 1 if report.bad else 2 if report.missing else 0
    print(f"{('VERIFIED', 'TAMPERED', 'INCOMPLETE')[code]}: {chosen.bundle}")
    for mark, texts in (("tampered: ", report.bad), ("incomplete: ", report.missing)):
        for text in texts:
            print(f"  {mark}{text}")
    print(*(f"  {text}" for text in report.notes), NOT_CHECKED, sep="\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
