#!/usr/bin/env python3
"""Verify an export of a Legacy Bridge event log, offline and without Legacy Bridge.

    python3 verify.py BUNDLE --key VKEY [--witness VKEY …] [--since CHECKPOINT]
    python3 verify.py --proof FILE.tlog-proof [--leaf FILE] --key VKEY

This one file needs Python 3.10 or later and nothing else. It is written from docs/bundle-format.md
and the published specifications: RFC 6962 section 2.1 and RFC 9162 section 2.1 (Merkle tree), RFC
8032 section 5.1 (Ed25519), RFC 3161 (time stamps), C2SP signed-note, tlog-checkpoint,
tlog-cosignature and tlog-proof. VKEY is a public key, `name+hash+base64`; have it from somewhere
else than the bundle, else whoever forged the bundle gave you the key as well.

Exit code 0: verified. 1: tampered; the first bad entry, line or file is named. 2: incomplete or not
provable (a cut file, no entries, no key from outside, too few cosignatures, wrong usage).

From top to bottom: Ed25519; text and JSON; keys and notes; the tree; files; the manifest; entries;
what is judged of them; cosignatures, time stamps, other files; a single entry's proof; the command.
"""

import argparse
import base64
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeGuard

BATCH = 2_000  # Entries read at a time: bounds the memory, not the size of a log.
BLOCK_BYTES = 1 << 17  # Read at a time: what fits a cache is read a third quicker than 1 MiB.
LEAF_BYTES_MAX = 65_535  # C2SP tlog-tiles gives an entry a 16-bit length.
LINE_BYTES_MAX = 64 << 20  # Of a payload; more would not be an event but an attack on memory.
NOTE_BYTES_MAX = 1 << 20
MANIFEST_BYTES_MAX = 16 << 20  # 1,000 checkpoints with their tokens need less than one.
SIGNATURES_MAX = 100  # Of a note; each costs a millisecond.
BRACKETS_MAX = 900  # Of a leaf: no parser of JSON gives up at so few.
COUNT_MAX = 2**53 - 1  # What every language counts exactly.
NAMES_MAX = 20  # Files that nobody listed and that are named one by one.
LEAVES, PAYLOADS, HASHES = ENTRY_FILES = ("leaves.jsonl", "payloads.jsonl", "hashes.bin")
SELECTION, DISCLOSED, CHECKPOINT = "selection.bin", "disclosed.jsonl", "checkpoint.txt"
MANIFEST, MANIFEST_NOTE, TRAILER = "manifest.json", "manifest.note", "trailer.note"
VERDICTS = ("VERIFIED", "TAMPERED", "INCOMPLETE")
NEVER_CHECKED = (
    "that the keys belong to whom you think: compare them with what you got in person or on paper",
    "that the times in the entries are true, and that everything that happened was logged",
    "what the entries and payloads mean, and whether they fit their contracts",
)

Point = tuple[int, int, int, int]  # (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.


class Finding(Exception):
    """Why the bundle is not verified: what is wrong with which file, at which entry."""

    def __init__(self, file: str, text: str, index: int | None = None) -> None:
        super().__init__(file, text, index)
        self.file, self.text, self.index = file, text, index


class Tampered(Finding):
    """Something is not what was signed."""


class Incomplete(Finding):
    """Something is missing, or cannot be proven."""


# Ed25519: RFC 8032 section 5.1.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point_add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


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
    """Return whether the signature is right: RFC 8032 section 5.1.7, without the cofactor."""
    base = point_decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    point = point_decode(public) if len(public) == 32 else None
    scalar = int.from_bytes(signature[32:], "little")
    if base is None or point is None or len(signature) != 64 or scalar >= ORDER:
        return False
    digest = sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    # scalar * base - challenge * point, both at once, bit by bit from the highest.
    minus = (P - point[0], point[1], 1, P - point[3])
    steps = (None, base, minus, point_add(base, minus))
    found: Point = (0, 1, 1, 0)
    for bit in range(252, -1, -1):
        found = point_add(found, found)
        step = steps[(scalar >> bit & 1) + 2 * (challenge >> bit & 1)]
        found = found if step is None else point_add(found, step)
    inverse = pow(found[2], P - 2, P)
    encoded = found[1] * inverse % P | (found[0] * inverse % P & 1) << 255
    return encoded.to_bytes(32, "little") == signature[:32]


# Text and JSON.

# What could rewrite or hide a line on a terminal, and what is no character at all.
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]"
)
# Unicode's spaces and '+', which the name of a key may not have.
NOT_IN_NAMES = re.compile("[\x20\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000+]")
HEX = re.compile("[0-9a-f]{64}")
DECIMAL = re.compile("0|[1-9][0-9]{0,15}")
TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?Z")


def show(value: object) -> str:
    """Return text from outside in quotes, cut after 200 characters, and safe to print."""
    if not isinstance(value, str):
        return "(none)"
    safe = UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", value[:200])
    return f"'{safe}'" if len(value) <= 200 else f"'{safe}'…"


def parse_decimal(text: str) -> int | None:
    number = int(text) if DECIMAL.fullmatch(text) else COUNT_MAX + 1
    return number if number <= COUNT_MAX else None


def is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= COUNT_MAX


