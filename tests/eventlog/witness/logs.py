"""Logs that are signed, and a witness beside them, for tests."""

from pathlib import Path

from bridge.eventlog.merkle import prove_consistency
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import format_checkpoint
from bridge.eventlog.signing.signer import Signer
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.eventlog.witness.cosigner import CosigningKey, Witness
from bridge.eventlog.witness.heads import KeptHeads
from bridge.eventlog.witness.ports import Told
from bridge.eventlog.witness.submission import format_submission
from bridge.model.entry import TreeHead
from bridge.model.errors import UpstreamUnavailable
from bridge.model.observer import Observer
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import draft, drafts

ORIGIN = "legacy-bridge.example/log"
WITNESS = "witness.partner.example/w1"


def signer_in(folder: Path, origin: str = ORIGIN) -> Signer:
    """Return the log's signer; its key is made once for each folder."""
    return Signer.load_or_create(folder / "log.key", origin=origin)


def witness_in(
    folder: Path, signer: Signer, observer: Observer | None = None, now: float = 1_700_000_000.0
) -> Witness:
    """Return a witness that trusts `signer`; its state is in `folder`, as after a restart."""
    key = CosigningKey.load_or_create(folder / "witness.key", WITNESS)
    heads = KeptHeads(folder / "witness")
    return Witness(key, {signer.origin: [signer.key]}, heads, observer=observer, clock=lambda: now)


def log_of(size: int, *, forged_at: int | None = None) -> MemoryEventLog:
    """Return a log of `size` entries; the one at `forged_at` is not what it was."""
    log = MemoryEventLog()
    entries = drafts(0, size)
    if forged_at is not None and forged_at < size:
        entries[forged_at] = draft(forged_at, size=41)
    log.append(entries)
    return log


def head_at(log: EventLogStore, size: int) -> TreeHead:
    """Return the head that the log had when it was of `size`."""
    prefix = MemoryEventLog()
    if size:
        prefix.append(
            [draft(entry.leaf_index, size=_padding(entry.payload)) for entry in log.read(0, size)]
        )
    return prefix.head()


def _padding(payload: bytes) -> int:
    return payload.count(b"x")


def submission(signer: Signer, log: EventLogStore, old_size: int, size: int) -> bytes:
    """Return what an honest log would send, made over whatever `log` is."""
    note = signer.sign(format_checkpoint(signer.origin, head_at(log, size)))
    proof = []
    if 0 < old_size < size:
        proof = prove_consistency(StoredHashes(log), old_size, size)
    return format_submission(old_size, proof, note)


class DirectLink:
    """A `WitnessLink` without a network, which can be told to fail."""

    def __init__(self, witness: Witness) -> None:
        self.witness = witness
        self.away = False
        self.lose_answers = False
        self.answer: Told | None = None
        """Answered instead of what the witness says."""
        self.asked = 0

    def add_checkpoint(self, submission: bytes) -> Told:
        """See `WitnessLink`."""
        self.asked += 1
        if self.away:
            raise UpstreamUnavailable("cannot ask witness 'partner': refused")
        if self.answer is not None:
            return self.answer
        answer = self.witness.add_checkpoint(submission)
        if self.lose_answers:
            raise UpstreamUnavailable("cannot ask witness 'partner': timed out")
        return Told(answer.status, answer.body)
