"""Actions whose entry is left however they end: done, refused or failed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bridge.eventlog.ports import EventLogWriter
from bridge.eventlog.records.action_record import action_draft
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import BridgeError, Remedy, Unavailable
from bridge.model.warrant import Outcome, Warrant

Tell = Callable[[EntryDraft], object]
"""Appends an entry, or leaves it as pending."""


def log_tell(log: EventLogWriter) -> Tell:
    """Return what appends single entries to `log`."""
    return lambda draft: log.append([draft])


# Somebody has to decide anew, or look again: the rules held, and nothing was changed.
_REFUSALS = frozenset({Remedy.OPERATOR, Remedy.REREAD})


@dataclass(slots=True)
class Deed:
    """What an action adds to its entry while it is done."""

    fields: dict[str, Any] = field(default_factory=dict)
    """For the leaf: names, counts and digests; never personal data."""
    payload: dict[str, Any] = field(default_factory=dict)


@contextmanager
def recorded(
    tell: Tell,
    kind: EntryKind,
    action: str,
    warrant: Warrant,
    *,
    fields: Mapping[str, Any] | None = None,
) -> Iterator[Deed]:
    """Run an action outside our own stores, and leave its entry when it is over.

    Raises:
        StorageUnavailable: it is done, and the entry could not be written.
    """
    deed = Deed(dict(fields or {}))
    with refusals_told(tell, kind, action, warrant, fields=deed.fields):
        yield deed
    now = datetime.now(UTC)
    tell(action_draft(kind, action, warrant, at=now, fields=deed.fields, payload=deed.payload))


@contextmanager
def refusals_told(
    tell: Tell,
    kind: EntryKind,
    action: str,
    warrant: Warrant,
    *,
    fields: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Run an action that leaves its own entry when it is done; leave one when it is not.

    The entry names the class of the error, and the error goes on. Where the entry cannot be written
    either, the error is all that is left: nothing was done that it would have to vouch for.
    """
    try:
        yield
    except BaseException as exc:
        draft = action_draft(
            kind,
            action,
            warrant,
            at=datetime.now(UTC),
            outcome=outcome_of(exc),
            error=type(exc).__name__,
            fields=fields,
        )
        with suppress(BridgeError):
            tell(draft)
        raise


def outcome_of(error: BaseException) -> Outcome:
    """Return whether `error` says that a rule of ours held, or that something went wrong."""
    if isinstance(error, BridgeError) and not isinstance(error, Unavailable):
        return Outcome.REFUSED if error.remedy in _REFUSALS else Outcome.FAILED
    return Outcome.FAILED