def is_hex(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and HEX.fullmatch(value) is not None


def decode_base64(text: object) -> bytes | None:
    """Return the bytes of canonical base64, else None."""
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        return None
    return data if data is not None and base64.b64encode(data).decode() == text else None


def json_number(text: str) -> float | int:
    """Return a number as every language reads it; a count is exact up to `COUNT_MAX`."""
    number = float(text)
    return int(number) if number.is_integer() else number


def json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return dict(pairs)


def json_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse_json(data: bytes) -> dict[str, Any]:
    """Return the object that strict JSON holds; raises `ValueError`."""
    try:
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=json_object,
            parse_constant=json_constant,
            parse_int=json_number,
            parse_float=json_number,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def parse_leaf(leaf: bytes) -> dict[str, Any]:
    """Return what a leaf says, quickly: numbers are not needed. Raises `ValueError`."""
    if leaf.count(b"[") + leaf.count(b"{") > BRACKETS_MAX:
        raise ValueError("nested too deeply")
    found = json.loads(leaf.decode("utf-8"), parse_constant=json_constant, parse_int=float)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


# Keys and notes: C2SP signed-note, tlog-checkpoint, tlog-cosignature.

LOG_KEY, WITNESS_KEY = 1, 4  # Types of signature: Ed25519, and Ed25519 with a time.


class Key(NamedTuple):
    name: str
    key_id: bytes
    public: bytes

    def label(self) -> str:
        return f"{self.name}+{self.key_id.hex()}"


class Note(NamedTuple):
    text: str
    names: set[str]  # Of the keys whose signatures are right.
    seen: dict[bytes, int]  # Public key of a witness whose cosignature is right, and its time.
    others: list[str]  # Labels of keys that nobody gave us.


def parse_key(vkey: str, wanted: int = LOG_KEY) -> Key:
    """Return the key that a vkey holds."""
    name, key_hash, encoded = [*vkey.strip(" \t\r\n").split("+", 2), "", ""][:3]
    data = decode_base64(encoded)
    bad_name = not name or UNPRINTABLE.search(name) or NOT_IN_NAMES.search(name)
    if bad_name or data is None or len(data) != 33 or data[0] not in (LOG_KEY, WITNESS_KEY):
        raise Incomplete("", f"key {show(vkey)}: expected name+hash+base64 of an Ed25519 key")
    if sha256(name.encode() + b"\n" + data).hexdigest()[:8] != key_hash:
        raise Incomplete("", f"key {show(vkey)}: its hash does not fit; was it mistyped?")
    if data[0] != wanted:
        is_, not_ = ("witness", "log") if wanted == LOG_KEY else ("log", "witness")
        raise Incomplete("", f"key {show(vkey)}: a key of a {is_}, not of a {not_}")
    return Key(name, bytes.fromhex(key_hash), data[1:])


def split_note(file: str, data: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """Return a note's text and its signatures: name, key id with signature."""
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Tampered(file, "not a signed note: not UTF-8") from None
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        if not blank and "\N{EM DASH} " in whole:
            raise Tampered(file, "not a signed note: no empty line before its signatures")
        raise Incomplete(file, "cut, or not a signed note: its signature is missing")
    if re.search("[\x00-\x09\x0b-\x1f]", whole):
        raise Tampered(file, "not a signed note: it has a control character")
    signatures = []
    for line in lines[:-1].split("\n"):
        dash, name, encoded = [*line.split(" ", 2), "", ""][:3]
        signature = decode_base64(encoded)
        if dash != "\N{EM DASH}" or not name or signature is None or len(signature) < 5:
            raise Tampered(file, "not a signed note: a signature line is malformed")
        signatures.append((name, signature))
    if len(signatures) > SIGNATURES_MAX:
        raise Tampered(file, f"more than {SIGNATURES_MAX} signatures")
    return text + "\n", signatures


def open_note(
    file: str, data: bytes, keys: list[Key], witnesses: list[Key], strangers: bool = False
) -> Note:
    """Return what one of `keys`, or if so allowed a stranger, signed; none of ours may be wrong."""
    text, signatures = split_note(file, data)
    message, note = text.encode(), Note(text, set(), {}, [])
    logs, cosigners = {key[:2]: key for key in keys}, {key[:2]: key for key in witnesses}
    for name, signature in signatures:
        signer = (name, signature[:4])
        if key := logs.get(signer):
            right = ed25519_verify(key.public, signature[4:], message)
            note.names.add(name)
        elif key := cosigners.get(signer):
            seconds = int.from_bytes(signature[4:12], "big")
            stated = b"cosignature/v1\ntime %d\n%b" % (seconds, message)
            right = len(signature) == 76 and ed25519_verify(key.public, signature[12:], stated)
            note.seen[key.public] = seconds
        else:
            note.others.append(f"{show(name)[1:-1]}+{signature[:4].hex()}")
            continue
        if not right:
            raise Tampered(file, f"the signature by {key.label()} does not fit the text")
    if not note.names and not (strangers and note.others):
        wanted, found = " or ".join(key.label() for key in keys), ", ".join(note.others[:10])
        raise Tampered(file, f"not signed by {wanted}, but by {found or 'witnesses'}: key swapped")
    return note


class Head(NamedTuple):
    size: int
    root: bytes


def parse_checkpoint(file: str, note: Note) -> tuple[str, Head]:
    """Return origin and head that were signed."""
    lines = note.text[:-1].split("\n")
    origin, size_text, encoded = [*lines, "", ""][:3]
    size, root = parse_decimal(size_text), decode_base64(encoded)
    if origin not in note.names or size is None or root is None or len(root) != 32 or "" in lines:
        raise Tampered(file, "signed, but not a checkpoint of the log that the key is named after")
    return origin, Head(size, root)


# The tree: RFC 6962 section 2.1.


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """Grows by leaf hashes, or by whole subtrees, and keeps at most one hash of each level."""

    def __init__(self, size: int, left: list[bytes]) -> None:
        """Begin with the subtrees of the first `size` leaves, largest first."""
        self.levels: list[list[bytes]] = [[] for _ in range(size.bit_length())]
        for level in range(size.bit_length() - 1, -1, -1):
            if size >> level & 1:
                self.levels[level].append(left[(size >> level).bit_count() - 1])

    def add(self, hashes: list[bytes], level: int = 0) -> None:
        while hashes:
            while level >= len(self.levels):
                self.levels.append([])
            row = self.levels[level] + hashes
            self.levels[level] = [row.pop()] if len(row) % 2 else []
            pairs = zip(row[::2], row[1::2], strict=True)
            hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
            level += 1

    def root(self) -> bytes:
        root = b""
        for [top] in filter(None, self.levels):
            root = node(top, root) if root else top
        return root


def right_levels(stop: int, size: int) -> list[int]:
    """Return the levels of the subtrees that [stop, size) consists of."""
    levels = []
    while stop < size:
        level = (stop & -stop).bit_length() - 1
        while stop + (1 << level) > size:
            level -= 1
        levels.append(level)
        stop += 1 << level
    return levels


def whole_root(tree: Tree, stop: int, size: int, right: list[bytes]) -> bytes:
    """Return the root after adding the subtrees behind the range."""
    for level, digest in zip(right_levels(stop, size), right, strict=True):
        tree.add([digest], level)
    return tree.root()


def check_consistency(old: Head, new: Head, proof: list[bytes]) -> bool:
    """Return whether `new` grew out of `old`: RFC 9162 section 2.1.4.2."""
    if old.size == new.size or not 0 < old.size < new.size:
        return old == new and not proof
    path = ([old.root] if old.size & (old.size - 1) == 0 else []) + proof
    first, last = old.size - 1, new.size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    if not path:
        return False
    old_root = new_root = path[0]
    for digest in path[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            old_root, new_root = node(digest, old_root), node(digest, new_root)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            new_root = node(new_root, digest)
        first, last = first >> 1, last >> 1
    return last == 0 and (old_root, new_root) == (old.root, new.root)


def inclusion_root(index: int, size: int, digest: bytes, path: list[bytes]) -> bytes | None:
    """Return the root that the path leads to: RFC 9162 section 2.1.3.2."""
    last = size - 1
    for other in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            digest = node(other, digest)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            digest = node(digest, other)
        index, last = index >> 1, last >> 1
    return digest if last == 0 else None


# Files.


def is_safe(name: str) -> bool:
    """Return whether a name from a manifest stays inside the folder."""
    parts = name.split("/")
    bad = UNPRINTABLE.search(name) or "\\" in name or ":" in name
    return not bad and not any(part in ("", ".", "..") for part in parts)


def open_file(folder: Path, name: str) -> BinaryIO:
    """Open a regular file of the bundle; links are not followed, pipes not waited for."""
    path = folder
    try:
        for part in name.split("/"):
            path = path / part
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise Incomplete(name, "not a regular file")
    except OSError:
        raise Incomplete(name, "missing") from None
    if not stat.S_ISREG(mode):
        raise Incomplete(name, "not a regular file")
    try:
        return path.open("rb")
    except OSError:
        raise Incomplete(name, "cannot be opened") from None


def read_small(folder: Path, name: str, bytes_max: int = NOTE_BYTES_MAX) -> bytes:
    with open_file(folder, name) as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise Tampered(name, f"longer than {bytes_max} bytes")
    return data


def read_outside(path: Path) -> bytes:
    """Return a small file that is not of the bundle."""
    return read_small(path.parent, path.name)


class Lines:
    """Reads lines in blocks, so that no line can fill the memory."""

    def __init__(self, file: BinaryIO, bytes_max: int, mark: bytes = b"\n") -> None:
        self.file, self.bytes_max, self.mark = file, bytes_max, mark
        self.marked = False  # `mark` was read anywhere: most logs need no search line by line.
        self.count = 0  # Whole lines that were taken.
        self.part = False  # It ends without a line feed.
        self.too_long = False  # It was left at a line that is longer than allowed.
        self.ready: list[bytes] = []
        self.rest = b""
        self.ended = False

    def fill(self, count: int) -> None:
        while len(self.ready) < count and not self.ended:
            block = self.file.read(max(BLOCK_BYTES, len(self.rest)))
            data = self.rest + block
            self.marked = self.marked or self.mark in data
            lines = data.split(b"\n")
            if len(max(lines, key=len)) > self.bytes_max:
                self.too_long = self.ended = True
                del lines[next(i for i, at in enumerate(lines) if len(at) > self.bytes_max) :]
            else:
                self.rest = lines.pop()
                self.ended = not block
                self.part = self.ended and self.rest != b""
            self.ready += lines

    def take(self, count: int) -> list[bytes]:
        self.fill(count)
        lines, self.ready = self.ready[:count], self.ready[count:]
        self.count += len(lines)
        return lines

    def goes_on(self) -> bool:
        self.fill(1)
        return bool(self.ready) or self.part or self.too_long


class Records:
    """Reads records of one size, as `Lines` reads lines."""

    too_long = False

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.count, self.part = file, size, 0, False

    def take(self, count: int) -> list[bytes]:
        data = self.file.read(count * self.size)
        whole = len(data) // self.size
        self.part = self.part or len(data) % self.size > 0
        self.count += whole
        return [data[at : at + self.size] for at in range(0, whole * self.size, self.size)]

    def goes_on(self) -> bool:
        return self.part or self.file.read(1) != b""


# The manifest.


class Report:
    """Collects what was found; tampering outweighs what is missing."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.facts: list[str] = []
        self.unchecked: list[str] = []
        self.files = ExitStack()  # That stay open while entries are read.

    def attempt(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `call` returns, or None after taking down why it cannot."""
        try:
            return call(*arguments)
        except Finding as finding:
            self.found.append(finding)
        return None

    def tampered(self, file: str, text: str, index: int | None = None) -> None:
        self.found.append(Tampered(file, text, index))

    def incomplete(self, file: str, text: str, index: int | None = None) -> None:
        self.found.append(Incomplete(file, text, index))

    def has(self, file: str) -> bool:
        return any(finding.file == file for finding in self.found)

    def code(self) -> int:
        return 1 if any(isinstance(at, Tampered) for at in self.found) else 2 if self.found else 0


class Trust(NamedTuple):
    """What the auditor brings."""

    keys: list[Key]
    witnesses: list[Key]
    witnesses_min: int
    kept: Path | None


def read_manifest(folder: Path, trust: Trust) -> "Manifest":
    """Return the manifest, which its note vouches for."""
    note = open_note(MANIFEST_NOTE, read_small(folder, MANIFEST_NOTE), trust.keys, [])
    title, size, digest = [*note.text.split("\n"), "", ""][:3]
    if title != "legacy-bridge export manifest v2":
        if title == "legacy-bridge export manifest v1":
            raise Incomplete(MANIFEST_NOTE, "of version 1, which this verifier does not know")
        raise Tampered(MANIFEST_NOTE, "signed, but not for a manifest")
    data = read_small(folder, MANIFEST, MANIFEST_BYTES_MAX)
    if sha256(data).hexdigest() != digest or str(len(data)) != size:
        if len(data) < (parse_decimal(size) or 0) and not data.rstrip(b"\n").endswith(b"}"):
            raise Incomplete(MANIFEST, f"cut after {len(data)} of {size} bytes")
        raise Tampered(MANIFEST, "not what was signed")
    try:
        return Manifest(parse_json(data))
    except ValueError:
        raise Tampered(MANIFEST, "signed, but not strict JSON") from None


def need(right: object, what: str) -> None:
    if not right:
        raise Tampered(MANIFEST, f"signed, but malformed: {what}")


LISTS = ("kinds", "types", "entities", "actors", "correlations")


class Manifest:
    """What the manifest says; every value has its form, and they agree with each other."""

    def __init__(self, said: dict[str, Any]) -> None:
        need(said.get("format") == "legacy-bridge-export", "format")
        if said.get("version") != 2:
            raise Incomplete(MANIFEST, "of a version that this verifier does not know")
        self.said = said
        for name in ("range", "head", "proof", "selection", "limits", "files"):
            need(isinstance(said.get(name), dict), name)
        self.origin, self.files, self.filter = said.get("origin"), said["files"], said.get("filter")
        self.start, self.stop = said["range"].get("start"), said["range"].get("stop")
        self.size, self.count = said["head"].get("size"), said["selection"].get("count")
        need(isinstance(self.origin, str), "origin")
        for count in (self.start, self.stop, self.size, self.count, said.get("minimum_index")):
            need(is_count(count), "a number")
        if self.size == 0 or self.start >= self.stop:
            raise Incomplete(MANIFEST, "a range of no entries, so there is nothing to prove")
        need(said["minimum_index"] <= self.start and self.stop <= self.size, "range")
        self.head = parse_head(said["head"])
        self.left = parse_hashes(said["proof"].get("left"))
        self.right = parse_hashes(said["proof"].get("right"))
        subtrees = self.start.bit_count(), len(right_levels(self.stop, self.size))
        need((len(self.left), len(self.right)) == subtrees, "the proof's number of hashes")
        since = said.get("since")
        need(since is None or isinstance(since, dict), "since")
        self.since = None if since is None else parse_head(since)
        self.growth = [] if since is None else parse_hashes(since.get("proof"))
        most, self.reached = said["limits"].get("entries_max"), said["limits"].get("reached")
        need(most is None or (is_count(most) and self.count <= most), "limits")
        need(isinstance(self.reached, bool), "limits")
        self.provable = said["selection"].get("provable")
        self.check_filter()
        self.check_files()

    def check_filter(self) -> None:
        said, leaves = self.filter, self.stop - self.start
        need(said is None or isinstance(said, dict), "filter")
        need(self.count <= leaves if said is not None else self.count == leaves, "selection.count")
        need(self.provable is ("fields" not in (said or {})), "selection.provable")
        for name, value in sorted((said or {}).items()):
            if name in LISTS:
                right = isinstance(value, list) and all(isinstance(at, str) for at in value)
            elif name == "time":
                bounds = [value.get("from"), value.get("to")] if isinstance(value, dict) else [0]
                right = all(bound is None or six_digits(bound) for bound in bounds)
            else:
                right = name == "fields"
            need(right, "filter")

    def check_files(self) -> None:
        for name, said in sorted(self.files.items()):
            need(is_safe(name), f"it lists {show(name)}, which is no path inside the bundle")
            right = isinstance(said, dict) and is_count(said.get("bytes"))
            need(right and is_hex(said.get("sha256")), f"files, {name}")
        need(not {MANIFEST, MANIFEST_NOTE, TRAILER} & {*self.files}, "it lists itself")
        need((SELECTION in self.files) is (self.filter is not None), f"{SELECTION} without filter")
        leaves = self.stop - self.start
        counts = {LEAVES: leaves, PAYLOADS: self.count, HASHES: leaves}
        for name in (CHECKPOINT, *ENTRY_FILES):
            need(name in self.files, f"it does not list {name}")
            right = name == CHECKPOINT or self.files[name].get("records") == counts[name]
            need(right, f"files, {name}: records")


def parse_head(said: dict[str, Any]) -> Head:
    need(is_count(said.get("size")) and is_hex(said.get("root")), "a head")
    return Head(said["size"], bytes.fromhex(said["root"]))


def parse_hashes(said: object) -> list[bytes]:
    need(isinstance(said, list) and all(map(is_hex, said)), "a list of hashes")
    return [bytes.fromhex(each) for each in said] if isinstance(said, list) else []


def check_trailer(folder: Path, trust: Trust, manifest: Manifest) -> None:
    note = open_note(TRAILER, read_small(folder, TRAILER), trust.keys, [])
    digest = sha256(read_small(folder, MANIFEST, MANIFEST_BYTES_MAX)).hexdigest()
    counts = (len(manifest.files), manifest.stop - manifest.start, manifest.count)
    said = "\n".join(["legacy-bridge export trailer v2", digest, *map(str, counts)])
    if note.text != said + "\n":
        raise Tampered(TRAILER, "signed, but not for this manifest and its numbers")


def read_head(
    folder: Path, name: str, trust: Trust, origin: str, report: Report
) -> tuple[Note, Head]:
    """Return a checkpoint's note and head.

    An earlier one may be signed by a key from before a rotation only, which nobody gave us: then
    the manifest vouches for it and the tree must fit it, and that is all.
    """
    data = read_small(folder, name)
    note = open_note(name, data, trust.keys, trust.witnesses, name != CHECKPOINT)
    if not note.names:
        note.names.add(origin)
        signers = ", ".join(note.others[:10])
        report.unchecked.append(f"{name}: signed by {signers}, a key that was not given")
    found, head = parse_checkpoint(name, note)
    if found != origin:
        raise Tampered(name, f"a checkpoint of log {show(found)}, the manifest is of another")
    return note, head


# Entries.


def six_digits(value: object) -> str | None:
    """Return a time in UTC with six digits, so that it compares as text."""
    match = TIME.fullmatch(value) if isinstance(value, str) else None
    return match and f"{match[1]}.{(match[2] or '.')[1:7]:0<6}Z"


class Filter:
    """Decides by a leaf alone whether its entry is selected."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.lists = {name: frozenset(said[name]) for name in LISTS if name in said}
        self.timed, bounds = "time" in said, said.get("time", {})
        self.start, self.stop = six_digits(bounds.get("from")), six_digits(bounds.get("to"))

    def fits(self, leaf: dict[str, Any]) -> bool:
        fields = leaf.get("fields")
        fields = fields if isinstance(fields, dict) else {}
        actor = fields.get("actor")
        found = {
            "kinds": leaf.get("kind"),
            "types": fields.get("type"),
            "entities": leaf.get("entity"),
            "actors": actor.get("id") if isinstance(actor, dict) else None,
            "correlations": fields.get("correlation"),
        }
        for name, wanted in self.lists.items():
            value = found[name]
            if not isinstance(value, str) or value not in wanted:
                return False
        if not self.timed:
            return True
        moment = six_digits(fields.get("time"))
        if moment is None or (self.start is not None and moment < self.start):
            return False
        return self.stop is None or moment < self.stop


SEALED = b'"sealed":'


class Entries:
    """Reads the files of entries side by side; remembers where each first goes wrong."""

    def __init__(self, folder: Path, manifest: Manifest, report: Report) -> None:
        self.manifest, self.report = manifest, report
        self.start, self.stop = manifest.start, manifest.stop
        self.tree = Tree(self.start, manifest.left)
        self.roots = {self.start: self.tree.root()} if self.start else {}
        self.bad_leaf: int | None = None  # Index of the first leaf that hashes.bin contradicts.
        self.bad_line = b""
        self.sealed = self.opened = self.selected = 0
        self.named: set[str] = set()  # Of what can go wrong, what did: only its first is named.
        self.filter = None if manifest.filter is None else Filter(manifest.filter)
        enter = report.files.enter_context
        self.leaves = Lines(enter(open_file(folder, LEAVES)), LEAF_BYTES_MAX, SEALED)
        self.hashes = Records(enter(open_file(folder, HASHES)), 32)
        self.payloads = Lines(enter(open_file(folder, PAYLOADS)), LINE_BYTES_MAX)
        filtered = self.filter is not None
        self.selection = Records(enter(open_file(folder, SELECTION)), 8) if filtered else None
        self.next_index: int | None = self.start - 1
        listed = DISCLOSED in manifest.files
        opened = enter(open_file(folder, DISCLOSED)) if listed else None
        self.disclosed = Lines(opened, LINE_BYTES_MAX) if opened else None
        self.next_item: tuple[int, int, bytes] | None = (-1, -1, b"")
        self.advance_item()

    def name(self, file: str, text: str, index: int | None) -> None:
        if file not in self.named:
            self.named.add(file)
            self.report.tampered(file, text, index)

    def read(self, sizes: list[int]) -> None:
        """Read all; keep the roots of the trees of `sizes` in `roots`."""
        at, ends = self.start, sorted({*sizes, self.stop})
        self.advance_selection()
        for end in ends:
            while at < end:
                stop = min(end, at + BATCH)
                if not self.read_batch(at, stop):
                    return
                at = stop
            if self.start + self.leaves.count == end:
                self.roots[end] = self.tree.root()
        if sys.stderr.isatty():
            print(f"\r{at - self.start} entries ", file=sys.stderr)

    def read_batch(self, start: int, stop: int) -> bool:
        leaves, stored = self.leaves.take(stop - start), self.hashes.take(stop - start)
        chosen = self.choose(start, stop)
        payloads = self.payloads.take(len(chosen))
        hashes = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
        self.tree.add(hashes)
        if self.bad_leaf is None:
            at = first_difference(hashes, stored)
            if at is not None:
                self.bad_leaf, self.bad_line = start + at, leaves[at]
        # What stands behind a line that was inserted or removed is not in its place.
        sound = leaves if self.bad_leaf is None else leaves[: max(0, self.bad_leaf - start)]
        for index, leaf in enumerate(sound, start):
            if leaf.rfind(b',"index":%d,' % index, -80) < 0:
                line = index - self.start + 1
                self.name(LEAVES, f"line {line} does not say that it is entry {index}", index)
                break
        self.check_payloads(sound, start, chosen, payloads)
        if self.filter:
            self.check_selection(sound, start, {*chosen})
        self.check_sealed(sound, start, chosen)
        self.selected += len(chosen)
        more = self.selection is not None and self.next_index is not None
        return bool(leaves or stored or payloads or more)

    def choose(self, start: int, stop: int) -> range | list[int]:
        """Return the indices of the selected entries of a batch."""
        if self.selection is None:
            return range(start, stop)
        chosen = []
        while self.next_index is not None and self.next_index < stop:
            chosen.append(self.next_index)
            self.advance_selection()
        return chosen

    def advance_selection(self) -> None:
        if self.selection is None or self.next_index is None:
            return
        [*record], before = self.selection.take(1), self.next_index
        self.next_index = int.from_bytes(record[0], "big") if record else None
        if self.next_index is not None and not before < self.next_index < self.stop:
            text = f"place {self.selection.count} holds {self.next_index}, out of order"
            self.name(SELECTION, text, self.next_index if is_count(self.next_index) else None)
            self.next_index = None

    def check_payloads(
        self, leaves: list[bytes], start: int, chosen: range | list[int], payloads: list[bytes]
    ) -> None:
        if self.filter:
            leaves = [leaves[index - start] for index in chosen if index - start < len(leaves)]
        found = [leaf[:81] for leaf in leaves]
        right = [b'{"data_sha256":"%b"' % sha256(at).hexdigest().encode() for at in payloads]
        at = first_difference(found, right)
        if at is not None:
            line, index = self.selected + at + 1, chosen[at]
            self.name(PAYLOADS, f"line {line} is not the payload of entry {index}", index)

    def check_selection(self, leaves: list[bytes], start: int, chosen: set[int]) -> None:
        if SELECTION in self.named or self.filter is None:
            return
        for index, leaf in enumerate(leaves, start):
            try:
                fits = self.filter.fits(parse_leaf(leaf))
            except ValueError:
                self.name(LEAVES, f"entry {index} is not JSON", index)
                return
            if index in chosen and not fits:
                self.name(SELECTION, f"entry {index} is selected, but does not fit", index)
                return
            if index not in chosen and fits and self.manifest.provable:
                self.name(SELECTION, f"entry {index} fits the filter, but is left out", index)
                return

    def check_sealed(self, leaves: list[bytes], start: int, chosen: range | list[int]) -> None:
        """Count the sealed items of selected entries; compare those that are disclosed."""
        ahead = self.next_item if leaves else None
        looked_at = chosen if self.leaves.marked else []
        here = [i for i in looked_at if i - start < len(leaves)]
        sealed = [i for i in here if SEALED in leaves[i - start]]
        for index in sealed:
            commits = commitments(leaves[index - start])
            self.sealed += len(commits)
            while ahead is not None and ahead[0] <= index:
                number, plain = ahead[1:]
                right = number < len(commits) and sha256(plain).hexdigest() == commits[number]
                if ahead[0] < index or not right:
                    self.bad_item(ahead[0])
                    return
                self.opened += 1
                ahead = self.advance_item()
        if ahead is not None and ahead[0] < start + len(leaves):
            self.bad_item(ahead[0])

    def bad_item(self, index: int) -> None:
        count = self.disclosed.count if self.disclosed else 0
        text = f"line {count} is not what entry {index} committed to"
        self.name(DISCLOSED, text, index)
        self.next_item = None

    def advance_item(self) -> tuple[int, int, bytes] | None:
        """Read the next line of what is disclosed."""
        lines = self.disclosed.take(1) if self.disclosed and self.next_item else []
        before, self.next_item = self.next_item, None
        if not lines or self.disclosed is None or before is None:
            return None
        try:
            said = parse_json(lines[0])
        except ValueError:
            said = {}
        index, item, text = said.get("index"), said.get("item"), said.get("plaintext")
        plain = decode_base64(text)
        place = f"line {self.disclosed.count}"
        if not is_count(index) or not is_count(item) or plain is None:
            self.report.tampered(DISCLOSED, f"{place} is malformed")
        elif (index, item) <= before[:2]:
            self.report.tampered(DISCLOSED, f"{place} is out of order", index)
        elif not self.start <= index < self.stop:
            self.report.tampered(DISCLOSED, f"{place} is of an entry outside the range", index)
        else:
            self.next_item = (index, item, plain)
        return self.next_item


def first_difference(left: list[bytes], right: list[bytes]) -> int | None:
    """Return where two lists first differ, as far as both go."""
    count = min(len(left), len(right))
    if left[:count] == right[:count]:  # Nearly always, and quick.
        return None
    return next(at for at in range(count) if left[at] != right[at])


def commitments(leaf: bytes) -> list[Any]:
    """Return the commitments of a leaf's sealed items."""
    try:
        fields = parse_leaf(leaf).get("fields")
    except ValueError:
        return []
    sealed = fields.get("sealed") if isinstance(fields, dict) else None
    items = sealed if isinstance(sealed, list) else []
    return [item.get("commit") if isinstance(item, dict) else None for item in items]


def judge_leaves(folder: Path, entries: Entries, manifest: Manifest) -> bool:
    """Say what is wrong with the leaves by what was signed; return whether nothing is."""
    report, start, stop = entries.report, entries.start, entries.stop
    head, right = manifest.head, manifest.right
    complete, bad = entries.leaves.count == stop - start, entries.bad_leaf
    root = whole_root(entries.tree, stop, head.size, right) if complete else b""
    signed = root == head.root
    if bad is not None and signed:
        report.tampered(HASHES, f"the hash of entry {bad} is not what was signed", bad)
    elif bad is not None:
        tree = Tree(start, manifest.left)
        with open_file(folder, HASHES) as file:
            while stored := Records(file, 32).take(BATCH):
                tree.add(stored)
        whole = entries.hashes.count == stop - start and not entries.hashes.part
        sure = whole and whole_root(tree, stop, head.size, right) == head.root
        doubt = "" if sure else f"; {HASHES} was changed too, so an earlier one may be bad"
        why = claim(entries.bad_line, bad)
        line = bad - start + 1
        report.tampered(LEAVES, f"line {line} is not the signed entry {bad}: {why}{doubt}", bad)
    elif complete and not signed:
        text = f"not what was signed (root {root.hex()}); {HASHES} was changed with it, or the"
        report.tampered(LEAVES, f"{text} proof is wrong, so the first bad entry cannot be named")
    judge_count(entries.leaves, LEAVES, stop - start, stop, report)
    judge_count(entries.hashes, HASHES, stop - start, stop, report)
    return signed


def claim(line: bytes, index: int) -> str:
    """Return what a wrong line says of itself; its index stands near its end."""
    found = line[-80:].rpartition(b',"index":')[2].partition(b",")[0].decode("latin-1")
    if found == str(index):
        return "its content was changed"
    if DECIMAL.fullmatch(found):
        return f"it says that it is entry {found}: a line was removed, inserted or moved"
    return "it does not even look like an entry"


def judge_count(file: Lines | Records, name: str, wanted: int, stop: int, report: Report) -> None:
    """Say whether a file of entries is cut, or goes on after the range."""
    if file.too_long:
        report.tampered(name, f"line {file.count + 1} is longer than an entry can be")
    elif file.count < wanted:
        part = " and a part of the next" if file.part or file.goes_on() else ""
        report.incomplete(name, f"cut after {file.count} of {wanted} entries{part}")
    elif file.goes_on():
        report.tampered(name, f"goes on after entry {stop - 1}, the last of the range")


def judge_entries(
    folder: Path, entries: Entries, manifest: Manifest, roots: dict[str, Head]
) -> None:
    """Say what is wrong with the entries, earlier checkpoints and the selection."""
    report, wanted = entries.report, manifest.count
    signed = judge_leaves(folder, entries, manifest)
    good, bad = entries.start, None
    for name, head in sorted(roots.items(), key=lambda item: item[1].size):
        found = entries.roots.get(head.size)
        if found == head.root and bad is None:
            good = head.size
        elif found is not None and found != head.root and bad is None:
            bad = head.size
            if signed:
                report.tampered(
                    name, "signed, but not a head of this log: two histories were signed"
                )
    if bad is not None and not signed and entries.bad_leaf is None:
        text = f"by the checkpoints, the first bad entry is one of {good} to {bad - 1}"
        report.tampered(LEAVES, text)
    if entries.selection is not None and SELECTION not in entries.named:
        if (entries.selection.count, entries.selection.part) != (wanted, False):
            text = f"holds {entries.selection.count} indices, the manifest says {wanted}"
            report.tampered(SELECTION, text)
        else:
            judge_count(entries.payloads, PAYLOADS, wanted, entries.stop, report)
    elif entries.selection is None:
        judge_count(entries.payloads, PAYLOADS, wanted, entries.stop, report)
    if wanted == 0:
        report.incomplete(SELECTION, "no entry is selected, so there is nothing to prove")


def judge_kept(kept: Path, entries: Entries, manifest: Manifest, trust: Trust) -> None:
    """Check that the log grew out of the receiver's own checkpoint."""
    report, name, since = entries.report, f"--since {show(kept.name)}", manifest.since
    try:
        note = open_note(name, read_outside(kept), trust.keys, trust.witnesses)
        origin, old = parse_checkpoint(name, note)
    except Finding as finding:
        # Of a file of the receiver's own nothing can be said about the bundle.
        raise Incomplete(name, f"no checkpoint that a given key signed ({finding.text})") from None
    known = {**entries.roots, manifest.size: manifest.head.root}
    if since is not None:
        known.setdefault(since.size, since.root)
    if origin != manifest.origin:
        raise Incomplete(name, f"of another log, {show(origin)}")
    if old.size not in known:
        raise Incomplete(
            name,
            f"of size {old.size}: this bundle cannot be compared with it; "
            "have it exported since that checkpoint",
        )
    if known[old.size] != old.root:
        raise Tampered(
            name, f"the first {old.size} entries are not what they were: two histories were signed"
        )
    report.facts.append(f"grew out of your checkpoint of size {old.size}")


def judge_since(manifest: Manifest) -> None:
    since = manifest.since
    if since is not None and not check_consistency(since, manifest.head, manifest.growth):
        text = f"since: the proof does not show that the log grew out of size {since.size}"
        raise Tampered(MANIFEST, text)


# Cosignatures, time stamps, other files.


def utc(seconds: int) -> str:
    if seconds > 253_402_300_799:
        return f"{seconds} s"
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def judge_cosignatures(note: Note, trust: Trust, report: Report) -> None:
    for witness in trust.witnesses:
        if witness.public in note.seen:
            when = utc(note.seen[witness.public])
            report.facts.append(f"cosigned by {witness.label()} at {when}")
    if len(note.seen) < trust.witnesses_min:
        text = f"{len(note.seen)} of {trust.witnesses_min} cosignatures by the given witnesses"
        report.incomplete(CHECKPOINT, text)
    if not trust.witnesses:
        report.unchecked.append(
            "that the holder of the log's key did not rewrite the log: no --witness was given"
        )
    if note.others:
        report.facts.append(f"also signed by {', '.join(note.others[:10])}, not checked")


TOKEN = re.compile(r"tokens/(0|[1-9][0-9]{0,15})/[^/]+\.tsr")
SHA_256 = bytes.fromhex("0609608648016503040201")  # Its object identifier in DER.


def judge_token(folder: Path, name: str, notes: dict[str, Note]) -> str:
    """Check what a token is over; return what is left to check."""
    size, token = name.split("/")[1], read_small(folder, name)
    note = notes.get(f"checkpoints/{size}.txt") or notes.get(size)
    if note is None:
        raise Incomplete(name, f"the checkpoint of size {size} is not here, or not right")
    digest = sha256(note.text.encode()).digest()
    # How DER writes a TSTInfo's messageImprint; openssl, below, looks where it stands.
    if not any(SHA_256 + end + b"\x04\x20" + digest in token for end in (b"", b"\x05\x00")):
        raise Tampered(name, f"not a time-stamp token over the checkpoint of size {size}")
    return (
        f"the authority's signature of {name}: openssl ts -verify -token_in -in '{name}' "
        f"-digest {digest.hex()} -CAfile AUTHORITY.pem"
    )


def compare_files(folder: Path, entries: Entries) -> None:
    """Compare every file with the manifest; what was found cut may differ from it."""
    report = entries.report
    for name, said in sorted(entries.manifest.files.items()):
        digest = sha256()
        if report.has(name) and name in ENTRY_FILES:
            continue
        file = report.attempt(open_file, folder, name)
        if file is None:
            continue
        with file:
            size = os.fstat(file.fileno()).st_size
            while name not in ENTRY_FILES and size == said["bytes"]:
                block = file.read(BLOCK_BYTES)
                if not block:
                    break
                digest.update(block)
        # The tree vouches for every whole line of the files of entries.
        same = name in ENTRY_FILES or digest.hexdigest() == said["sha256"]
        if (size != said["bytes"] or not same) and not report.has(name):
            text = f"not the file that the manifest lists ({size} of {said['bytes']} bytes)"
            report.tampered(name, text)


def unlisted(folder: Path, listed: set[str]) -> list[str]:
    """Return the files below `folder` that nobody vouches for, in order; links are not followed."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            name = os.fsencode(path.relative_to(folder).as_posix())
            found.add(name.decode("utf-8", "replace"))
    return sorted(found - listed)


def judge_rest(folder: Path, entries: Entries, manifest: Manifest) -> None:
    report, files = entries.report, manifest.files
    compare_files(folder, entries)
    others = unlisted(folder, {*files, MANIFEST, MANIFEST_NOTE, TRAILER})
    report.facts += [
        f"{show(name)}: not in the manifest and not looked at" for name in others[:NAMES_MAX]
    ]
    if len(others) > NAMES_MAX:
        report.facts.append(f"{len(others) - NAMES_MAX} more files that are not in the manifest")
    if any(name.startswith("views/") for name in files):
        report.unchecked.append("that the files in views/ say what the entries say")
    if any(name.startswith("contracts/") for name in files):
        report.unchecked.append("that the files in contracts/ are those the events were made by")
    start, stop, size = manifest.start, manifest.stop, manifest.size
    if start:
        report.unchecked.append(f"what the entries before {start} say: they are not in this bundle")
    if stop < size:
        report.unchecked.append(
            f"what the entries {stop} to {size - 1} say: they are not in this bundle"
        )
    report.unchecked.append(
        f"whether the log has entries after {size - 1}, and whether another "
        "history was signed for somebody else: compare size and root"
    )


def tell(entries: Entries, manifest: Manifest) -> None:
    """Take down what the bundle is, by its signed manifest."""
    facts, start, stop, said = entries.report.facts, manifest.start, manifest.stop, manifest.said
    head, actor, count = manifest.head, said.get("actor"), manifest.count
    who = actor.get("id") if isinstance(actor, dict) else None
    facts.append(f"log {show(manifest.origin)}: {head.size} entries, root {head.root.hex()}")
    facts.append(
        f"this bundle: entries {start} to {stop - 1}, {count} selected with their payloads"
    )
    words = {name: show(said.get(name)) for name in ("created", "reason", "ticket")}
    facts.append(
        f"exported {words['created']} by {show(who)}, reason {words['reason']}, "
        f"ticket {words['ticket']}"
    )
    if manifest.reached:
        facts.append(f"cut by the exporter at {said['limits']['entries_max']} entries, as asked")
    if entries.sealed:
        facts.append(
            f"sealed items: {entries.sealed}, of these disclosed and right: {entries.opened}; "
            "the others are hidden or erased"
        )
    if not manifest.provable:
        entries.report.unchecked.append(
            "that every entry that fits the filter's 'fields' is selected: the exporter says so"
        )


def verify(folder: Path, trust: Trust, report: Report) -> None:
    """Check everything in `folder`; what is found stands in `report`."""
    manifest = report.attempt(read_manifest, folder, trust)
    if manifest is None:
        report.unchecked.append("anything else: it is the manifest that says what there is")
        return
    report.attempt(check_trailer, folder, trust, manifest)
    notes: dict[str, Note] = {}
    heads: dict[str, Head] = {}
    for name in sorted({CHECKPOINT, *manifest.files}):
        place = re.fullmatch(r"checkpoints/(0|[1-9][0-9]{0,15})\.txt", name)
        opened = None
        if place or name == CHECKPOINT:
            opened = report.attempt(read_head, folder, name, trust, manifest.origin, report)
        if opened is None:
            continue
        note, head = opened
        wanted = int(place[1]) if place else manifest.size
        inside = not place or manifest.start < wanted <= manifest.stop
        if head.size != wanted or not inside or (not place and head != manifest.head):
            report.tampered(name, "signed, but of another head than the manifest says")
            continue
        notes[name if place else str(manifest.size)] = note
        if place:
            heads[name] = head
        else:
            judge_cosignatures(note, trust, report)
    entries = report.attempt(Entries, folder, manifest, report)
    if entries is None:
        return
    entries.read([head.size for head in heads.values()])
    tell(entries, manifest)
    judge_entries(folder, entries, manifest, heads)
    report.attempt(judge_since, manifest)
    if trust.kept is not None:
        report.attempt(judge_kept, trust.kept, entries, manifest, trust)
    else:
        report.unchecked.append(
            "that the log grew out of what you saw before: no --since was given"
        )
    tokens = [name for name in sorted(manifest.files) if TOKEN.fullmatch(name)]
    right = [report.attempt(judge_token, folder, name, notes) for name in tokens]
    told = [command for command in right if command is not None]
    if told:
        report.facts.append(f"{len(told)} time-stamp tokens over checkpoints")
        report.unchecked += told[-NAMES_MAX:]
    if len(told) > NAMES_MAX:
        report.unchecked.append(f"likewise {len(told) - NAMES_MAX} more time-stamp tokens")
    judge_rest(folder, entries, manifest)


# A single entry's proof: C2SP tlog-proof.


def verify_proof(file: Path, leaf_file: Path | None, trust: Trust, report: Report) -> None:
    """Check that the leaf, given or carried along, is in the log as the proof says."""
    name, place = file.name, leaf_file.name if leaf_file else file.name
    head_lines, blank, checkpoint = read_outside(file).partition(b"\n\n")
    lines = head_lines.decode("utf-8", "replace").split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1" or not blank:
        raise Incomplete(name, "cut, or not a c2sp.org/tlog-proof@v1")
    extra = lines.pop(1)[6:] if lines[1:] and lines[1].startswith("extra ") else None
    leaf = read_outside(leaf_file).removesuffix(b"\n") if leaf_file else decode_base64(extra)
    if leaf is None:
        raise Incomplete(name, "it carries no leaf: give --leaf")
    word, _, number = (lines[1:] or [""])[0].partition(" ")
    index, path = parse_decimal(number), [decode_base64(line) for line in lines[2:]]
    if word != "index" or index is None or any(at is None or len(at) != 32 for at in path):
        raise Tampered(name, "not a c2sp.org/tlog-proof@v1: its index or a hash is malformed")
    note = open_note(name, checkpoint, trust.keys, trust.witnesses)
    origin, head = parse_checkpoint(name, note)
    report.facts.append(f"log {show(origin)}: {head.size} entries, root {head.root.hex()}")
    judge_cosignatures(note, trust, report)
    hashes = [at for at in path if at is not None]
    digest = sha256(b"\x00" + leaf).digest()
    if index >= head.size:
        raise Tampered(name, f"proves entry {index} in a log of {head.size} entries", index)
    if inclusion_root(index, head.size, digest, hashes) != head.root:
        text = f"the leaf is not entry {index} of the log that was signed"
        raise Tampered(place, text, index)
    if leaf.rfind(b',"index":%d,' % index, -80) < 0:
        raise Tampered(place, f"signed, but does not say that it is entry {index}", index)
    report.facts.append(
        f"entry {index} is in it; its payload's SHA-256 is {show(leaf[16:80].decode('latin-1'))}"
    )
    report.unchecked.append("the payload, and every other entry")


# The command.


def run(chosen: argparse.Namespace, report: Report) -> None:
    """Do what the command line asks for; what is found stands in `report`."""
    keys = [parse_key(vkey) for vkey in chosen.key]
    witnesses = [parse_key(vkey, WITNESS_KEY) for vkey in chosen.witness]
    count = len({key.public for key in witnesses})
    wanted = count if chosen.witnesses_min is None else chosen.witnesses_min
    report.facts += [f"key from outside: {key.label()}" for key in keys]
    if chosen.proof is not None:
        if not keys:
            raise Incomplete("", "no key from outside: give --key")
        trust = Trust(keys, witnesses, wanted, None)
        report.attempt(verify_proof, chosen.proof, chosen.leaf, trust, report)
        return
    if not chosen.bundle.is_dir():
        raise Incomplete("", "the bundle is not a folder")
    if not keys:
        report.incomplete("", "no key from outside: at most internally consistent; give --key")
        inside = read_small(chosen.bundle, "key.txt").decode("utf-8", "replace")
        keys = [parse_key(line) for line in inside.strip().split("\n")[:NAMES_MAX]]
    verify(chosen.bundle, Trust(keys, witnesses, wanted, chosen.since), report)


def tell_verdict(chosen: argparse.Namespace, report: Report) -> None:
    found = sorted(report.found, key=lambda finding: isinstance(finding, Incomplete))
    verdict = VERDICTS[report.code()]
    unchecked = [*report.unchecked, *NEVER_CHECKED]
    if chosen.json:
        findings = [
            {
                "class": "tampered" if isinstance(at, Tampered) else "incomplete",
                "file": at.file,
                "index": at.index,
                "text": at.text,
            }
            for at in found
        ]
        said = {"verdict": verdict, "exit_code": report.code(), "findings": findings}
        said |= {"facts": report.facts, "not_checked": unchecked}
        print(json.dumps(said, indent=2, ensure_ascii=False))
        return
    print(f"{verdict}: {show(str(chosen.proof or chosen.bundle))}")
    for at in found:
        mark = "tampered" if isinstance(at, Tampered) else "incomplete"
        print(f"  {mark}: {at.file + ': ' if at.file else ''}{at.text}")
    print(*(f"  {text}" for text in report.facts), sep="\n")
    print("Not checked:", *(f"- {text}" for text in unchecked), sep="\n")


def main(arguments: list[str] | None = None) -> int:
    """Verify as the command line asks; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Verify an export of an event log, offline.", allow_abbrev=False
    )
    add = parser.add_argument
    add("bundle", nargs="?", type=Path, help="the folder of the export")
    add("--key", action="append", default=[], metavar="VKEY", help="a key of the log; repeatable")
    add("--witness", action="append", default=[], metavar="VKEY", help="of a witness; repeatable")
    add("--witnesses-min", type=int, metavar="K", help="cosignatures needed; default: all given")
    add("--since", type=Path, metavar="FILE", help="a checkpoint of this log that you kept")
    add("--proof", type=Path, metavar="FILE", help="a .tlog-proof of one entry")
    add("--leaf", type=Path, metavar="FILE", help="its exact leaf, if the proof carries none")
    add("--json", action="store_true", help="print the verdict for machines")
    chosen, report = parser.parse_args(arguments), Report()
    if (chosen.bundle is None) == (chosen.proof is None) or (chosen.leaf and not chosen.proof):
        parser.error("give BUNDLE, or --proof")
    if chosen.witnesses_min is not None and chosen.witnesses_min < 1:
        parser.error("--witnesses-min is at least 1")
    try:
        with report.files:
            report.attempt(run, chosen, report)
    except Exception as exc:  # A verifier that breaks down has verified nothing.
        report.incomplete("", f"this verifier broke down: {type(exc).__name__}")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    tell_verdict(chosen, report)
    return report.code()


if __name__ == "__main__":
    sys.exit(main())
