"""The certificate of an erasure: a signed note that a person can read and anybody can verify."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from bridge.eventlog.records.action_record import log_time

TITLE: Final = "legacy-bridge erasure certificate v1"

_REMAINS: Final = (
    "entries and commitments; the field that names the subject; what consumers received before"
)


def certificate_text(
    origin: str,
    index: int,
    leaf_hash: str,
    told: Mapping[str, Any],
    completed: datetime,
    key_backup_days: int,
) -> str:
    """Return the note's text; `told` is what the leaf of the erasure says."""
    dead = completed + timedelta(days=key_backup_days)
    lines = [
        TITLE,
        f"log: {origin}",
        f"entry: {index}",
        f"leaf hash: {leaf_hash}",
        f"erasure: {told['erasure']}",
        f"subject (pseudonym): {told['subject']}",
        f"kind of subject: {told['kind']}",
        f"classes: {' '.join(told['classes']) or '-'}",
        f"data keys destroyed: {len(told['keys'])}",
        f"events that held fields of the subject: {told['events']}",
        f"their indices, SHA-256: {told['indices_sha256']}",
        f"log searched: entries {told['start']} to {told['stop']} (exclusive)",
        f"requested: {told['requested']}",
        f"completed: {log_time(completed)}",
        f"decided by: {told['actor'].get('id', 'unknown')} (known by {told['actor']['known']})",
        f"ticket: {told.get('ticket', '-')}",
        f"legal basis: {_line(told['legal_basis'])}",
        f"backups of keys are dead from: {log_time(dead)}",
        f"what remains: {_REMAINS}",
    ]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    """Return a text without what would begin a line of its own."""
    return " ".join(text.split())
