"""Map row changes of one table to events of one contract.

For each (mapping, relation) pair a function from a row's cells to a field dictionary is generated
from our own text, so that the hot path has one dictionary display and no loop: about 2 µs for a
dozen columns. Whatever is rare (unsent cells, old rows, texts that do not convert) takes the slow
path, which uses the very same expressions one by one. Pure: no clock, no I/O; the same change and
origin give the same bytes.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from bridge.contracts.conversions import NAMESPACE, code_table, expression
from bridge.contracts.mapping import FieldRule, TableMapping
from bridge.contracts.names import data_schema_urn, routing_key, source_urn
from bridge.contracts.schema import DataSchema
from bridge.model.change import UNSENT, BeforeImage, Cell, ChangeKind, Relation, Row, RowChange
from bridge.model.errors import ConfigInvalid
from bridge.model.event import Breach, ChangeOrigin, Event

Fields = dict[str, Any]

# An enum's member is looked up faster as a global than through its class.
_TRUNCATED: Final = ChangeKind.TRUNCATED

# What a text that does not convert may raise: see `conversions`.
_UNCONVERTIBLE: Final = (ValueError, KeyError, TypeError, IndexError)


class _Cell(NamedTuple):
    """One field's place in the row, for the slow path."""

    rule: FieldRule
    column: int
    is_key: bool
    """Whether the column is part of the replica identity."""
    convert: Callable[[str], Any]


class _Frame(NamedTuple):
    """The constant parts of an envelope of one kind."""

    type: str
    routing_key: str
    before_time: str
    after_recorded_time: str


