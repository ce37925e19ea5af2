"""The entry of an action: who did what, when, why, and how it ended.

The leaf names actor, ticket, action and outcome; the reason is a person's free text, so it stands
in the payload, to which the leaf commits.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.warrant import GATEWAY, Actor, Outcome, Warrant

_RANDOM_BYTES = 8


def action_draft(
    kind: EntryKind,
    action: str,
    warrant: Warrant | None,
    *,
    at: datetime,
    outcome: Outcome = Outcome.DONE,
    error: str | None = None,
    fields: Mapping[str, Any] | None = None,
    payload: Mapping[str, Any] | None = None,
    entry_id: str | None = None,
) -> EntryDraft:
    """Return the draft of one action.

    Args:
        kind: the kind of entry.
        action: what was done, in a word or two with hyphens (`export`, `hold-place`).
        warrant: who and why; None for what the gateway does by itself.
        at: when it was done (aware).
        outcome: how it ended.
        error: the class of the error, when it did not end well; never its message, which may name
            values.
        fields: more for the leaf: names, counts, digests; never personal data.
        payload: more for the payload.
        entry_id: an id that is the same when the action is recorded again; random when absent.
    """
    return _draft(kind, action, warrant or GATEWAY, at, outcome, error, fields, payload, entry_id)


def access_draft(
    action: str,
    who: Actor | Warrant,
    *,
    at: datetime,
    outcome: Outcome = Outcome.DONE,
    error: str | None = None,
    fields: Mapping[str, Any] | None = None,
) -> EntryDraft:
    """Return the draft of one read: an actor is enough, a reason is not asked for."""
    return _draft(EntryKind.ACCESS, action, who, at, outcome, error, fields, None, None)


def _draft(
    kind: EntryKind,
    action: str,
    who: Actor | Warrant,
    at: datetime,
    outcome: Outcome,
    error: str | None,
    fields: Mapping[str, Any] | None,
    payload: Mapping[str, Any] | None,
    entry_id: str | None,
) -> EntryDraft:
    time = log_time(at)
    actor = who.actor if isinstance(who, Warrant) else who
    told: dict[str, Any] = {
        **(fields or {}),
        "action": action,
        "actor": actor.as_json(),
        "outcome": outcome.value,
        "time": time,
        "recordedtime": time,
    }
    document: dict[str, Any] = {**(payload or {}), "action": action, "time": time}
    if isinstance(who, Warrant):
        told["ticket"] = who.ticket
        document |= {"reason": who.reason, "ticket": who.ticket}
    if error is not None:
        told["error"] = error
    return EntryDraft(
        kind=kind,
        entry_id=entry_id or f"{action}:{time}:{secrets.token_hex(_RANDOM_BYTES)}",
        fields=told,
        payload=orjson.dumps(document, option=orjson.OPT_SORT_KEYS),
    )


def log_time(at: datetime) -> str:
    """Return an aware time as entries of the log write it: UTC, microseconds, `Z` (RFC 3339)."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
