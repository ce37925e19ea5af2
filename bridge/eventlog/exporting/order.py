"""What somebody asks an export for; it survives an interruption as JSON."""

import base64
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from bridge.eventlog.exporting.leaf_filter import LeafFilter
from bridge.model.errors import ConfigInvalid
from bridge.model.warrant import Actor, ActorType, Known, Warrant


class View(Enum):
    """What people read a bundle with; evidence of nothing."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOrder:
    """One export."""

    folder: Path
    """Where the bundle will be; it must not exist."""
    warrant: Warrant
    start: int | None = None
    """First index; the first that the log still stores when absent."""
    stop: int | None = None
    """First index after the range; when absent, everything up to the entry of this export."""
    filter: LeafFilter = field(default_factory=LeafFilter)
    conditions: tuple[str, ...] = ()
    """Conditions on business values, as the `Selector` reads them."""
    entries_max: int | None = None
    """How many entries may be selected; the range ends before one more would be."""
    since: bytes | None = None
    """A checkpoint of this log that the receiver has from earlier."""
    views: tuple[View, ...] = ()
    disclose: bool = False
    """Whether sealed fields are opened for the receiver."""

    def __post_init__(self) -> None:
        if self.entries_max is not None and self.entries_max < 1:
            raise ConfigInvalid(
                f"cannot export at most {self.entries_max} entries: at least 1 is needed"
            )

    @property
    def is_filtered(self) -> bool:
        """Return whether entries of the range may be left unselected."""
        return not self.filter.is_empty or bool(self.conditions)

    def filter_json(self) -> dict[str, Any] | None:
        """Return the manifest's `filter`."""
        if not self.is_filtered:
            return None
        told = self.filter.as_json()
        if self.conditions:
            told["fields"] = list(self.conditions)
        return told

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` needs beside the folder."""
        return {
            "warrant": {
                "actor": self.warrant.actor.as_json(),
                "reason": self.warrant.reason,
                "ticket": self.warrant.ticket,
            },
            "start": self.start,
            "stop": self.stop,
            "filter": self.filter.as_json(),
            "conditions": list(self.conditions),
            "entries_max": self.entries_max,
            "since": None if self.since is None else base64.b64encode(self.since).decode(),
            "views": [view.value for view in self.views],
            "disclose": self.disclose,
        }

    @classmethod
    def from_json(cls, folder: Path, tree: dict[str, Any]) -> "ExportOrder":
        """Return the order that `as_json` wrote."""
        actor = tree["warrant"]["actor"]
        return cls(
            folder=folder,
            warrant=Warrant(
                actor=Actor(
                    id=actor["id"], type=ActorType(actor["type"]), known=Known(actor["known"])
                ),
                reason=tree["warrant"]["reason"],
                ticket=tree["warrant"]["ticket"],
            ),
            start=tree["start"],
            stop=tree["stop"],
            filter=LeafFilter.from_json(tree["filter"]),
            conditions=tuple(tree["conditions"]),
            entries_max=tree["entries_max"],
            since=None if tree["since"] is None else base64.b64decode(tree["since"]),
            views=tuple(View(name) for name in tree["views"]),
            disclose=tree["disclose"],
        )