class TableMapper:
    """Maps changes of one relation as it stands; a new `Relation` needs a new mapper."""

    def __init__(
        self, mapping: TableMapping, relation: Relation, schema: DataSchema, type_prefix: str
    ) -> None:
        """Compile `mapping` for `relation`.

        Raises:
            ConfigInvalid: the relation has a column that is neither mapped nor dropped, or lacks
                one that is mapped.
        """
        self.subject = mapping.subject
        self.version = mapping.version
        self.cells = _cells(mapping, relation)
        self.notes = tuple(_notes(mapping, relation))
        """What an operator should know: a key column that old rows will not carry."""
        self._schema = schema
        self._key_names = mapping.key
        self._convert_row = _row_function(self.cells, relation)
        self._key_of = _key_function(mapping.key)
        self._json_cells = [(c.rule.name, c.column) for c in self.cells if c.rule.type == "json"]
        self._frames = {kind: _frame(mapping, kind, type_prefix) for kind in ChangeKind}
        self._time: datetime | None = None
        self._time_text = ""

    def map(self, change: RowChange, origin: ChangeOrigin) -> Event | Breach:
        """Return the event of `change`, or the breach that keeps it aside.

        Never raises for what the row holds.
        """
        kind, _, before_row, before_image, after_row, _ = change
        data: Fields = {"key": None}
        try:
            if after_row is not None:
                if UNSENT in after_row:
                    return self._map_slowly(change, origin)
                data["after"] = self._convert_row(after_row)
            if before_row is not None:
                if before_image is not BeforeImage.FULL or UNSENT in before_row:
                    return self._map_slowly(change, origin)
                data["before"] = self._convert_row(before_row)
            if self._key_names and kind is not _TRUNCATED:
                data["key"] = self._key_of(data["after" if after_row is not None else "before"])
        except _UNCONVERTIBLE:
            return self._map_slowly(change, origin)
        return self._finish(change, origin, data)

    def _finish(self, change: RowChange, origin: ChangeOrigin, data: Fields) -> Event | Breach:
        """Validate `data` and put it into its envelope."""
        reason = self._schema.reason(data)
        if self._json_cells:
            self._splice_json(change, data)
        if reason is not None:
            return self._breach(change, origin, data, reason)
        key = None if data["key"] is None else orjson.dumps(data["key"]).decode()
        frame = self._frames[change.kind]
        try:
            payload = self._payload(frame, origin, key, data)
        except TypeError:  # A text that is not UTF-8: valid as JSON Schema, not as JSON.
            return self._breach(change, origin, data, "/: a text is not valid UTF-8")
        return Event(
            origin.event_id,
            frame.type,
            self.subject,
            self.version,
            frame.routing_key,
            key,
            payload,
        )

    def _payload(self, frame: _Frame, origin: ChangeOrigin, key: str | None, data: Fields) -> bytes:
        if origin.time is not self._time:  # All changes of a transaction share one object.
            self._time_text = _utc_text(origin.time)
            self._time = origin.time
        head = (
            f'{{"specversion":"1.0","id":"{origin.event_id}"{frame.before_time}{self._time_text}'
            f'","recordedtime":"{origin.recorded_time}{frame.after_recorded_time}'
            f'{origin.sequence}"'
        ).encode()
        if key is None:
            return b'%b,"data":%b}' % (head, orjson.dumps(data))
        return b'%b,"partitionkey":%b,"data":%b}' % (head, orjson.dumps(key), orjson.dumps(data))

    def _splice_json(self, change: RowChange, data: Fields) -> None:
        """Put JSON columns in as the source's exact text, digits and all."""
        for side, row in (("after", change.after), ("before", change.before)):
            if row is None:
                continue
            fields = data[side]
            for name, index in self._json_cells:
                value = fields.get(name)
                # A text that is no JSON stands as it is, in an event that is parked.
                if value is not None and value is not row[index]:
                    fields[name] = orjson.Fragment(row[index])  # type: ignore[arg-type]  # a text: it was converted

    def _map_slowly(self, change: RowChange, origin: ChangeOrigin) -> Event | Breach:
        """Map cell by cell; name what does not convert and keep its raw text."""
        data: Fields = {"key": None}
        problems: list[str] = []
        unavailable: list[str] = []
        if change.after is not None:
            after: Fields = {}
            data["after"] = after
            for cell in self.cells:
                if change.after[cell.column] is UNSENT:
                    unavailable.append(cell.rule.name)
                else:
                    _convert_cell(cell, change.after, after, "/after", problems)
        if change.before is not None:
            before: Fields = {}
            data["before"] = before
            for cell in self.cells:
                sent = cell.is_key or change.before_image is BeforeImage.FULL
                if sent and change.before[cell.column] is not UNSENT:
                    _convert_cell(cell, change.before, before, "/before", problems)
        if unavailable:
            data["unavailable"] = unavailable
        if self._key_names and change.kind is not ChangeKind.TRUNCATED:
            self._find_key(data, problems)
        if not problems:
            return self._finish(change, origin, data)
        self._splice_json(change, data)
        more = f"; {len(problems) - 1} more" if len(problems) > 1 else ""
        return self._breach(change, origin, data, f"{problems[0]}{more}")

    def _find_key(self, data: Fields, problems: list[str]) -> None:
        """Fill `data["key"]` from the new row, and what that did not send from the old one."""
        known = data.get("before", {}) | data.get("after", {})
        try:
            data["key"] = self._key_of(known)
        except KeyError as exc:
            problems.append(f"/key/{exc.args[0]}: was not sent; is it in the replica identity?")

    def _breach(self, change: RowChange, origin: ChangeOrigin, data: Fields, reason: str) -> Breach:
        """Keep `data`, raw texts included, with its `reason`."""
        frame = self._frames[change.kind]
        try:
            key = None if data["key"] is None else orjson.dumps(data["key"]).decode()
            payload = self._payload(frame, origin, key, data)
        except TypeError:  # Not UTF-8, or a number beyond 64 bits: JSON keeps the text of it.
            plain = _plain(data)
            key = None if plain["key"] is None else orjson.dumps(plain["key"]).decode()
            payload = self._payload(frame, origin, key, plain)
        return Breach(origin.event_id, self.subject, self.version, key, reason, payload)


def _cells(mapping: TableMapping, relation: Relation) -> tuple[_Cell, ...]:
    """Find each field's column; all disagreements are told at once."""
    places = {column.name: index for index, column in enumerate(relation.columns)}
    mapped = {rule.column for rule in mapping.fields}
    unmapped = [name for name in places if name not in mapped and name not in mapping.drop]
    missing = sorted(mapped.difference(places))
    problems = []
    if unmapped:
        problems.append(f"{_columns(unmapped)} neither mapped nor dropped")
    if missing:
        problems.append(f"{_columns(missing)} mapped but not in the table")
    if problems:
        raise ConfigInvalid(
            f"cannot map table {relation.name!r} to contract {mapping.subject!r} version "
            f"{mapping.version}: {'; '.join(problems)}; change 'fields' or 'drop' of its "
            "mapping.yaml"
        )
    return tuple(
        _Cell(
            rule,
            places[rule.column],
            relation.columns[places[rule.column]].is_key,
            _cell_function(rule, relation, places[rule.column]),
        )
        for rule in mapping.fields
    )


