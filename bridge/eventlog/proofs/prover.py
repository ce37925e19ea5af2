"""Make proofs from a stored log: an entry is in it; it grew out of an earlier head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.eventlog.merkle import check_consistency, prove_consistency, prove_inclusion
from bridge.eventlog.ports import CheckpointStore, EventLogReader
from bridge.eventlog.proofs.tlog_proof import TlogProof
from bridge.eventlog.signing.checkpoint import parse_checkpoint
from bridge.eventlog.signing.note import VerifierKey, open_note
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.eventlog.witness.submission import format_submission
from bridge.model.entry import StoredEntry, TreeHead
from bridge.model.errors import LogCorrupt, NotKnown


class ProvableLog(EventLogReader, CheckpointStore, Protocol):
    """What proofs need of a log; it cannot append."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """That a head grew out of an earlier one: nothing before it was changed, removed or moved."""

    old: TreeHead
    head: TreeHead
    hashes: tuple[bytes, ...]
    """RFC 6962 section 2.1.2."""
    checkpoint: bytes
    """The signed note of `head`."""

    def format(self) -> bytes:
        """Return it as text: what C2SP `tlog-witness` defines for a witness to check."""
        return format_submission(self.old.size, self.hashes, self.checkpoint)


def entry_named(log: EventLogReader, name: str) -> StoredEntry:
    """Return the entry whose index or id is `name`; a number is an index.

    Raises:
        NotKnown: there is none, or it was pruned.
    """
    if name.isascii() and name.isdigit():
        index = int(name[:19])
        found = log.read(index, 1) if index < log.head().size else []
        entry = found[0] if found and found[0].leaf_index == index else None
    else:
        entry = log.find(name)
    if entry is None:
        raise NotKnown(
            f"cannot find entry {name[:100]!r}: the log has {log.head().size} entries, and none "
            "that is stored has this index or id"
        )
    return entry


def prove_entry(log: ProvableLog, entry: StoredEntry) -> TlogProof:
    """Return the proof of `entry` under the newest checkpoint, with the leaf along.

    Raises:
        NotKnown: no checkpoint covers the entry yet.
        LogPruned: what the proof is made of was pruned.
    """
    index = entry.leaf_index
    latest = log.latest_checkpoint()
    if latest is None or latest[0] <= index:
        raise NotKnown(
            f"cannot prove entry {index} yet: the newest checkpoint covers "
            f"{0 if latest is None else latest[0]} entries; try again in a few seconds"
        )
    size, note = latest
    hashes = prove_inclusion(StoredHashes(log), index, size)
    return TlogProof(index=index, hashes=tuple(hashes), checkpoint=note, extra=entry.leaf)


def prove_continuation(
    log: ProvableLog, earlier: bytes, keys: Sequence[VerifierKey]
) -> Continuation:
    """Return the proof that the newest checkpoint continues the `earlier` one.

    Args:
        log: the log as it is now.
        earlier: a signed checkpoint that somebody kept.
        keys: every key that the log ever had.

    Raises:
        DecodeError: `earlier` is no signed checkpoint.
        LogCorrupt: none of `keys` signed it, or the log does not continue it.
        NotKnown: the log has no checkpoint yet.
    """
    _, old = parse_checkpoint(open_note(earlier, *keys))
    latest = log.latest_checkpoint()
    if latest is None:
        raise NotKnown("cannot prove that the log grew: it was never signed")
    note = latest[1]
    _, head = parse_checkpoint(open_note(note, *keys))
    if old.size > head.size:
        raise LogCorrupt(
            f"event log is not what was signed: its newest checkpoint covers {head.size} entries, "
            f"the kept one {old.size}; the log was cut or restored from an old backup"
        )
    hashes: list[bytes] = []
    if old.size > 0:
        hashes = prove_consistency(StoredHashes(log), old.size, head.size)
        if not check_consistency(old.size, old.root, head.size, head.root, hashes):
            raise LogCorrupt(
                f"event log is not what was signed: its first {old.size} entries of {head.size} "
                f"are not those of the kept checkpoint with root {old.root.hex()[:8]}…; entries "
                "before it were changed, removed, added or moved"
            )
    return Continuation(old=old, head=head, hashes=tuple(hashes), checkpoint=note)
