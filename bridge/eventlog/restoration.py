"""Notice that a log came back from an old backup, and go on honestly once a person accepts it.

A log that lacks entries which were signed must not be appended to under its name: the next head
would contradict one that auditors and witnesses hold. So it goes on under a new origin. Everything
up to the loss stays provable twice, by the checkpoints of the old origin and by those of the new;
what is lost is named in a RESTORE entry, together with the last head of the old origin.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from bridge.eventlog.ports import CheckpointStore, EventLogReader, PrunableLog
from bridge.eventlog.records.action_record import action_draft
from bridge.eventlog.stored_hashes import stored_frontier
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import LogPruned, LogRestored
from bridge.model.warrant import Warrant

ACTION = "restore-accept"

COMMAND = "legacy-bridge log accept-restore"


class Witnessed(NamedTuple):
    """What somebody outside the log's store knows of it."""

    who: str
    """In words: `the signing key`, `sink 'rabbitmq'`."""
    size: int
    """The log had at least this many entries."""
    root: bytes | None = None
    """The root over them, where it is known."""


class ReadLog(EventLogReader, PrunableLog, CheckpointStore, Protocol):
    """What finding a restored log reads."""


class Loss(NamedTuple):
    """Entries that others know of and the log does not have any more."""

    start: int
    """Up to here the log is what it was."""
    stop: int
    """It had at least this many entries."""
    who: str
    forked: bool
    """Whether other entries stand where the lost ones stood."""


def find_loss(log: ReadLog, known: Sequence[Witnessed]) -> Loss | None:
    """Return what the log lacks of what is `known` of it, which was read before the call."""
    size = log.head().size
    losses = []
    for who, known_size, root in known:
        if known_size > size:
            losses.append(Loss(size, known_size, who, False))
        elif root is not None and known_size and _root(log, known_size) not in (root, None):
            losses.append(Loss(_common(log, known_size), known_size, who, True))
    return max(losses, key=lambda loss: loss.stop, default=None)


def restored_error(loss: Loss, size: int) -> LogRestored:
    """Return the error that appends are refused with."""
    found = (
        f"its first {loss.stop} entries are not those that {loss.who} knows"
        if loss.forked
        else f"it has {size} entries, but {loss.who} knows of {loss.stop}"
    )
    return LogRestored(
        f"cannot append to the event log: {found}; it was cut, or restored from an old backup: "
        f"bring back a newer copy, or accept the loss with '{COMMAND}'"
    )


def restore_draft(
    loss: Loss,
    warrant: Warrant,
    *,
    at: datetime,
    old_origin: str,
    new_origin: str,
    last_note: str | None,
) -> EntryDraft:
    """Return the entry that names the loss, the last head before it and the name that goes on.

    Its id is the same when it is accepted again after a crash.
    """
    return action_draft(
        EntryKind.RESTORE,
        ACTION,
        warrant,
        at=at,
        entry_id=f"restore:{old_origin}:{loss.stop}",
        fields={
            "lost": {"start": loss.start, "stop": loss.stop, "forked": loss.forked},
            "known_by": loss.who,
            "old_origin": old_origin,
            "new_origin": new_origin,
        },
        payload={"last_checkpoint": last_note},
    )


def _root(log: EventLogReader, size: int) -> bytes | None:
    try:
        return stored_frontier(log, size).root()
    except LogPruned:
        # It was never kept as a checkpoint, so nothing can be said.
        return None


def _common(log: ReadLog, below: int) -> int:
    """Return the size of the newest checkpoint that the log has before `below`; 0 without one."""
    latest, after = 0, 0
    while page := log.checkpoints(after, 1_000):
        sizes = [size for size, _ in page if size < below]
        latest = max([latest, *sizes])
        if len(sizes) < len(page):
            break
        after = page[-1][0] + 1
    return latest
