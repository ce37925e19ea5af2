"""Whether a witness may cosign a submitted checkpoint: the checks of C2SP `tlog-witness`, pure.

The order of the checks is the specification's: who looks at an answer learns from it what is wrong.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from bridge.eventlog.merkle import EMPTY_ROOT, check_consistency
from bridge.eventlog.signing.checkpoint import parse_checkpoint
from bridge.eventlog.signing.note import VerifierKey, open_note, split_note
from bridge.eventlog.witness.submission import SIZE_MAX, Submission
from bridge.model.entry import TreeHead
from bridge.model.errors import DecodeError, LogCorrupt


class Finding(Enum):
    """What a witness found; the value is the HTTP status that says so."""

    CONSISTENT = 200
    MALFORMED = 400
    NOT_TRUSTED = 403  # No signature by a key that we trust for this log, or a wrong one.
    UNKNOWN_LOG = 404
    STALE = 409  # The log thinks that we are elsewhere; the answer tells where we are.
    FORKED = -409  # As many entries as we cosigned, and another root. Told as 409 as well.
    UNPROVEN = 422  # The proof does not lead from what we cosigned to this.


class Verdict(NamedTuple):
    """What a witness makes of a submission."""

    finding: Finding
    origin: str = ""
    head: TreeHead | None = None
    """The submitted head, once its signature is known to be right."""
    text: str = ""
    """The text of the checkpoint, which a cosignature is over."""
    why: str = ""


LogKeys = Mapping[str, Sequence[VerifierKey]]
"""Origin → the keys that may sign for this log: two of them while a key is changed."""


def read_checkpoint(note: bytes, keys: LogKeys) -> Verdict:
    """Return who has signed what: `CONSISTENT` (nothing was compared yet) or what is wrong."""
    try:
        text, _ = split_note(note)
        origin, head = parse_checkpoint(text)
    except (DecodeError, ValueError) as exc:  # ValueError: thousands of digits.
        return Verdict(Finding.MALFORMED, why=str(exc))
    if head.size > SIZE_MAX:
        return Verdict(Finding.MALFORMED, why="cannot read a checkpoint: its size is too large")
    if origin not in keys:
        return Verdict(Finding.UNKNOWN_LOG, origin=origin, why="no key is configured for this log")
    try:
        open_note(note, *keys[origin])
    except (DecodeError, LogCorrupt) as exc:
        return Verdict(Finding.NOT_TRUSTED, origin=origin, why=str(exc))
    return Verdict(Finding.CONSISTENT, origin=origin, head=head, text=text)


def judge(submission: Submission, read: Verdict, kept: TreeHead | None) -> Verdict:
    """Return whether the checkpoint that was `read` continues what we cosigned last.

    Args:
        submission: old size and proof.
        read: what `read_checkpoint` found; anything but `CONSISTENT` is returned as it is.
        kept: the head that we cosigned last for this log, or None.
    """
    head = read.head
    if head is None:
        return read
    old_size = submission.old_size
    if old_size > head.size:
        return read._replace(
            finding=Finding.MALFORMED, why=f"old size {old_size} is above the size {head.size}"
        )
    kept_size = 0 if kept is None else kept.size
    if old_size != kept_size:
        return read._replace(
            finding=Finding.STALE, why=f"old size is {old_size}, {kept_size} were cosigned"
        )
    # Nothing can contradict an empty tree, of which there is one only.
    if kept is None or kept.size == 0:
        fits = not submission.proof and (head.size > 0 or head.root == EMPTY_ROOT)
    elif head.size == kept.size and head.root != kept.root:
        return read._replace(
            finding=Finding.FORKED, why=f"two roots over the same {head.size} entries are signed"
        )
    else:
        fits = check_consistency(kept.size, kept.root, head.size, head.root, submission.proof)
    if not fits:
        return read._replace(
            finding=Finding.UNPROVEN,
            why=f"the proof from {kept_size} to {head.size} entries does not fit",
        )
    return read
