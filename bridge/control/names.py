"""Stages, write states, groups and writes by the names that people type."""

from collections.abc import Iterable

from bridge.gateway.dual.ports import WriteDesk
from bridge.model.errors import ConfigInvalid, NotKnown
from bridge.model.stage import GroupState, Side, Stage
from bridge.model.write import JournalledWrite, WriteKind, WriteState


def group_named(name: str, states: Iterable[GroupState]) -> GroupState:
    """Return the group called `name`; raises `NotKnown` naming the known ones."""
    groups = {state.group: state for state in states}
    if name not in groups:
        known = ", ".join(sorted(groups)) or "none"
        raise NotKnown(f"cannot find route group {name!r}: known groups are {known}")
    return groups[name]


def write_named(intent_id: str, desk: WriteDesk) -> JournalledWrite:
    """Return the write with this intent id; raises `NotKnown` when the journal has none."""
    write = desk.show(intent_id)
    if write is None:
        raise NotKnown(f"cannot find write {intent_id!r}: the journal has no such intent")
    return write


def stage_named(text: str) -> Stage:
    """Return the stage called `text`; raises `ConfigInvalid` naming the known ones."""
    try:
        return Stage(text)
    except ValueError as exc:
        known = ", ".join(stage.value for stage in Stage)
        raise ConfigInvalid(f"no stage is called {text!r}; known: {known}") from exc


def side_named(text: str) -> Side:
    """Return the side called `text`; raises `ConfigInvalid` naming the known ones."""
    try:
        return Side(text)
    except ValueError as exc:
        known = ", ".join(side.value for side in Side)
        raise ConfigInvalid(f"no side is called {text!r}; known: {known}") from exc


def write_state_named(text: str) -> WriteState:
    """Return the write state called `text`; raises `ConfigInvalid` naming the known ones."""
    try:
        return WriteState(text)
    except ValueError as exc:
        known = ", ".join(state.value for state in WriteState)
        raise ConfigInvalid(f"no write state is called {text!r}; known: {known}") from exc


def write_kind_named(text: str) -> WriteKind:
    """Return the kind of write called `text`; raises `ConfigInvalid` naming the known ones."""
    try:
        return WriteKind(text)
    except ValueError as exc:
        known = ", ".join(kind.value for kind in WriteKind)
        raise ConfigInvalid(f"no kind of write is called {text!r}; known: {known}") from exc
