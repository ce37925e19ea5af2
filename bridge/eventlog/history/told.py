"""What an entry of the log tells, read from its own bytes. Pure.

The index only says where to look: everything that is shown, and everything that is compared in the
end, is read here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import orjson

from bridge.eventlog.history.business_values import moment_number
from bridge.eventlog.history.index_rows import (
    FormKey,
    actor_id,
    form_key,
    former_key,
    is_truncation,
    payload_data,
    subject_of,
)
from bridge.model.entry import EntryKind, StoredEntry


class Told:
    """One entry, taken apart as far as it is asked."""

    def __init__(self, entry: StoredEntry) -> None:
        self.entry = entry
        self.fields: dict[str, Any] = orjson.loads(entry.leaf)["fields"]

    @cached_property
    def data(self) -> dict[str, Any]:
        """The `data` of an event; empty for other entries."""
        return payload_data(self.entry.payload)

    @property
    def form_key(self) -> FormKey:
        """What it has in common with many others."""
        return form_key(self.entry.kind.value, self.fields)

    @property
    def type(self) -> str | None:
        """The event's type."""
        return self._text("type")

    @property
    def subject(self) -> str | None:
        """Subject of the contract."""
        return subject_of(self._text("dataschema"))

    @property
    def time(self) -> str | None:
        """When it happened at the source."""
        return self._text("time")

    @property
    def recorded(self) -> str | None:
        """When it was taken in."""
        return self._text("recordedtime")

    @property
    def actor(self) -> str | None:
        """Who did it, as far as it is known."""
        return actor_id(self.fields)

    @property
    def operation(self) -> str | None:
        """What happened to a row: `created`, `updated`, `deleted`, `truncated`, `read`."""
        legacy = self.fields.get("legacy")
        found = legacy.get("op") if isinstance(legacy, dict) else None
        return found if isinstance(found, str) else None

    @property
    def is_about_row(self) -> bool:
        """Whether it is an event of a row, published or kept aside."""
        return self.entry.kind in (EntryKind.EVENT, EntryKind.PARKED)

    @property
    def empties_table(self) -> bool:
        """Whether it ends every entity of its subject."""
        return self.is_about_row and is_truncation(self.fields)

    @cached_property
    def former_key(self) -> str | None:
        """The key that the entity had before this update."""
        return former_key(self.data) if self.is_about_row else None

    @cached_property
    def sealed_fields(self) -> frozenset[str]:
        """Fields of the row after the change that are sealed for a person."""
        if b'"sealedpaths":' not in self.entry.payload:
            return frozenset()
        text = orjson.loads(self.entry.payload).get("sealedpaths")
        paths = re.split("[ ,]", text) if isinstance(text, str) else []
        return frozenset(
            unquote(path).removeprefix("/after/").replace("~1", "/").replace("~0", "~")
            for path in paths
            if unquote(path).startswith("/after/")
        )

    @property
    def correlation(self) -> str | None:
        """What it belongs to, as the application or the gateway said."""
        return self._text("correlation")

    @property
    def ticket(self) -> str | None:
        """Where the decision can be looked up."""
        return self._text("ticket")

    @property
    def reason(self) -> str | None:
        """Why, where the leaf says so."""
        return self._text("said_reason") or self._text("reason")

    def time_number(self) -> int | None:
        """Return `time` in microseconds from 1970."""
        return moment_number(self.time)

    def recorded_number(self) -> int | None:
        """Return `recordedtime` in microseconds from 1970."""
        return moment_number(self.recorded)

    def values(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the business fields `names` of the row after the change, those that it has."""
        after = self.data.get("after")
        if not isinstance(after, Mapping):
            return {}
        return {name: after[name] for name in names if after.get(name) is not None}

    def _text(self, name: str) -> str | None:
        found = self.fields.get(name)
        return found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An entry that was found, as it is shown."""

    index: int
    entry_id: str
    kind: str
    type: str | None
    subject: str | None
    key: str | None
    operation: str | None
    action: str | None
    time: str | None
    recorded: str | None
    actor: str | None
    reason: str | None
    ticket: str | None
    correlation: str | None
    outcome: str | None
    values: Mapping[str, Any]
    """The declared business fields that it has."""


def hit(told: Told, names: Sequence[str]) -> Hit:
    """Return what is shown of an entry; `names` are its declared fields."""
    entry, fields = told.entry, told.fields
    return Hit(
        index=entry.leaf_index,
        entry_id=entry.entry_id,
        kind=entry.kind.value,
        type=told.type,
        subject=told.subject,
        key=entry.partition_key,
        operation=told.operation,
        action=_text(fields.get("action")),
        time=told.time,
        recorded=told.recorded,
        actor=told.actor,
        reason=told.reason,
        ticket=told.ticket,
        correlation=told.correlation,
        outcome=_text(fields.get("outcome")),
        values=told.values(names),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
