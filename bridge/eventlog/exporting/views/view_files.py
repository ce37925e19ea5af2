"""Write one kind of view over the selected entries of a draft, in bounded memory."""

from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from bridge.eventlog.exporting.bundle_file import FileFacts
from bridge.eventlog.exporting.entry_lines import SelectedEntry
from bridge.eventlog.exporting.evidence import contract_name
from bridge.eventlog.exporting.order import View
from bridge.eventlog.exporting.views.columns import Column, declared_columns
from bridge.eventlog.exporting.views.csv_view import CsvView
from bridge.eventlog.exporting.views.facts import Zone
from bridge.eventlog.exporting.views.jsonl_view import JsonlView
from bridge.eventlog.exporting.views.numbers import read_json
from bridge.eventlog.exporting.views.parquet_view import ParquetView
from bridge.eventlog.exporting.views.rows import (
    Row,
    Table,
    contract_table,
    entries_table,
    read_row,
    records_table,
)

# Before a sealed item's JSON: so that its commitment tells nothing.
_RANDOM_BYTES: Final = 32

# How often somebody hears of progress, in entries.
_HEARD_COUNT: Final = 2_000


class ViewWriter(Protocol):
    """Writes the rows of all tables in one format."""

    def add(self, row: Row, tables: tuple[Table, ...]) -> None:
        """Write a row into each of `tables`."""

    def finish(self) -> Iterator[tuple[str, FileFacts]]:
        """Make everything durable; yield each file's path in the bundle, and what it is."""

    def close(self) -> None:
        """Release files; may be called twice."""


class Tables:
    """Which tables an entry belongs to, by the contract it names."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle
        self._entries = entries_table()
        self._found: dict[Any, Table] = {}

    def of(self, row: Row) -> tuple[Table, ...]:
        """Return the tables of an entry."""
        table = self._found.get(row.urn)
        if table is None:
            table = self._found[row.urn] = self._table(row.urn)
        return self._entries, table

    def _table(self, urn: str | None) -> Table:
        name = contract_name(urn) if isinstance(urn, str) else None
        if name is None:
            return records_table()
        subject, version = name
        return contract_table(f"{subject}-{version}", self._declared(subject, version))

    def _declared(self, subject: str, version: str) -> tuple[Column, ...]:
        """Return the columns of a contract; none when it is not to be had, so all is `other`."""
        path = self._bundle / "contracts" / subject / version / "schema.json"
        if not path.exists():
            return ()
        schema = read_json(path.read_bytes())
        return declared_columns(schema) if isinstance(schema, dict) else ()


def view_writer(view: View, bundle: Path) -> ViewWriter:
    """Return the writer of a kind of view.

    Raises:
        ConfigInvalid: it needs a package that is not installed.
    """
    match view:
        case View.JSONL:
            return JsonlView(bundle)
        case View.CSV:
            return CsvView(bundle)
        case View.PARQUET:
            return ParquetView(bundle)


def write_view(
    writer: ViewWriter,
    bundle: Path,
    entries: Iterable[SelectedEntry],
    opened: "OpenedValues",
    zone: Zone,
    heard: Callable[[int], None],
) -> dict[str, FileFacts]:
    """Write a view; `heard` is told how many entries are done."""
    tables = Tables(bundle)
    for number, entry in enumerate(entries, 1):
        row = read_row(entry, zone, opened.of(entry.leaf_index))
        writer.add(row, tables.of(row))
        if number % _HEARD_COUNT == 0:
            heard(number)
    return dict(writer.finish())


class OpenedValues:
    """What `disclosed.jsonl` opened, asked for by ascending index."""

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        self._lines = iter(lines)
        self._next = self._read()

    def _read(self) -> tuple[int, Mapping[str, Any]] | None:
        line = next(self._lines, None)
        if line is None:
            return None
        told = read_json(line)
        return told["index"], opened_values(told["plaintext"])

    def of(self, index: int) -> list[Mapping[str, Any]]:
        """Return what was opened of entry `index`: path → value, for each of its items."""
        found = []
        while self._next is not None and self._next[0] <= index:
            if self._next[0] == index:
                found.append(self._next[1])
            self._next = self._read()
        return found


def opened_values(plaintext: str) -> Mapping[str, Any]:
    """Return path → value of a disclosed plaintext (base64 of 32 random bytes and JSON)."""
    found = read_json(b64decode(plaintext)[_RANDOM_BYTES:])
    return found if isinstance(found, dict) else {}
