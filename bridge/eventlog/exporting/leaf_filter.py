"""Which entries an export selects, decided by their leaves alone, so that anybody can repeat it.

The semantics are those of `docs/bundle-format.md`, "Filter". Pure.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bridge.model.errors import ConfigInvalid

TIME_FORM: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z", re.ASCII)
"""RFC 3339 in UTC, as leaves have it; the fraction may have any length."""

LISTS: Final = ("kinds", "types", "entities", "actors", "correlations")

# A manifest is read whole by every verifier; who needs more values exports all of the range.
VALUES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafFilter:
    """What selects an entry: all conditions that are given, each by any of its values."""

    kinds: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    """Pseudonyms."""
    actors: tuple[str, ...] = ()
    correlations: tuple[str, ...] = ()
    time_from: str | None = None
    """First moment that fits, with six digits (`six_digits`)."""
    time_to: str | None = None
    """First moment after it that does not fit any more."""

    def __post_init__(self) -> None:
        for name in LISTS:
            if len(getattr(self, name)) > VALUES_MAX:
                raise ConfigInvalid(
                    f"cannot filter by {len(getattr(self, name))} {name}: at most {VALUES_MAX} are "
                    "allowed; export the whole range and select afterwards"
                )
        for text in (self.time_from, self.time_to):
            if text is not None and six_digits(text) != text:
                raise ConfigInvalid(
                    f"cannot filter by time {text!r}: expected the form 2026-11-21T13:23:04.653291Z"
                )
        first, last = self.time_from, self.time_to
        if first is not None and last is not None and first >= last:
            raise ConfigInvalid(f"cannot filter by time: {first} is not before {last}")

    @property
    def is_empty(self) -> bool:
        """Return whether every entry is selected."""
        return self == LeafFilter()

    def selects(self, kind: str, leaf: bytes) -> bool:
        """Return whether the entry with this leaf, whose kind is `kind`, is selected."""
        if self.kinds and kind not in self.kinds:
            return False
        if not self._looks_inside:
            return True
        told = orjson.loads(leaf)
        fields = told["fields"]
        return (
            (not self.types or fields.get("type") in self.types)
            and (not self.entities or told.get("entity") in self.entities)
            and (not self.actors or _actor(fields) in self.actors)
            and (not self.correlations or fields.get("correlation") in self.correlations)
            and self._fits_time(fields)
        )

    @property
    def _looks_inside(self) -> bool:
        return bool(
            self.types
            or self.entities
            or self.actors
            or self.correlations
            or self.time_from is not None
            or self.time_to is not None
        )

    def _fits_time(self, fields: dict[str, Any]) -> bool:
        if self.time_from is None and self.time_to is None:
            return True
        time = fields.get("time")
        moment = six_digits(time) if isinstance(time, str) else None
        return (
            moment is not None
            and (self.time_from is None or self.time_from <= moment)
            and (self.time_to is None or moment < self.time_to)
        )

    def as_json(self) -> dict[str, Any]:
        """Return what the manifest says: only what was asked for."""
        told: dict[str, Any] = {name: list(getattr(self, name)) for name in LISTS
                                if getattr(self, name)}  # fmt: skip
        if self.time_from is not None or self.time_to is not None:
            told["time"] = {"from": self.time_from, "to": self.time_to}
        return told

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> "LeafFilter":
        """Return the filter that `as_json` wrote."""
        time = tree.get("time") or {}
        lists = {name: tuple(tree.get(name, ())) for name in LISTS}
        return cls(**lists, time_from=time.get("from"), time_to=time.get("to"))


def six_digits(time: str) -> str | None:
    """Return `time` with exactly six digits of a second, cut or filled up; None in another form."""
    found = TIME_FORM.fullmatch(time)
    if found is None:
        return None
    seconds, fraction = found.groups()
    return f"{seconds}.{(fraction or '')[:6]:0<6}Z"


def _actor(fields: dict[str, Any]) -> Any:
    actor = fields.get("actor")
    return actor.get("id") if isinstance(actor, dict) else None
