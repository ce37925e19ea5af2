"""A CSV file for each table, in parts that a spreadsheet shows whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bridge.eventlog.exporting.bundle_file import BundleFile, FileFacts
from bridge.eventlog.exporting.views import csv_text
from bridge.eventlog.exporting.views.rows import Row, Table

FOLDER: Final = "views/csv"
_BATCH: Final = 500


class CsvView:
    """Writes `views/csv/TABLE.csv`, and `TABLE.2.csv` … when there are too many rows for one."""

    def __init__(self, bundle: Path, *, rows_max: int = csv_text.ROWS_MAX) -> None:
        self._bundle = bundle
        self._rows_max = rows_max
        self._open: dict[str, _Part] = {}
        self._finished: dict[str, FileFacts] = {}
        self.cut_cells = 0

    def add(self, row: Row, tables: tuple[Table, ...]) -> None:
        """Write one record into each table."""
        for table in tables:
            part = self._open.get(table.name)
            if part is None:
                part = self._open[table.name] = _Part(self._bundle, table, 1)
            elif part.rows == self._rows_max:
                self._finished[part.path] = part.finish()
                part = self._open[table.name] = _Part(self._bundle, table, part.number + 1)
            values = table.values(row)
            line = csv_text.line(values)
            if len(line) >= csv_text.CELL_CHARACTERS_MAX:
                self.cut_cells += sum(map(csv_text.is_cut, values))
            part.add(line)

    def finish(self) -> Iterator[tuple[str, FileFacts]]:
        """Make the files durable."""
        for part in self._open.values():
            self._finished[part.path] = part.finish()
        self._open.clear()
        yield from sorted(self._finished.items())

    def close(self) -> None:
        """Close the files."""
        for part in self._open.values():
            part.close()


class _Part:
    """One file."""

    def __init__(self, bundle: Path, table: Table, number: int) -> None:
        self.number = number
        self.rows = 0
        suffix = "" if number == 1 else f".{number}"
        self.path = f"{FOLDER}/{table.name}{suffix}.csv"
        self._file = BundleFile(bundle / self.path, "view")
        header = csv_text.line(column.name for column in table.columns)
        self._file.write(csv_text.BOM + header, 0)
        self._lines: list[bytes] = []

    def add(self, line: bytes) -> None:
        self._lines.append(line)
        self.rows += 1
        if len(self._lines) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._file.write(b"".join(self._lines), len(self._lines))
        self._lines = []

    def finish(self) -> FileFacts:
        self._flush()
        facts = self._file.sync()
        self._file.close()
        return facts

    def close(self) -> None:
        self._file.close()
