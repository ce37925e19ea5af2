"""What the log tells of one entity, step by step: its fields before and after each entry. Pure.

Values are JSON texts, exactly as the events have them. What the log cannot know is told apart: a
field that was not sent and never told before, an entity whose first entry is a row that was already
there, a change that broke its contract and was kept aside.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from bridge.eventlog.history.told import Told
from bridge.model.entry import EntryKind
from bridge.model.payloads import members


class Status(Enum):
    """Whether there is such an entity; set by replaying the log."""

    PRESENT = "present"  # It is there, with these fields.
    ABSENT = "absent"  # It was not there yet: the log tells how it came.
    DELETED = "deleted"  # It was there and is gone: deleted, emptied, or its key changed.
    UNKNOWN = "unknown"  # The log does not say; `why` tells the reason.


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityState:
    """An entity as the log tells it, at one place of the log."""

    status: Status
    fields: Mapping[str, str] = field(default_factory=dict)
    """JSON texts by contract names. With UNKNOWN, what was told last."""
    untold: frozenset[str] = frozenset()
    """Fields that it has, but whose values the log was never told."""
    why: str | None = None
    """Why it is not known, or how it ended."""
    index: int | None = None
    """The entry that this comes from."""

    @property
    def is_certain(self) -> bool:
        """Whether the fields are what they are, and not only what was told last."""
        return self.status is Status.PRESENT

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "status": self.status.value,
            "fields": {name: json.loads(text) for name, text in self.fields.items()},
            "untold": sorted(self.untold),
            "why": self.why,
            "index": self.index,
        }


NOT_TOLD: Final = EntityState(status=Status.UNKNOWN, why="the log has no entry of it up to here")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field, before and after an entry."""

    name: str
    before: str | None
    """JSON text; None: it was not there, or (`before_known` false) the log does not know."""
    after: str | None
    before_known: bool = True
    after_known: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; what is not known or was not there has no member."""
        told: dict[str, Any] = {"field": self.name}
        for side, text, known in (
            ("before", self.before, self.before_known),
            ("after", self.after, self.after_known),
        ):
            if text is not None:
                told[side] = json.loads(text)
            elif not known:
                told[f"{side}_known"] = False
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one entry did to an entity."""

    state: EntityState
    changes: tuple[FieldChange, ...]
    note: str | None = None


Carried = Callable[[str, int], EntityState]
"""Returns the state of the entity with another key just before an index: where a key changed, what
was not sent again is what it was under the old key."""


def effect(state: EntityState, told: Told, key: str, carried: Carried) -> Effect:
    """Return what the entry `told` does to the entity with `key` that was in `state`."""
    index = told.entry.leaf_index
    if told.entry.kind is EntryKind.PARKED:
        why = (
            f"a change was kept aside as entry {index}, because it broke its contract: what it did "
            "is not told in the contract's words"
        )
        return Effect(
            state=replace(state, status=Status.UNKNOWN, why=why, index=index), changes=(), note=why
        )
    if told.empties_table:
        return _emptied(state, index)
    if told.entry.partition_key != key:
        return _ended(state, index, f"its key changed to {told.entry.partition_key}")
    after = _texts(told, "after")
    if after is None:
        return _ended(_with_image(state, told), index, "it was deleted")
    return _changed(state, told, after, key, carried)


def _changed(
    state: EntityState, told: Told, after: Mapping[str, str], key: str, carried: Carried
) -> Effect:
    former = told.former_key
    notes = []
    base = state
    if former is not None and former != key:
        base = carried(former, told.entry.leaf_index)
        notes.append(f"its key was {former}")
    contradicted = _contradicted(base, told)
    if contradicted:
        notes.append(
            f"the source's own old row differs from what the log told of {', '.join(contradicted)}"
        )
    base = _with_image(base, told)
    # What is sealed may have changed or not: nobody who lacks the key can tell.
    fields, untold = dict(after), set(told.sealed_fields)
    for name in _left_out(told):
        if base.is_certain and name in base.fields:
            fields[name] = base.fields[name]
        else:
            untold.add(name)
    now = EntityState(
        status=Status.PRESENT,
        fields=fields,
        untold=frozenset(untold),
        index=told.entry.leaf_index,
    )
    if base.status is Status.UNKNOWN and base.index is not None:
        notes.append("what was kept aside before may have changed some of this")
    created = told.operation == "created"
    changes = _changes(EntityState(status=Status.ABSENT) if created else base, now)
    return Effect(state=now, changes=changes, note="; ".join(notes) or None)


def _ended(state: EntityState, index: int, why: str) -> Effect:
    now = EntityState(status=Status.DELETED, why=why, index=index)
    return Effect(state=now, changes=_changes(state, now), note=why)


def _emptied(state: EntityState, index: int) -> Effect:
    why = "all rows of its table were removed at once"
    if state.status in (Status.DELETED, Status.ABSENT):
        return Effect(state=state, changes=(), note=why)
    if state.index is None:
        # Nobody told that it was there: now it is not, whatever it was.
        why = f"{why} as of entry {index}, and the log tells nothing of it before"
        now = EntityState(status=Status.ABSENT, why=why, index=index)
        return Effect(state=now, changes=(), note=why)
    return _ended(state, index, why)


def _changes(base: EntityState, now: EntityState) -> tuple[FieldChange, ...]:
    """Return the fields that differ, by name."""
    changes = []
    never_told = base.status is Status.UNKNOWN
    for name in sorted({*base.fields, *base.untold, *now.fields, *now.untold}):
        before, after = base.fields.get(name), now.fields.get(name)
        # A field that stays untold has not changed as far as anybody knows.
        if before == after and (name in base.untold) == (name in now.untold):
            continue
        changes.append(
            FieldChange(
                name=name,
                before=before,
                after=after,
                before_known=before is not None or not (never_told or name in base.untold),
                after_known=name not in now.untold,
            )
        )
    return tuple(changes)


def _with_image(state: EntityState, told: Told) -> EntityState:
    """Return `state` with what the source itself said of the old row."""
    before = _texts(told, "before")
    if not before or not (before.keys() - _key_names(told)):
        return state  # Nothing, or the key alone.
    return EntityState(
        status=Status.PRESENT,
        fields={**state.fields, **before},
        untold=state.untold - before.keys(),
        index=state.index,
    )


def _contradicted(state: EntityState, told: Told) -> list[str]:
    """Return the fields of which the source's old row says another value than the log."""
    if not state.is_certain:
        return []
    before = _texts(told, "before") or {}
    return sorted(
        name for name, text in before.items() if name in state.fields and state.fields[name] != text
    )


def _left_out(told: Told) -> list[str]:
    """Return the fields that the row has, but that stand not in `after`."""
    unavailable = told.data.get("unavailable")
    names = [name for name in unavailable if isinstance(name, str)] if unavailable else []
    for item in told.data.get("decode_error") or ():
        path = item.get("path") if isinstance(item, dict) else None
        if isinstance(path, str) and path.startswith("/after/"):
            names.append(path.removeprefix("/after/"))
    return names


def _key_names(told: Told) -> set[str]:
    key = told.data.get("key")
    return set(key) if isinstance(key, dict) else set()


def _texts(told: Told, side: str) -> dict[str, str] | None:
    """Return the fields of one side of an event as JSON texts; None when it has none."""
    if not isinstance(told.data.get(side), dict):
        return None
    try:
        root = members(told.entry.payload.decode())
        return members(members(root["data"])[side])
    except (ValueError, KeyError):
        # Not written by us: its values are shown as they are read.
        return {name: json.dumps(value) for name, value in told.data[side].items()}
