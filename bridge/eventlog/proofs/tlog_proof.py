"""One entry's proof as one text file, in the form of C2SP `tlog-proof`.

It holds the entry's index, the audit path (RFC 6962 section 2.1.1) and a checkpoint with all its
signatures, so that it is checked offline with the log's public key alone. As extra data it carries
the entry's leaf: nothing vouches for extra data but this proof, which is about that leaf's hash.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge.eventlog.leaf import LEAF_BYTES_MAX
from bridge.eventlog.merkle import HASH_BYTES, check_inclusion
from bridge.eventlog.signing.checkpoint import parse_checkpoint
from bridge.eventlog.signing.note import NOTE_BYTES_MAX, VerifierKey, open_note
from bridge.model.entry import TreeHead
from bridge.model.errors import DecodeError, LogCorrupt

TITLE: Final = "c2sp.org/tlog-proof@v1"
SUFFIX: Final = ".tlog-proof"

# The path in a tree of 2^63 leaves.
HASHES_MAX: Final = 63

PROOF_BYTES_MAX: Final = NOTE_BYTES_MAX + 2 * LEAF_BYTES_MAX
"""A note, a leaf in base64, and what stands between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """That an entry stands in a log, not yet believed."""

    index: int
    hashes: tuple[bytes, ...]
    """From the leaf's sibling up to a child of the root."""
    checkpoint: bytes
    """The signed note, with cosignatures."""
    extra: bytes | None = None
    """The leaf; None when it is not given along."""

    def format(self) -> bytes:
        """Return the file."""
        lines = [TITLE]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(node).decode() for node in self.hashes]
        return "".join(f"{line}\n" for line in [*lines, ""]).encode() + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> "TlogProof":
        """Return the proof that `format` wrote; raises `DecodeError` for anything else."""
        if len(data) > PROOF_BYTES_MAX:
            raise DecodeError(f"cannot read a proof: more than {PROOF_BYTES_MAX} bytes")
        head, blank, checkpoint = data.partition(b"\n\n")
        title, *lines = head.split(b"\n")
        if title != TITLE.encode() or not blank or not checkpoint:
            raise DecodeError(
                f"cannot read a proof: expected {TITLE!r}, lines, an empty line and a checkpoint"
            )
        extra = None
        if lines and lines[0].startswith(b"extra "):
            extra = _unbase64(lines.pop(0).removeprefix(b"extra "))
        word, _, number = (lines.pop(0) if lines else b"").partition(b" ")
        # Nineteen digits hold the largest index; more would only be work.
        canonical = number.isdigit() and len(number) < 20 and str(int(number)).encode() == number
        if word != b"index" or not canonical:
            raise DecodeError("cannot read a proof: expected a line 'index N'")
        hashes = tuple(_unbase64(line) for line in lines)
        if len(hashes) > HASHES_MAX or any(len(node) != HASH_BYTES for node in hashes):
            raise DecodeError(
                f"cannot read a proof: expected at most {HASHES_MAX} hashes of {HASH_BYTES} bytes"
            )
        return cls(index=int(number), hashes=hashes, checkpoint=checkpoint, extra=extra)


def check_proof(proof: TlogProof, leaf_hash: bytes, keys: Sequence[VerifierKey]) -> TreeHead:
    """Return the signed head under which `proof` shows the leaf of `leaf_hash`.

    `keys` come from outside; one signature by any of them is enough.

    Raises:
        DecodeError: the checkpoint is none.
        LogCorrupt: no given key signed the checkpoint, or it does not hold the leaf at this index.
    """
    origin, head = parse_checkpoint(open_note(proof.checkpoint, *keys))
    if origin not in {key.name for key in keys}:
        raise LogCorrupt(f"cannot believe a proof: it is about log {origin!r}, the keys are not")
    if not check_inclusion(leaf_hash, proof.index, head.size, head.root, proof.hashes):
        raise LogCorrupt(
            f"cannot believe a proof: the leaf that hashes to {leaf_hash.hex()[:8]}… is not entry "
            f"{proof.index} of the log of {head.size} entries"
        )
    return head


def _unbase64(line: bytes) -> bytes:
    try:
        data = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise DecodeError("cannot read a proof: a line is not base64") from exc
    if base64.b64encode(data) != line:
        raise DecodeError("cannot read a proof: a line is not how base64 is written")
    return data