def _columns(names: list[str]) -> str:
    listed = ", ".join(map(repr, names))
    return f"column {listed} is" if len(names) == 1 else f"columns {listed} are"


def _notes(mapping: TableMapping, relation: Relation) -> list[str]:
    columns = {rule.name: rule.column for rule in mapping.fields}
    identity = {column.name for column in relation.columns if column.is_key}
    outside = [columns[name] for name in mapping.key if columns[name] not in identity]
    return [
        f"key column {name!r} of table {relation.name!r} is not in the replica identity: "
        "deletes cannot name their key and will be parked"
        for name in outside
    ]


def _expression(
    rule: FieldRule, relation: Relation, index: int, variable: str, namespace: dict[str, Any]
) -> str:
    """Return the expression of one field; a code table of its own goes into `namespace`."""
    column = relation.columns[index]
    if rule.codes is None:
        return expression(rule.type, column.type_oid, variable)
    name = f"_codes_{rule.name}"
    namespace[name] = code_table(rule.codes, column.type_oid, column.type_modifier)
    return f"{name}[{variable}]"


def _cell_function(rule: FieldRule, relation: Relation, index: int) -> Callable[[str], Any]:
    """Return the conversion of one field by itself."""
    namespace = dict(NAMESPACE)
    source = f"lambda c: {_expression(rule, relation, index, 'c', namespace)}"
    convert: Callable[[str], Any] = eval(source, namespace)  # noqa: S307 - our own text
    return convert


def _row_function(cells: tuple[_Cell, ...], relation: Relation) -> Callable[[Row], Fields]:
    """Generate the conversion of a whole row whose cells were all sent."""
    namespace = dict(NAMESPACE)
    items = []
    for cell in cells:
        variable = f"c{cell.column}"
        body = _expression(cell.rule, relation, cell.column, variable, namespace)
        if body != variable:
            body = f"None if {variable} is None else {body}"
        items.append(f"{cell.rule.name!r}: {body}")
    variables = "".join(f"c{index}, " for index in range(len(relation.columns)))
    source = f"def convert(row):\n    ({variables}) = row\n    return {{{', '.join(items)}}}\n"
    exec(source, namespace)  # noqa: S102 - field names are checked, nothing else is foreign
    convert: Callable[[Row], Fields] = namespace["convert"]
    return convert


def _key_function(names: tuple[str, ...]) -> Callable[[Fields], Fields]:
    """Generate the choice of the key's fields; a missing one raises `KeyError`."""
    items = ", ".join(f"{name!r}: fields[{name!r}]" for name in names)
    choose: Callable[[Fields], Fields] = eval(f"lambda fields: {{{items}}}")  # noqa: S307 - as above
    return choose


def _convert_cell(cell: _Cell, row: Row, into: Fields, path: str, problems: list[str]) -> None:
    text: Cell = row[cell.column]
    assert text is not UNSENT, "the caller passes over unsent cells"
    name = cell.rule.name
    if text is None:
        into[name] = None
        return
    try:
        if isinstance(text, bytes):
            raise TypeError  # Not UTF-8.
        into[name] = cell.convert(text)
    except _UNCONVERTIBLE:
        into[name] = text
        rule = (
            "is a code that the mapping does not know"
            if cell.rule.codes is not None
            else f"cannot be read as {cell.rule.type}"
        )
        problems.append(f"{path}/{name}: {rule}")


def _frame(mapping: TableMapping, kind: ChangeKind, type_prefix: str) -> _Frame:
    key = routing_key(mapping.subject, mapping.version, kind)
    event_type = f"{type_prefix}.{key}"
    return _Frame(
        event_type,
        key,
        f',"source":"{source_urn(mapping.source)}","type":"{event_type}","time":"',
        '","datacontenttype":"application/json","dataschema":"'
        f'{data_schema_urn(mapping.subject, mapping.version)}","sequence":"',
    )


def _utc_text(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _plain(value: Any) -> Any:
    """Return `value` with everything that JSON cannot hold written as escaped text."""
    if isinstance(value, dict):
        return {name: _plain(below) for name, below in value.items()}
    if isinstance(value, list):
        return [_plain(below) for below in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, orjson.Fragment):
        return value
    return value if value is None or isinstance(value, bool | float) else str(value)
