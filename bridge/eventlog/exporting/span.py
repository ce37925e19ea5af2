"""Which entries an export is about, and how it ties to what the receiver has from earlier."""

from typing import Any

from bridge.eventlog.exporting.evidence import head_json
from bridge.eventlog.exporting.order import ExportOrder
from bridge.eventlog.merkle import check_consistency, prove_consistency
from bridge.eventlog.ports import EventLogReader
from bridge.eventlog.signing.checkpoint import parse_checkpoint
from bridge.eventlog.signing.note import split_note
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.model.entry import TreeHead
from bridge.model.errors import ConfigInvalid, DecodeError, LogCorrupt


def resolve_range(order: ExportOrder, first_index: int, size: int) -> dict[str, int]:
    """Return first index and index after the last; raises `ConfigInvalid` when that is nothing."""
    start = first_index if order.start is None else order.start
    stop = size if order.stop is None else order.stop
    if start < first_index:
        raise ConfigInvalid(
            f"cannot export from entry {start} on: the log was pruned, its first stored entry is "
            f"{first_index}; export from there, or take an earlier export"
        )
    if not start < stop <= size:
        raise ConfigInvalid(
            f"cannot export entries {start} to {stop - 1}: the log has entries {first_index} to "
            f"{size - 1}"
        )
    return {"start": start, "stop": stop}


def since_json(
    note: bytes | None, origin: str, log: EventLogReader, head: TreeHead
) -> dict[str, Any] | None:
    """Return the proof that `head` continues the receiver's checkpoint `note`.

    Raises:
        ConfigInvalid: it is no checkpoint of this log, or of nothing.
        LogCorrupt: the log does not continue it.
    """
    if note is None:
        return None
    try:
        name, earlier = parse_checkpoint(split_note(note)[0])
    except DecodeError as exc:
        raise ConfigInvalid(f"cannot prove from the checkpoint that was given: {exc}") from exc
    if name != origin or earlier.size == 0:
        raise ConfigInvalid(
            f"cannot prove from the checkpoint that was given: it is of log {name!r} with "
            f"{earlier.size} entries, expected {origin!r} with 1 or more"
        )
    if earlier.size <= head.size:
        proof = prove_consistency(StoredHashes(log), earlier.size, head.size)
        if check_consistency(earlier.size, earlier.root, head.size, head.root, proof):
            return {**head_json(earlier), "proof": [node.hex() for node in proof]}
    raise LogCorrupt(
        f"event log does not continue the checkpoint that was given: that has {earlier.size} "
        f"entries and root {earlier.root.hex()[:8]}…, the log has {head.size} and another history; "
        "nothing is exported"
    )
