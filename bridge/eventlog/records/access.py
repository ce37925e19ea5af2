"""Entries of reading: who looked at the log, at what, and how much was found.

A read is recorded before its answer is shown, and one that cannot be recorded is not shown.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from bridge.eventlog.ports import EventLogWriter
from bridge.eventlog.records.action_record import access_draft
from bridge.model.entry import EntryDraft
from bridge.model.errors import BridgeError, LimitExceeded, StorageUnavailable
from bridge.model.warrant import Actor, Outcome, Warrant

QUERY_BYTES_MAX: Final = 4_096
"""Conditions, not a payload: the longest that a person types is far below it."""


class AccessNotRecorded(StorageUnavailable):
    """A read was refused because its entry could not be written."""


def record_access(
    log: EventLogWriter,
    who: Actor | Warrant,
    what: str,
    *,
    found: int,
    query: Mapping[str, Any] | None = None,
    at: datetime | None = None,
    outcome: Outcome = Outcome.DONE,
    error: str | None = None,
) -> None:
    """Append the ACCESS entry of one read; call it before anything is shown.

    Args:
        log: where the entry goes, in the caller's own commit.
        who: the actor; a warrant where the read needs a reason and a ticket.
        what: `list`, `search`, `history`, `as-of`, `verify`, `prove`, `disclose`, `writes-list` …
        found: how many results are about to be shown.
        query: what was asked, as JSON values. It stands in the leaf, which is shown to anybody and
            kept for ever: name kinds, types, times, indices and pseudonyms; of a condition on a
            business value name the field and the comparison, never the value.
        at: when; now when absent (aware).
        outcome: how it ended.
        error: class of the error that it ended with.

    Raises:
        AccessNotRecorded: nothing may be shown.
        LimitExceeded: the query is too long to be recorded.
    """
    draft = read_draft(
        who, what, found=found, query=query, at=at or datetime.now(UTC), outcome=outcome,
        error=error,
    )  # fmt: skip
    append_access(log, draft)


def read_draft(
    who: Actor | Warrant,
    what: str,
    *,
    found: int,
    at: datetime,
    query: Mapping[str, Any] | None = None,
    outcome: Outcome = Outcome.DONE,
    error: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> EntryDraft:
    """Return the draft of a read; `more` are further fields of the leaf."""
    fields: dict[str, Any] = {**(more or {}), "found": found}
    if query:
        size = len(orjson.dumps(query))
        if size > QUERY_BYTES_MAX:
            raise LimitExceeded(
                f"cannot read the log by this query: it has {size} bytes, at most "
                f"{QUERY_BYTES_MAX} can be recorded; ask for less at once"
            )
        fields["query"] = dict(query)
    return access_draft(what, who, at=at, fields=fields, outcome=outcome, error=error)


def append_access(log: EventLogWriter, draft: EntryDraft) -> None:
    """Append the draft of a read; raises `AccessNotRecorded` when it cannot be."""
    try:
        log.append([draft])
    except BridgeError as exc:
        raise not_recorded(exc) from exc


def not_recorded(cause: BridgeError) -> AccessNotRecorded:
    """Return the refusal of a read whose entry could not be written."""
    return AccessNotRecorded(
        f"cannot show what was read: the read itself could not be recorded ({cause}); repair the "
        "event log's store and read again"
    )
