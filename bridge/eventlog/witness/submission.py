"""What a log asks of a witness, and how a witness answers, as bytes (C2SP `tlog-witness`).

A request is the line `old SIZE`, up to 63 lines of a consistency proof (RFC 6962 section 2.1.2),
an empty line, and the signed checkpoint.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.eventlog.merkle import HASH_BYTES
from bridge.model.errors import DecodeError

# The specification's limit; a tree of 2^63 leaves needs no more.
PROOF_LINES_MAX = 63
# 63 lines of a proof take 3 KB; the rest is a note of as many as 100 signatures, ML-DSA ones apart.
SUBMISSION_BYTES_MAX = 64 * 1024
# Sizes are signed 64-bit numbers wherever they are stored.
SIZE_MAX = 2**63 - 1

SIZE_CONTENT_TYPE = "text/x.tlog.size"
"""Content type of the answer 409, whose body is the size that the witness cosigned last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A checkpoint, and the proof that it continues the one of `old_size` entries."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes


def format_submission(old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """Return the body of a request."""
    lines = [f"old {old_size}", *(base64.b64encode(node).decode() for node in proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + note


def parse_submission(body: bytes) -> Submission:
    """Return what `format_submission` wrote; raises `DecodeError` for anything else."""
    if len(body) > SUBMISSION_BYTES_MAX:
        raise DecodeError(
            f"cannot read a submission: {len(body)} bytes, at most {SUBMISSION_BYTES_MAX} are taken"
        )
    head, blank, note = body.partition(b"\n\n")
    if not blank or not note:
        raise DecodeError("cannot read a submission: expected an empty line before the checkpoint")
    first, *lines = head.split(b"\n")
    word, space, number = first.partition(b" ")
    if word != b"old" or not space:
        raise DecodeError("cannot read a submission: it does not begin with 'old' and a size")
    if len(lines) > PROOF_LINES_MAX:
        raise DecodeError(
            f"cannot read a submission: {len(lines)} lines of proof, at most {PROOF_LINES_MAX} "
            "are taken"
        )
    return Submission(
        old_size=parse_size(number), proof=tuple(_node(line) for line in lines), note=note
    )


def parse_size(text: bytes) -> int:
    """Return a tree size in decimal without leading zeroes; raises `DecodeError`."""
    # Nineteen digits hold the largest size; more would only be work.
    if not text.isdigit() or len(text) > 19 or (text[:1] == b"0" and text != b"0"):
        raise DecodeError("cannot read a tree size: expected a decimal without leading zeroes")
    size = int(text)
    if size > SIZE_MAX:
        raise DecodeError(f"cannot read a tree size: {size} is above {SIZE_MAX}")
    return size


def _node(line: bytes) -> bytes:
    try:
        node = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise DecodeError("cannot read a submission: a line of proof is not base64") from exc
    if len(node) != HASH_BYTES or base64.b64encode(node) != line:
        raise DecodeError(
            f"cannot read a submission: a line of proof holds {len(node)} bytes, a hash has "
            f"{HASH_BYTES}"
        )
    return node
