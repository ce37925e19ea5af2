"""The shape of each table that was last seen, and how its rows are treated since. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bridge.capture.drift.differences import parse_relation, relation_json
from bridge.model.change import Relation
from bridge.model.errors import LogCorrupt


class SeenIn(Enum):
    """Where a shape was seen."""

    CATALOG = "catalog"  # When the table was first captured; not a place in the stream.
    STREAM = "stream"  # With a row.


class TableState(Enum):
    """How rows of a table are treated."""

    FLOWING = "flowing"  # Set while a contract accounts for every column.
    PARTIAL = "partial"  # Set by drift: events go on without what no contract maps.
    PARKED = "parked"  # Set by drift: rows are kept aside, in order, until a person accepts.


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A shape before whose first row capture stopped."""

    relation: Relation
    drift_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTable:
    """A table as its last row had it."""

    relation: Relation
    seen_in: SeenIn
    state: TableState = TableState.FLOWING
    drift_id: str | None = None
    """The drift event that put it into this state."""
    reason: str | None = None
    """Why, in the words of the verdict."""
    shape_before: Relation | None = None
    """For a table that is not flowing: the last shape that was."""
    pending: Pending | None = None
    """Set when capture ends because of the table's policy."""


class ShapeBook:
    """The tables of one source by name; a renamed one is found by its OID."""

    def __init__(self) -> None:
        self._tables: dict[str, KnownTable] = {}
        self.is_changed = False
        """Whether something was put in that is not durable yet."""

    def find(self, relation: Relation) -> KnownTable | None:
        """Return what is known of a table: the one with its OID, else the one with its name."""
        named = self._tables.get(relation.name)
        if named is not None and named.relation.oid == relation.oid:
            return named
        for known in self._tables.values():
            if known.relation.oid == relation.oid:
                return known
        return named

    def named(self, name: str) -> KnownTable | None:
        """Return what is known under `schema.table`."""
        return self._tables.get(name)

    def put(self, known: KnownTable) -> None:
        """Take in what a row showed; forgets the table's old name."""
        for name, other in list(self._tables.items()):
            if other.relation.oid == known.relation.oid:
                del self._tables[name]
        self._tables[known.relation.name] = known
        self.is_changed = True

    def __iter__(self) -> Iterator[KnownTable]:
        return iter(sorted(self._tables.values(), key=lambda known: known.relation.name))

    def text(self) -> str:
        """Return the book as one line of JSON."""
        return json.dumps([_known_json(known) for known in self], separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> "ShapeBook":
        """Return the book that `text` is; raises `LogCorrupt` when it is none."""
        book = cls()
        try:
            for tree in json.loads(text):
                book.put(_parse_known(tree))
        except (ValueError, KeyError, TypeError) as exc:
            raise LogCorrupt(
                f"cannot read the shapes of a source's tables: {type(exc).__name__} in "
                f"{len(text)} characters"
            ) from exc
        book.is_changed = False
        return book


def _known_json(known: KnownTable) -> dict[str, Any]:
    before = known.shape_before
    return {
        "relation": relation_json(known.relation),
        "seen_in": known.seen_in.value,
        "state": known.state.value,
        "drift_id": known.drift_id,
        "reason": known.reason,
        "shape_before": before and relation_json(before),
        "pending": known.pending and _pending_json(known.pending),
    }


def _pending_json(pending: Pending) -> dict[str, Any]:
    return {
        "relation": relation_json(pending.relation),
        "drift_id": pending.drift_id,
        "reason": pending.reason,
    }


def _parse_known(tree: dict[str, Any]) -> KnownTable:
    before, pending = tree["shape_before"], tree["pending"]
    return KnownTable(
        relation=parse_relation(tree["relation"]),
        seen_in=SeenIn(tree["seen_in"]),
        state=TableState(tree["state"]),
        drift_id=tree["drift_id"],
        reason=tree["reason"],
        shape_before=before and parse_relation(before),
        pending=pending
        and Pending(
            relation=parse_relation(pending["relation"]),
            drift_id=pending["drift_id"],
            reason=pending["reason"],
        ),
    )
