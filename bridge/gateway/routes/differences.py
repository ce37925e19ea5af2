"""What changes for requests between two sets of routes: by what they mean, not by their text."""

import dataclasses
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from pydantic import BaseModel

from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.matching import HeaderTest


class ChangeKind(Enum):
    """What happened to a route."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class FieldChange(NamedTuple):
    """One rule of a route that is not what it was."""

    field: str
    """As route files name it, with its section: `timeouts.connect_ms`."""
    before: Any
    """JSON values."""
    after: Any


class RouteChange(NamedTuple):
    """One route that is not what it was."""

    kind: ChangeKind
    before: Route | None
    after: Route | None
    fields: tuple[FieldChange, ...] = ()

    @property
    def route(self) -> Route:
        """The route, after the change where it is still there."""
        found = self.after or self.before
        assert found is not None, "a change is about a route"
        return found

    @property
    def takes_other_requests(self) -> bool:
        """Whether requests may go by another route than before."""
        return self.kind is not ChangeKind.CHANGED or any(
            change.field in _MATCHING for change in self.fields
        )


_MATCHING = frozenset({"host", "methods", "path", "headers"})

# Computed from others, or no rule: see `Route`.
_NOT_COMPARED = frozenset({"route_id", "rewriting", "phases", "samples"})


def changes(before: Iterable[Route], after: Iterable[Route]) -> list[RouteChange]:
    """Return what is different, by group and id; a route that changed its group was replaced."""
    old, new = _by_name(before), _by_name(after)
    found = []
    for name in sorted(old.keys() | new.keys()):
        was, is_now = old.get(name), new.get(name)
        if was is None:
            found.append(RouteChange(ChangeKind.ADDED, None, is_now))
        elif is_now is None:
            found.append(RouteChange(ChangeKind.REMOVED, was, None))
        elif fields := _field_changes(was, is_now):
            found.append(RouteChange(ChangeKind.CHANGED, was, is_now, fields))
    return found


def shown(route: Route) -> dict[str, Any]:
    """Return a route's rules as JSON values, under the names that route files have for them."""
    return {
        _FILE_NAMES.get(field.name, field.name): _plain(getattr(route, field.name))
        for field in dataclasses.fields(route)
        if field.name not in ("rewriting", "phases")
    }


_FILE_NAMES = {"route_id": "id", "header_test": "headers", "upstreams": "sides"}


def _by_name(routes: Iterable[Route]) -> dict[tuple[str, str], Route]:
    return {(route.group, route.route_id): route for route in routes}


def _field_changes(before: Route, after: Route) -> tuple[FieldChange, ...]:
    found = []
    for field in dataclasses.fields(before):
        if field.name in _NOT_COMPARED:
            continue
        was, is_now = getattr(before, field.name), getattr(after, field.name)
        if was == is_now:
            continue
        name = _FILE_NAMES.get(field.name, field.name)
        old, new = _plain(was), _plain(is_now)
        if isinstance(old, dict) and isinstance(new, dict):
            found += [
                FieldChange(f"{name}.{key}", old.get(key), new.get(key))
                for key in sorted(old.keys() | new.keys())
                if old.get(key) != new.get(key)
            ]
        else:
            found.append(FieldChange(name, old, new))
    return tuple(found)


def _plain(value: Any) -> Any:
    """Return a rule as JSON values; of keys only the digest."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, HeaderTest):
        return {name.decode(): _plain(each) for name, each in value.conditions}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [_plain(inner) for inner in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.compare and getattr(value, field.name) not in (None, {}, ())
        }
    return value
