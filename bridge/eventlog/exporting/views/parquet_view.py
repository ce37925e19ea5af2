"""A Parquet file for each table, typed as the contract's schema says.

Parquet is written by pyarrow, which comes with the extra `parquet`.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bridge.eventlog.exporting.bundle_file import FileFacts, read_facts
from bridge.eventlog.exporting.views.columns import ColumnType, converted
from bridge.eventlog.exporting.views.numbers import json_text
from bridge.eventlog.exporting.views.rows import Row, Table
from bridge.model.errors import ConfigInvalid

FOLDER: Final = "views/parquet"

ROW_GROUP_ROWS: Final = 20_000
"""What all tables together keep in memory: some 100 MB of wide rows, before a group is written."""


class ParquetView:
    """Writes `views/parquet/TABLE.parquet`.

    Raises:
        ConfigInvalid: pyarrow is not installed.
    """

    def __init__(self, bundle: Path, *, group_rows: int = ROW_GROUP_ROWS) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as exc:
            raise ConfigInvalid(
                "cannot write a Parquet view: the package pyarrow is not installed; install "
                "legacy-bridge[parquet], or leave the view out"
            ) from exc
        self._arrow = pyarrow
        self._bundle = bundle
        self._group_rows = group_rows
        self._waiting = 0
        self._open: dict[str, _TableFile] = {}

    def add(self, row: Row, tables: tuple[Table, ...]) -> None:
        """Write one record into each table."""
        for table in tables:
            file = self._open.get(table.name)
            if file is None:
                file = self._open[table.name] = _TableFile(self._arrow, self._bundle, table)
            file.add(row)
            self._waiting += 1
        if self._waiting >= self._group_rows:
            for file in self._open.values():
                file.flush()
            self._waiting = 0

    def finish(self) -> Iterator[tuple[str, FileFacts]]:
        """Make the files durable."""
        for file in self._open.values():
            file.finish()
            yield file.path, read_facts(self._bundle / file.path, "view", file.rows)

    def close(self) -> None:
        """Close the files."""
        for file in self._open.values():
            file.close()


class _TableFile:
    """One file: columns gather values, which become a row group together."""

    def __init__(self, arrow: Any, bundle: Path, table: Table) -> None:
        self._arrow = arrow
        self._table = table
        self.path = f"{FOLDER}/{table.name}.parquet"
        self.rows = 0
        schema = arrow.schema(
            [(column.name, _arrow_type(arrow, column.type)) for column in table.columns]
        )
        place = bundle / self.path
        place.parent.mkdir(parents=True, exist_ok=True)
        self._schema = schema
        # Opened by us: a full disk is then an error of the file system, whatever the library says.
        self._sink = place.open("wb")
        self._writer = arrow.parquet.ParquetWriter(self._sink, schema, compression="zstd")
        self._columns: list[list[Any]] = [[] for _ in table.columns]
        self._plain = table.columns[:-1] if table.has_other else table.columns

    def add(self, row: Row) -> None:
        misfits: dict[str, Any] = {}
        values = self._table.values(row)
        for (name, kind), value, gathered in zip(self._plain, values, self._columns, strict=False):
            # Times of our own making are times already.
            if (
                value is None
                or (kind is ColumnType.TEXT and type(value) is str)
                or isinstance(value, datetime)
            ):
                gathered.append(value)
                continue
            try:
                gathered.append(converted(kind, value))
            except (ValueError, OverflowError):
                gathered.append(None)
                misfits[name] = value
        if self._table.has_other:
            other = {**(values[-1] or {}), **misfits}
            self._columns[-1].append(json_text(other) if other else None)
        self.rows += 1

    def flush(self) -> None:
        if self._columns[0]:
            arrays = [
                self._arrow.array(values, type=field.type)
                for values, field in zip(self._columns, self._schema, strict=True)
            ]
            self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
            for values in self._columns:
                values.clear()

    def finish(self) -> None:
        self.flush()
        self._writer.close()
        self._sink.close()

    def close(self) -> None:
        # An unfinished file is written anew: its footer is not worth another error of a full disk.
        self._writer.is_open = False
        with suppress(OSError):
            self._sink.close()


def _arrow_type(arrow: Any, kind: ColumnType) -> Any:
    match kind:
        case ColumnType.INTEGER:
            return arrow.int64()
        case ColumnType.FLOAT:
            return arrow.float64()
        case ColumnType.BOOLEAN:
            return arrow.bool_()
        case ColumnType.DATE:
            return arrow.date32()
        case ColumnType.MOMENT:
            return arrow.timestamp("us", tz="UTC")
        case ColumnType.LOCAL:
            return arrow.timestamp("us")
        case ColumnType.TEXT | ColumnType.JSON:
            return arrow.string()
