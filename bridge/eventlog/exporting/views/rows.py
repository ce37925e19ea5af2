"""Entries as rows: what is in a leaf and its payload, under the names of columns. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from bridge.eventlog.exporting.entry_lines import SelectedEntry
from bridge.eventlog.exporting.views.columns import Column, ColumnType, data_name
from bridge.eventlog.exporting.views.facts import FULL, SHORT, Zone, leaf_facts
from bridge.eventlog.exporting.views.numbers import read_json

OTHER: Final = Column("other", ColumnType.JSON)
"""What no column is declared for, or does not fit its column's type: nothing is left out."""

# The leaf says the same, and what only frames an event says nothing.
_TOLD: Final = frozenset(
    (
        "specversion", "id", "source", "type", "time", "recordedtime", "dataschema",
        "datacontenttype", "data", "sealed",
    )
)  # fmt: skip

ENTRIES: Final = "entries"
RECORDS: Final = "records"
"""Entries of no contract: what people and the gateway itself did."""


class Row(NamedTuple):
    """One entry, flat."""

    facts: dict[str, Any]
    data: dict[str, Any]
    """Column name → value, of the data by the contract's names."""
    attributes: dict[str, Any]
    """What the payload says beside its data."""
    urn: str | None
    """Which contract the entry names."""


def read_row(entry: SelectedEntry, zone: Zone, opened: Iterable[Mapping[str, Any]] = ()) -> Row:
    """Return the row of an entry, with the fields put back that were `opened` for the receiver."""
    leaf = read_json(entry.leaf)
    payload = read_json(entry.payload)
    if not isinstance(payload, dict):
        payload = {"data": payload}
    data = payload.get("data")
    for values in opened:
        data = _with_opened(data, values)
    flat: dict[str, Any] = {}
    _flatten(data, "", flat)
    facts = leaf_facts(leaf, zone)
    if facts["reason"] is None:
        # The reason of an action is free text of a person, so it stands in the payload.
        facts["reason"] = payload.get("reason")
    return Row(
        facts=facts,
        data={data_name(path) if path else "data": value for path, value in flat.items()},
        attributes={name: value for name, value in payload.items() if name not in _TOLD},
        urn=leaf["fields"].get("dataschema"),
    )


def _with_opened(data: Any, values: Mapping[str, Any]) -> Any:
    """Put opened values back at their JSON Pointers (RFC 6901)."""
    if not isinstance(data, dict):
        return data
    for pointer, value in values.items():
        *above, last = [
            part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]
        ]
        place: Any = data
        for part in above:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    return data


def _flatten(value: Any, path: str, flat: dict[str, Any]) -> None:
    if isinstance(value, dict) and (value or not path):
        for name, below in value.items():
            # A dot of a name is told apart from the one between names.
            name = name.replace(".", "\\.") if "." in name else name
            _flatten(below, f"{path}.{name}" if path else name, flat)
    elif value is not None:
        flat[path] = value


class Table(NamedTuple):
    """Columns of one kind of rows: facts of the leaf, declared data, and what else there is."""

    name: str
    facts: tuple[Column, ...]
    declared: tuple[Column, ...] = ()
    has_other: bool = True

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return all columns in order."""
        return (*self.facts, *self.declared, *((OTHER,) if self.has_other else ()))

    def values(self, row: Row) -> list[Any]:
        """Return the values of `row`, one for each column."""
        values = [row.facts[column.name] for column in self.facts]
        if self.has_other:
            rest = {**row.attributes, **row.data}
            values += [rest.pop(column.name, None) for column in self.declared]
            values.append(rest or None)
        return values


def entries_table() -> Table:
    """Return the table of all selected entries, by what their leaves say."""
    return Table(ENTRIES, FULL, has_other=False)


def records_table() -> Table:
    """Return the table of the entries of no contract."""
    return Table(RECORDS, FULL[:-1])


def contract_table(name: str, declared: tuple[Column, ...]) -> Table:
    """Return the table of the events of one contract."""
    return Table(name, SHORT, declared)
