"""Makes bundles by docs/bundle-format.md alone: with nothing of the exporter's.

What the verifiers say about these bundles is decided by the page; a mistake that exporter and
verifier would share does not stay hidden.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = "test.example/log"
KINDS = ("event", "event", "event", "parked", "route", "access")
TYPES = ("order.created", "order.updated", "invoice.paid")
SECONDS_OF_FIRST = 1_790_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key of a log (type 1) or of a witness (type 4), as C2SP signed-note has them."""

    name: str
    private: Ed25519PrivateKey
    type: int = 1

    @property
    def _encoded(self) -> bytes:
        return bytes([self.type]) + self.private.public_key().public_bytes_raw()

    @property
    def _key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + self._encoded).digest()[:4]

    @property
    def vkey(self) -> str:
        """The text that an auditor has from outside."""
        encoded = base64.b64encode(self._encoded).decode()
        return f"{self.name}+{self._key_id.hex()}+{encoded}"

    def line(self, text: str, *, seconds: int = SECONDS_OF_FIRST) -> str:
        """Return the signature line under a note with `text`."""
        if self.type == 1:
            signature = self.private.sign(text.encode())
        else:
            stated = f"cosignature/v1\ntime {seconds}\n{text}"
            signature = seconds.to_bytes(8, "big") + self.private.sign(stated.encode())
        return f"— {self.name} {base64.b64encode(self._key_id + signature).decode()}\n"


def key_from(seed: int, *, name: str = ORIGIN, witness: bool = False) -> SigningKey:
    """Return the same key for the same seed."""
    private = Ed25519PrivateKey.from_private_bytes(sha256(b"key %d" % seed).digest())
    return SigningKey(name=name, private=private, type=4 if witness else 1)


def sign(text: str, keys: Iterable[SigningKey]) -> bytes:
    """Return the note of `text`, signed by each of `keys`."""
    return f"{text}\n{''.join(key.line(text) for key in keys)}".encode()


def leaf_hash(leaf: bytes) -> bytes:
    """Return RFC 6962's hash of a leaf."""
    return sha256(b"\x00" + leaf).digest()


def root_of(hashes: list[bytes]) -> bytes:
    """Return RFC 6962's MTH over leaf hashes, as the definition says it."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256().digest()
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + root_of(hashes[:split]) + root_of(hashes[split:])).digest()


def subtrees(start: int, stop: int) -> list[tuple[int, int]]:
    """Return the largest aligned subtrees that [start, stop) consists of, left to right."""
    found = []
    while start < stop:
        size = start & -start or 1 << stop.bit_length()
        while start + size > stop:
            size //= 2
        found.append((start, start + size))
        start += size
    return found


def consistency(old: int, hashes: list[bytes], *, whole: bool = True) -> list[bytes]:
    """Return RFC 6962 section 2.1.2's SUBPROOF, as the definition says it."""
    if old == len(hashes):
        return [] if whole else [root_of(hashes)]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    if old <= split:
        return [*consistency(old, hashes[:split], whole=whole), root_of(hashes[split:])]
    return [*consistency(old - split, hashes[split:], whole=False), root_of(hashes[:split])]


def inclusion(index: int, hashes: list[bytes]) -> list[bytes]:
    """Return RFC 6962 section 2.1.1's PATH, as the definition says it."""
    if len(hashes) < 2:
        return []
    split = 1 << (len(hashes) - 1).bit_length() - 1
    if index < split:
        return [*inclusion(index, hashes[:split]), root_of(hashes[split:])]
    return [*inclusion(index - split, hashes[split:]), root_of(hashes[:split])]


@dataclass(frozen=True, slots=True)
class MadeLog:
    """A log's content: leaves, payloads, and the plaintexts of sealed items by entry."""

    leaves: list[bytes]
    payloads: list[bytes]
    plaintexts: dict[int, list[bytes]] = field(default_factory=dict)

    @property
    def hashes(self) -> list[bytes]:
        """The leaf hashes."""
        return [leaf_hash(leaf) for leaf in self.leaves]

    def checkpoint_text(self, size: int) -> str:
        """Return the text of the checkpoint over the first `size` entries."""
        root = base64.b64encode(root_of(self.hashes[:size])).decode()
        return f"{ORIGIN}\n{size}\n{root}\n"

    def said(self, index: int) -> dict[str, Any]:
        """Return what a leaf says."""
        found: dict[str, Any] = json.loads(self.leaves[index])
        return found


