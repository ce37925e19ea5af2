"""The chain over the history of switches: each row carries the hash of the row before it."""

import hashlib
import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from bridge.model.errors import LogCorrupt
from bridge.model.stage import Switch

CHAIN_START: Final = bytes(32)
"""What the first row of a journal carries in the place of a hash before it."""


class SwitchRecord(NamedTuple):
    """One row of the history, with its links."""

    switch: Switch
    previous_hash: bytes
    hash: bytes


def link(previous_hash: bytes, switch: Switch) -> SwitchRecord:
    """Return the row that follows the row with `previous_hash`."""
    return SwitchRecord(switch, previous_hash, _hash(previous_hash, switch))


def check_chain(records: Sequence[SwitchRecord]) -> None:
    """Raise `LogCorrupt` naming the first of `records`, oldest first, that does not follow."""
    previous = CHAIN_START
    for record in records:
        if record.previous_hash != previous or record.hash != _hash(previous, record.switch):
            raise LogCorrupt(
                f"switch history is not what was written: the row of group "
                f"{record.switch.group!r} epoch {record.switch.epoch} does not follow the row "
                "before it; compare with the event log, which holds every switch"
            )
        previous = record.hash


def _hash(previous_hash: bytes, switch: Switch) -> bytes:
    row: list[object] = [
        switch.group,
        switch.epoch,
        switch.from_stage.value,
        switch.to_stage.value,
        switch.warrant.actor.as_json(),
        switch.warrant.reason,
        switch.warrant.ticket,
        switch.switched_at.isoformat(),
    ]
    # 5 and 5.0 are one share, and stores give back the second.
    shares = [float(switch.from_share_percent), float(switch.to_share_percent)]
    if any(shares):
        # Rows of before there were shares keep the hash that they have.
        row += shares
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(previous_hash + text.encode()).digest()
