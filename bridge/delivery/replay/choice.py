"""Which events of a range are replayed. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from bridge.delivery.topology import matches
from bridge.model.entry import EntryKind, StoredEntry
from bridge.model.errors import ConfigInvalid

# A person types them; more is a selection that belongs into a range.
VALUES_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Conditions that all have to hold; each of several values of one is enough."""

    types: tuple[str, ...] = ()
    """CloudEvents types, or patterns of routing keys (`shop.order.#`)."""
    keys: tuple[str, ...] = ()
    """Partition keys, as the events have them."""
    since: str | None = None
    until: str | None = None
    """RFC 3339; since ≤ the event's `time` < until."""

    def __post_init__(self) -> None:
        for name, values in (("types", self.types), ("keys", self.keys)):
            if len(values) > VALUES_MAX:
                raise ConfigInvalid(
                    f"cannot choose by {len(values)} {name}: at most {VALUES_MAX} are taken"
                )
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ConfigInvalid(f"cannot replay from {self.since} until {self.until}: it is empty")

    @property
    def is_everything(self) -> bool:
        """Whether every event is chosen."""
        return not (self.types or self.keys or self.since or self.until)

    def as_json(self) -> dict[str, Any]:
        """Return the conditions as JSON values."""
        return {
            "types": list(self.types),
            "keys": list(self.keys),
            "since": self.since,
            "until": self.until,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Choice":
        """Return the choice that `as_json` told."""
        return cls(
            types=tuple(found["types"]),
            keys=tuple(found["keys"]),
            since=found["since"],
            until=found["until"],
        )


class Chooser:
    """Chooses among entries; an entry that is no event is never chosen."""

    def __init__(self, choice: Choice, type_prefix: str) -> None:
        self._patterns = [_pattern(each, type_prefix) for each in choice.types]
        self._keys = frozenset(text for key in choice.keys for text in (key, _compact(key)))
        self._since = None if choice.since is None else moment(choice.since)
        self._until = None if choice.until is None else moment(choice.until)
        # Routing keys are few: one for each contract, kind and major version.
        self._wanted: dict[str, bool] = {}

    def chosen(self, entries: Sequence[StoredEntry]) -> list[StoredEntry]:
        """Return those of `entries` that are to be sent, in order."""
        return [entry for entry in entries if self._wants(entry)]

    def _wants(self, entry: StoredEntry) -> bool:
        if entry.kind is not EntryKind.EVENT or entry.routing_key is None:
            return False
        if self._keys and entry.partition_key not in self._keys:
            return False
        if self._patterns and not self._wants_type(entry.routing_key):
            return False
        return (self._since is None and self._until is None) or self._wants_time(entry)

    def _wants_type(self, routing_key: str) -> bool:
        found = self._wanted.get(routing_key)
        if found is None:
            found = any(matches(pattern, routing_key) for pattern in self._patterns)
            self._wanted[routing_key] = found
        return found

    def _wants_time(self, entry: StoredEntry) -> bool:
        text = orjson.loads(entry.leaf)["fields"].get("time")
        if not isinstance(text, str):
            return False
        try:
            at = moment(text)
        except ConfigInvalid:
            return False
        return (self._since is None or at >= self._since) and (
            self._until is None or at < self._until
        )


def moment(text: str) -> datetime:
    """Return the time that `text` (RFC 3339) tells; without a zone it is UTC.

    Raises:
        ConfigInvalid: it tells none.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigInvalid(
            f"cannot read the time {text!r}: expected the form 2026-11-21T13:23:04Z"
        ) from exc
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def entity_of(entry: StoredEntry) -> str | None:
    """Return the pseudonym of the entity that an entry is about, if its leaf has one."""
    found = orjson.loads(entry.leaf).get("entity")
    return found if isinstance(found, str) else None


def _pattern(asked: str, type_prefix: str) -> str:
    return asked.removeprefix(f"{type_prefix}.")


def _compact(key: str) -> str:
    """Return a key that a person typed as events have it; any other text as it is."""
    try:
        found = json.loads(key)
    except ValueError:
        return key
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)