def compact(value: object) -> bytes:
    """Return JSON as leaves have it: sorted, without spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def make_log(count: int, seed: int = 0) -> MadeLog:
    """Return a log of `count` entries; every sixth or so has sealed fields."""
    random, log = Random(seed), MadeLog([], [])
    for index in range(count):
        payload = compact({"data": {"n": index, "note": "x" * random.randrange(40), "s": "銀行"}})
        kind = random.choice(KINDS)
        # Times with digits of every number, as other writers have them.
        digits = random.choice(["", ".5", ".653", ".653291", ".653291877"])
        fields: dict[str, Any] = {
            "time": f"2026-11-21T13:{index // 60 % 60:02d}:{index % 60:02d}{digits}Z",
            "correlation": f"c{random.randrange(5)}",
        }
        if kind == "event":
            fields["type"] = random.choice(TYPES)
        else:
            fields["actor"] = {"id": random.choice(["ana", "bo"]), "known": "login"}
        if kind == "event" and random.random() < 0.3:
            plain = [random.randbytes(32) + b'{"/name":"%d"}' % at for at in range(2)]
            log.plaintexts[index] = plain
            fields["sealed"] = [
                {"commit": sha256(each).hexdigest(), "key": "k1", "subject": "p1"} for each in plain
            ]
        leaf = {
            "data_sha256": sha256(payload).hexdigest(),
            "entity": f"e{random.randrange(4)}",
            "fields": fields,
            "id": f"shop:{seed:08X}:{index:016X}",
            "index": index,
            "kind": kind,
            "v": 2,
        }
        log.leaves.append(compact(leaf))
        log.payloads.append(payload)
    return log


def token_over(text: str) -> bytes:
    """Return bytes with a TSTInfo's imprint of `text` where a token has it, signed by nobody."""
    imprint = bytes.fromhex("3031300d060960864801650304020105000420")
    return b"\x30\x82\x01\x00token" + imprint + sha256(text.encode()).digest() + b"rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a bundle has."""

    start: int = 0
    stop: int
    size: int
    filter: dict[str, Any] | None = None
    selected: tuple[int, ...] | None = None
    """Given with a filter: the maker does not decide what fits."""
    since: int | None = None
    checkpoints: tuple[int, ...] = ()
    witnesses: tuple[SigningKey, ...] = ()
    tokens: bool = False
    disclose: bool = False
    extra: Mapping[str, bytes] = field(default_factory=dict)
    """More files: path to bytes; their role is the first part of the path."""


def make_bundle(log: MadeLog, wish: Wish, keys: list[SigningKey]) -> dict[str, bytes]:
    """Return the files of a bundle, signed by `keys`."""
    files, records = _entry_files(log, wish)
    signers = [*keys, *wish.witnesses]
    files["checkpoint.txt"] = sign(log.checkpoint_text(wish.size), signers)
    for size in wish.checkpoints:
        files[f"checkpoints/{size}.txt"] = sign(log.checkpoint_text(size), signers)
    if wish.tokens:
        for size in (*wish.checkpoints, wish.size):
            files[f"tokens/{size}/tsa.tsr"] = token_over(log.checkpoint_text(size))
    files["key.txt"] = "".join(f"{key.vkey}\n" for key in keys).encode()
    files |= wish.extra
    manifest = _manifest(log, wish, files, records)
    return seal_bundle(files, manifest, keys)


def seal_bundle(
    files: dict[str, bytes], manifest: dict[str, Any], keys: list[SigningKey]
) -> dict[str, bytes]:
    """Return `files` with manifest, its note and the trailer."""
    data = json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"
    return seal_bytes(files, data, manifest, keys)


