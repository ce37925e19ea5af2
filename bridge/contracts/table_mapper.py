"""Map row changes of one table to events of one contract.

The hot path is a generated function (`rows`), a validation and one piece of formatted text: about
2 µs for a dozen columns. Whatever is rare (unsent cells, old rows, texts that do not convert,
arrays with shifted bounds) takes the careful path (`careful`). Pure: no clock, no I/O; the same
change and origin give the same bytes.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

import orjson

from bridge.contracts.careful import UNCONVERTIBLE, Reading, read_change
from bridge.contracts.envelope import Envelope, Frame, frames, plain
from bridge.contracts.mapping import OnDecodeError, TableMapping
from bridge.contracts.rows import Fields, cells, key_function, row_function
from bridge.contracts.schema import DataSchema
from bridge.contracts.structures import NO_BOUNDS
from bridge.contracts.subjects import Taking
from bridge.model.change import UNSENT, BeforeImage, ChangeKind, Relation, Row, RowChange
from bridge.model.errors import ConfigInvalid
from bridge.model.event import Breach, ChangeOrigin, Event
from bridge.model.sealing import SealedMark

Mapped: TypeAlias = Event | Breach | Sequence[Event | Breach]
"""What a change becomes: one event, one breach, or both sides of a changed key in their order."""

# An enum's member is looked up faster as a global than through its class.
_TRUNCATED: Final = ChangeKind.TRUNCATED
_NO_IMAGE: Final = BeforeImage.NONE

_NOTHING_KNOWN: Final[Mapping[str, bytes]] = {}


class TableMapper:
    """Maps changes of one relation as it stands; a new `Relation` needs a new mapper."""

    def __init__(
        self, mapping: TableMapping, relation: Relation, schema: DataSchema, type_prefix: str
    ) -> None:
        """Compile `mapping` for `relation`; `table_mapper` is the usual way.

        Raises:
            ConfigInvalid: the relation has a column that is neither mapped nor dropped, or lacks
                one that is mapped, or a protected field has no key.
        """
        self.subject = mapping.subject
        self.version = mapping.version
        self.mapping = mapping
        self.cells = cells(mapping, relation)
        self.notes = tuple(_notes(mapping, relation))
        """What an operator should know: a key column that old rows will not carry."""
        self._schema = schema
        self._key_names = mapping.key
        self._convert_row = row_function(self.cells, relation)
        self._key_of = key_function(mapping.key)
        self._exact_cells = [
            (cell.rule.name, cell.column, cell.exact)
            for cell in self.cells
            if cell.exact is not None
        ]
        self._frames = frames(mapping, type_prefix, BeforeImage.NONE)
        self._image_frames = {
            image: frames(mapping, type_prefix, image)
            for image in (BeforeImage.KEY, BeforeImage.FULL)
        }
        self._payload = Envelope().payload
        self._pseudonyms = mapping.means.pseudonyms
        seals = mapping.subjects and not mapping.means.unsealed
        self._taking = Taking(mapping.subjects) if seals else None

    def map(self, change: RowChange, origin: ChangeOrigin) -> Mapped:
        """Return what `change` becomes. Never raises for what the row holds.

        Raises:
            StorageUnavailable: the key of a person cannot be had now.
        """
        kind, _, before_row, before_image, after_row, _ = change
        data: Fields = {"key": None}
        try:
            if after_row is not None:
                if UNSENT in after_row:
                    return self.map_carefully(change, origin)
                data["after"] = self._convert_row(after_row)
            if before_row is not None:
                if before_image is not BeforeImage.FULL or UNSENT in before_row:
                    return self.map_carefully(change, origin)
                data["before"] = self._convert_row(before_row)
            if self._key_names and kind is not _TRUNCATED:
                data["key"] = self._key_of(data["after" if after_row is not None else "before"])
            if self._schema.is_valid(data):
                if self._exact_cells:
                    self._splice(change, data)
                return self._event(change, origin, data)
        except UNCONVERTIBLE:  # Bytes too: a text that is not UTF-8 has no place in JSON.
            pass
        return self.map_carefully(change, origin)

    def map_one(self, change: RowChange, origin: ChangeOrigin) -> Event | Breach:
        """Return the one event of `change`, or the breach that keeps it aside."""
        mapped = TableMapper.map(self, change, origin)
        assert isinstance(mapped, Event | Breach), "policies give several, and they come above"
        return mapped

    def map_carefully(
        self, change: RowChange, origin: ChangeOrigin, known: Mapping[str, bytes] = _NOTHING_KNOWN
    ) -> Event | Breach:
        """Map cell by cell; fields that were not sent are taken from `known`, if they are there."""
        change = _completed(change)
        choose_key = self._key_of if self._key_names else None
        reading = read_change(self.cells, change, choose_key, known)
        if not reading.problems:
            reason = self._schema.reason(reading.data)
            reading.splice(reading.data)
            if reason is None:
                try:
                    return self._event(change, origin, reading.data)
                except TypeError:  # A lone surrogate: valid as JSON Schema, not as JSON.
                    reason = "/: a text is not valid UTF-8"
            return self._breach(change, origin, reading.data, _told(reading.remarks, reason))
        kept = self._kept(reading)
        if kept is not None:
            undecoded = tuple(entry["path"] for entry in reading.undecoded)
            with suppress(TypeError):  # As above.
                return self._event(change, origin, kept)._replace(undecoded=undecoded)
        reading.splice(reading.data)
        more = f"; {len(reading.problems) - 1} more" if len(reading.problems) > 1 else ""
        return self._breach(change, origin, reading.data, f"{reading.problems[0]}{more}")

    def _kept(self, reading: Reading) -> Fields | None:
        """Return the data without what cannot be read, if that is still an event."""
        if (
            self.mapping.on_decode_error is not OnDecodeError.KEEP
            or len(reading.problems) > len(reading.undecoded)
            or reading.is_key_undecoded(self._key_names)
        ):
            return None
        data = reading.without_undecoded()
        if self._schema.reason(data) is not None:
            return None
        reading.splice(data)
        return data

    def _event(self, change: RowChange, origin: ChangeOrigin, data: Fields) -> Event:
        """Put `data` into its envelope; raises `TypeError` for what JSON cannot hold."""
        key = None if data["key"] is None else orjson.dumps(data["key"]).decode()
        image = change.before_image
        frame = (self._frames if image is _NO_IMAGE else self._image_frames[image])[change.kind]
        payload, sealed = (
            (self._payload(frame, origin, key, data), ())
            if self._taking is None
            else self._sealed(frame, origin, key, data)
        )
        return Event(
            origin.event_id,
            frame.type,
            self.subject,
            self.version,
            frame.routing_key,
            key,
            payload,
            (),
            self._entity(key),
            sealed,
        )

    def _splice(self, change: RowChange, data: Fields) -> None:
        """Put what JSON must hold exactly in as the source's own text, digits and all."""
        for side, row in (("after", change.after), ("before", change.before)):
            if row is None:
                continue
            fields = data[side]
            for name, index, exact in self._exact_cells:
                text = row[index]
                if isinstance(text, str):
                    fields[name] = exact(text, "", NO_BOUNDS)

    def _breach(self, change: RowChange, origin: ChangeOrigin, data: Fields, reason: str) -> Breach:
        """Keep `data`, raw texts included, with its `reason`."""
        image = change.before_image
        frame = (self._frames if image is _NO_IMAGE else self._image_frames[image])[change.kind]
        try:
            key = None if data["key"] is None else orjson.dumps(data["key"]).decode()
            payload, sealed = self._sealed(frame, origin, key, data)
        except TypeError:  # A lone surrogate, or a number beyond 64 bits: kept as a text.
            readable = plain(data)
            key = None if readable["key"] is None else orjson.dumps(readable["key"]).decode()
            payload, sealed = self._sealed(frame, origin, key, readable)
        return Breach(
            origin.event_id,
            self.subject,
            self.version,
            key,
            reason,
            payload,
            self._entity(key),
            sealed,
        )

    def _sealed(
        self, frame: Frame, origin: ChangeOrigin, key: str | None, data: Fields
    ) -> tuple[bytes, tuple[SealedMark, ...]]:
        """Return the payload with persons' fields sealed, and the marks of these.

        Raises:
            TypeError: JSON cannot hold a value.
            ConfigInvalid: nothing that seals was given.
            StorageUnavailable: there is no key to seal with now.
        """
        if self._taking is None:
            return self._payload(frame, origin, key, data), ()
        sealer = self.mapping.means.sealer
        if sealer is None:
            raise ConfigInvalid(
                f"cannot map table {self.mapping.table!r}: contract {self.subject!r} version "
                f"{self.version} has fields of persons, and there is nothing to seal them with"
            )
        rest, portions = self._taking.take(data, origin.event_id)
        payload = self._payload(frame, origin, key, rest)
        if not portions:
            return payload, ()
        attributes, marks = sealer.seal(origin.event_id, origin.time, portions)
        return b"%b%b}" % (payload[:-1], attributes), marks

    def _entity(self, key: str | None) -> str | None:
        if key is None or self._pseudonyms is None:
            return None
        return self._pseudonyms.entity(self.subject, key)


def _completed(change: RowChange) -> RowChange:
    """Return `change` with the cells that were not sent taken from a full old row.

    Not sent means not changed, so the old cell is the new one.
    """
    before, after = change.before, change.after
    if change.before_image is not BeforeImage.FULL or before is None or after is None:
        return change
    whole: Row = tuple(
        old if new is UNSENT else new for new, old in zip(after, before, strict=True)
    )
    return change._replace(after=whole)


def _told(remarks: list[str], reason: str) -> str:
    return f"{remarks[0]}; {reason}" if remarks else reason


def _notes(mapping: TableMapping, relation: Relation) -> list[str]:
    columns = {rule.name: rule.column for rule in mapping.fields}
    identity = {column.name for column in relation.columns if column.is_key}
    outside = [columns[name] for name in mapping.key if columns[name] not in identity]
    return [
        f"key column {name!r} of table {relation.name!r} is not in the replica identity: "
        "deletes cannot name their key and will be parked"
        for name in outside
    ]
