"""What a mapping asks for beyond one event per change: both sides of a changed key, refills."""

from collections.abc import Mapping
from typing import Final

import orjson

from bridge.contracts.careful import read_change
from bridge.contracts.mapping import KeyChange, TableMapping
from bridge.contracts.names import data_schema_urn
from bridge.contracts.schema import DataSchema
from bridge.contracts.table_mapper import Mapped, TableMapper
from bridge.model.change import UNSENT, BeforeImage, ChangeKind, Relation, Row, RowChange
from bridge.model.event import Breach, ChangeOrigin, Event

INSERT_SUFFIX: Final = "-insert"
"""Ends id and sequence of the second event of a changed key: it sorts behind the first and before
the next change."""


def table_mapper(
    mapping: TableMapping, relation: Relation, schema: DataSchema, type_prefix: str
) -> TableMapper:
    """Return the mapper that `mapping` asks for; raises `ConfigInvalid` as `TableMapper` does."""
    remembers = mapping.refill and mapping.means.last_known is not None
    if remembers or mapping.key_change is KeyChange.DELETE_INSERT:
        return PolicyMapper(mapping, relation, schema, type_prefix)
    return TableMapper(mapping, relation, schema, type_prefix)


class PolicyMapper(TableMapper):
    """A mapper that may give two events, and may know what was not sent."""

    def __init__(
        self, mapping: TableMapping, relation: Relation, schema: DataSchema, type_prefix: str
    ) -> None:
        super().__init__(mapping, relation, schema, type_prefix)
        key_columns = {rule.column for rule in mapping.fields if rule.name in mapping.key}
        self._key_places = [
            place for place, column in enumerate(relation.columns) if column.name in key_columns
        ]
        self._splits = mapping.key_change is KeyChange.DELETE_INSERT
        self._last_known = mapping.means.last_known if mapping.refill else None
        self._data_schema = data_schema_urn(mapping.subject, mapping.version)
        if self._last_known is not None:
            self._last_known.learn(mapping)

    def map(self, change: RowChange, origin: ChangeOrigin) -> Mapped:
        """Return the events of `change` in their order, or what is wrong with them."""
        after, before = change.after, change.before
        known: Mapping[str, bytes] = {}
        if self._last_known is not None and after is not None and UNSENT in after:
            known = self._known(change)
        if self._splits and before is not None and after is not None:
            changed = (after[at] not in (UNSENT, before[at]) for at in self._key_places)
            if any(changed):
                return self._both_sides(change, origin, known)
        mapped = self._map_knowing(change, origin, known)
        self._stage(mapped)
        return mapped

    def _both_sides(
        self, change: RowChange, origin: ChangeOrigin, known: Mapping[str, bytes]
    ) -> Mapped:
        """End the old key and begin the new one, so that each key's own order tells its story."""
        old = RowChange(
            ChangeKind.DELETED, change.relation, change.before, change.before_image, None
        )
        new = RowChange(
            ChangeKind.CREATED, change.relation, None, BeforeImage.NONE, self._new_row(change)
        )
        first = self.map_one(old, origin)
        second = self._map_knowing(
            new,
            origin._replace(
                event_id=origin.event_id + INSERT_SUFFIX,
                sequence=origin.sequence + INSERT_SUFFIX,
            ),
            known,
        )
        self._stage(first)
        self._stage(second)
        return (first, second)

    def _map_knowing(
        self, change: RowChange, origin: ChangeOrigin, known: Mapping[str, bytes]
    ) -> Event | Breach:
        if known:
            return self.map_carefully(change, origin, known)
        return self.map_one(change, origin)

    def _new_row(self, change: RowChange) -> Row:
        """Return the new row with what the old one has of the cells that were not sent again."""
        after, before = change.after, change.before
        assert after is not None, "an update has a new row"
        assert before is not None, "a changed key is seen in the old row"
        full = change.before_image is BeforeImage.FULL
        return tuple(
            before[at] if cell is UNSENT and (full or at in self._key_places) else cell
            for at, cell in enumerate(after)
        )

    def _known(self, change: RowChange) -> Mapping[str, bytes]:
        """Return what is known of the row from before this change, under the key it had then."""
        assert self._last_known is not None, "asked for only where values are remembered"
        old = change.before if change.before is not None else change.after
        image = change.before_image if change.before is not None else BeforeImage.FULL
        alone = RowChange(ChangeKind.DELETED, change.relation, old, image, None)
        reading = read_change(self.cells, alone, self._key_of, {})
        key = reading.data["key"]
        if key is None or reading.is_key_undecoded(self.mapping.key):
            return {}
        text = orjson.dumps(key).decode()
        return self._last_known.find(self.mapping.table, self._data_schema, text)

    def _stage(self, mapped: Event | Breach) -> None:
        if self._last_known is not None:
            self._last_known.stage(self.mapping.table, mapped)