def seal_bytes(
    files: dict[str, bytes], data: bytes, manifest: dict[str, Any], keys: list[SigningKey]
) -> dict[str, bytes]:
    """Return `files` with the exact bytes of a manifest, its note and the trailer."""
    digest = sha256(data).hexdigest()
    leaves = manifest["range"]["stop"] - manifest["range"]["start"]
    counts = f"{len(manifest['files'])}\n{leaves}\n{manifest['selection']['count']}\n"
    note = sign(f"legacy-bridge export manifest v2\n{len(data)}\n{digest}\n", keys)
    trailer = sign(f"legacy-bridge export trailer v2\n{digest}\n{counts}", keys)
    return {**files, "manifest.json": data, "manifest.note": note, "trailer.note": trailer}


def _entry_files(log: MadeLog, wish: Wish) -> tuple[dict[str, bytes], dict[str, int]]:
    chosen = list(range(wish.start, wish.stop)) if wish.selected is None else [*wish.selected]
    lines = [leaf + b"\n" for leaf in log.leaves[wish.start : wish.stop]]
    files = {
        "leaves.jsonl": b"".join(lines),
        "hashes.bin": b"".join(log.hashes[wish.start : wish.stop]),
        "payloads.jsonl": b"".join(log.payloads[index] + b"\n" for index in chosen),
    }
    records = {
        "leaves.jsonl": len(lines),
        "hashes.bin": len(lines),
        "payloads.jsonl": len(chosen),
    }
    if wish.filter is not None:
        files["selection.bin"] = b"".join(index.to_bytes(8, "big") for index in chosen)
        records["selection.bin"] = len(chosen)
    if wish.disclose:
        # One item of each entry stays hidden, as if it were erased.
        opened = [
            {"index": index, "item": 1, "plaintext": base64.b64encode(plain[1]).decode()}
            for index, plain in sorted(log.plaintexts.items())
            if index in chosen
        ]
        files["disclosed.jsonl"] = b"".join(compact(line) + b"\n" for line in opened)
        records["disclosed.jsonl"] = len(opened)
    return files, records


_ROLES = {
    "leaves.jsonl": "leaves",
    "hashes.bin": "hashes",
    "payloads.jsonl": "payloads",
    "selection.bin": "selection",
    "disclosed.jsonl": "disclosed",
    "checkpoint.txt": "checkpoint",
    "key.txt": "key",
}


def _manifest(
    log: MadeLog, wish: Wish, files: Mapping[str, bytes], records: Mapping[str, int]
) -> dict[str, Any]:
    hashes = log.hashes
    ahead = [root_of(hashes[a:b]).hex() for a, b in subtrees(0, wish.start)]
    behind = [root_of(hashes[a:b]).hex() for a, b in subtrees(wish.stop, wish.size)]
    since = wish.since and {
        "size": wish.since,
        "root": root_of(hashes[: wish.since]).hex(),
        "proof": [each.hex() for each in consistency(wish.since, hashes[: wish.size])],
    }
    return {
        "format": "legacy-bridge-export",
        "version": 2,
        "origin": ORIGIN,
        "created": "2026-11-21T13:23:04.653291Z",
        "actor": {"id": "ana", "known": "login", "type": "person"},
        "reason": "年次監査",
        "ticket": "AUD-7",
        "entry_id": "export:1",
        "range": {"start": wish.start, "stop": wish.stop},
        "head": {"size": wish.size, "root": root_of(hashes[: wish.size]).hex()},
        "proof": {"left": ahead, "right": behind},
        "since": since,
        "minimum_index": 0,
        "filter": wish.filter,
        "selection": {
            "count": records["payloads.jsonl"],
            "provable": "fields" not in (wish.filter or {}),
        },
        "limits": {"entries_max": None, "reached": False},
        "files": {
            path: {
                "role": _ROLES.get(path, path.split("/")[0].rstrip("s")),
                "records": records.get(path),
                "bytes": len(data),
                "sha256": sha256(data).hexdigest(),
            }
            for path, data in files.items()
        },
    }


def make_proof(log: MadeLog, index: int, size: int, keys: Iterable[SigningKey]) -> bytes:
    """Return a C2SP tlog-proof of one entry."""
    path = inclusion(index, log.hashes[:size])
    lines = [base64.b64encode(each).decode() for each in path]
    head = "\n".join(["c2sp.org/tlog-proof@v1", f"index {index}", *lines])
    return head.encode() + b"\n\n" + sign(log.checkpoint_text(size), keys)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder that is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
